/** "The latents": a slider for each number of z, and the picture that V draws from them. */

import { showPixels } from '../pictures.js';
import { byId, say } from '../words.js';

const ACTIVE = 0.1; // standard deviation while driving; a dimension with less says nothing
const FARTHEST = 4;

export class LatentsMode {
  runs = false; // it stands still until a slider moves

  /** @param {import('../session.js').Session} session */
  constructor(session) {
    this.session = session;
    const spread = spreadOf(session.moments.map((moment) => moment.z));
    const order = [...spread.keys()].sort((one, other) => spread[other] - spread[one]);
    const active = order.filter((index) => spread[index] >= ACTIVE);
    const idle = order.filter((index) => spread[index] < ACTIVE);
    this.sliders = [];
    active.forEach((index) => this.#add(index, byId('latents-sliders')));
    idle.forEach((index) => this.#add(index, byId('latents-idle')));
    byId('latents-idle').parentElement.hidden = idle.length === 0;
    say('idle-latents', `${idle.length} numbers that say nothing: V did not need them`);
    byId('latents-current').onclick = () => this.#take(session.agent.z);
    byId('latents-another').onclick = () => {
      const index = Math.floor(session.random.uniform() * session.moments.length);
      this.#take(session.moments[index].z);
    };
    byId('latents-noise').onclick = () => {
      this.#take(Float32Array.from(spread, () => session.random.normal()));
    };
  }

  enter() {
    this.#take(this.session.agent.z);
  }

  restart() {
    this.session.restart();
    this.enter();
  }

  step() {}

  draw() {
    if (!this.changed) return;
    this.changed = false;
    const { agent, imageShape } = this.session;
    showPixels(byId('latents-picture'), agent.vae.decode(this.z), imageShape);
  }

  #add(index, place) {
    const label = document.createElement('label');
    label.innerHTML = `<span>z${index + 1}</span><input type="range"><output></output>`;
    const slider = label.querySelector('input');
    Object.assign(slider, { min: -FARTHEST, max: FARTHEST, step: 0.01 });
    slider.setAttribute('aria-label', `Latent ${index + 1}`);
    slider.oninput = () => {
      this.z[index] = slider.valueAsNumber;
      this.#shown(index);
    };
    this.sliders[index] = slider;
    place.append(label);
  }

  #take(z) {
    this.z = Float32Array.from(z);
    this.sliders.forEach((slider, index) => {
      slider.value = this.z[index];
      this.#shown(index);
    });
  }

  #shown(index) {
    this.sliders[index].nextElementSibling.textContent = this.z[index].toFixed(2);
    this.changed = true;
  }
}

/** Standard deviation of each number over some z, (latentDim,). */
function spreadOf(moments) {
  return Array.from(moments[0], (_, index) => {
    const values = moments.map((z) => z[index]);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  });
}
