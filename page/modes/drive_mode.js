/** "You drive": the visitor's car, alone or beside the agent's, on the same track. */

import { STEPS, ending, score } from '../agent_drive.js';
import { drawMap } from '../car_racing/map.js';
import { Race } from '../car_racing/race.js';
import { HULL_COLOUR, RIVAL_COLOUR, drawRace } from '../car_racing/race_view.js';
import { ActionBars, sharpContext } from '../pictures.js';
import { focusOn } from '../session.js';
import { TO_START, byId, say } from '../words.js';

export class DriveMode {
  runs = true;

  /** @param {import('../session.js').Session} session */
  constructor(session) {
    this.session = session;
    this.picture = byId('drive-world');
    this.bars = new ActionBars(byId('drive-actions'));
    this.withRival = byId('drive-rival');
    this.withRival.onchange = () => this.restart();
  }

  enter() {
    this.session.listen(true);
    this.restart();
  }

  /** Both cars at the start; they wait for the visitor. */
  restart() {
    this.session.restart();
    const { drive } = this.session;
    this.race = new Race(drive.seed, drive.race.track);
    this.rival = this.withRival.checked ? drive : null;
    this.total = 0;
    this.waiting = true;
    this.ending = '';
    if (this.session.controls.active) focusOn(this.picture);
  }

  step() {
    const { controls } = this.session;
    this.waiting &&= !controls.used;
    if (this.waiting) return;
    this.rival?.step();
    if (this.ending) return;
    const last = this.race.step(controls.action);
    this.total += last.reward;
    const over = last.terminated || last.truncated || this.race.steps >= STEPS;
    if (over) this.ending = ending(last);
  }

  draw() {
    const rival = this.rival?.race;
    const context = sharpContext(this.picture);
    drawRace(context, this.race, { rival });
    drawMap(context, this.race, [
      ...(rival ? [{ ...rival.hull, colour: RIVAL_COLOUR }] : []),
      { ...this.race.hull, colour: HULL_COLOUR },
    ]);
    this.bars.show(this.session.controls.action);
    const speed = this.race.speed.toFixed(0);
    say('drive-score', `You: ${score(this.race, this.total)}, speed ${speed}`);
    say('drive-rival-score', rival ? `The agent: ${score(rival, this.rival.total)}` : '');
    say('drive-over', this.#banner());
  }

  #banner() {
    if (this.waiting) return TO_START;
    const result = `${this.ending}: ${this.total.toFixed(0)}`;
    return this.ending && `${result}. “Start again” for another try`;
  }
}
