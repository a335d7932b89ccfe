/** Arrow keys and the pad on the screen, as an action of CarRacing. Read `Controls.action`. */

const KEYS = ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'];
const BRAKE = 0.8; // of the key, as in gym's own game
const KEEPS_ARROWS = '[role=tab], input:not([type=checkbox])'; // they mean something else there

export class Controls {
  /** @param {HTMLElement} pad its buttons name a key each in `data-key` */
  constructor(pad) {
    this.active = false; // whether keys are for the car; else they are the page's
    this.held = new Set();
    addEventListener('keydown', (event) => this.#press(event));
    addEventListener('keyup', (event) => this.held.delete(event.key));
    addEventListener('blur', () => this.held.clear());
    for (const button of pad.querySelectorAll('[data-key]')) {
      const release = () => this.held.delete(button.dataset.key);
      button.addEventListener('pointerdown', (event) => {
        button.setPointerCapture(event.pointerId);
        this.held.add(button.dataset.key);
      });
      button.addEventListener('pointerup', release);
      button.addEventListener('pointercancel', release);
      button.addEventListener('contextmenu', (event) => event.preventDefault());
    }
  }

  /** Whether anything is held. */
  get used() {
    return this.held.size > 0;
  }

  /** Steering in [-1, 1], gas and brake in [0, 1]. */
  get action() {
    const is = (key) => (this.held.has(key) ? 1 : 0);
    return [is('ArrowRight') - is('ArrowLeft'), is('ArrowUp'), BRAKE * is('ArrowDown')];
  }

  #press(event) {
    if (!this.active || !KEYS.includes(event.key) || event.target.closest?.(KEEPS_ARROWS)) return;
    this.held.add(event.key);
    event.preventDefault(); // the page would scroll
  }
}
