/** "In the dream": M predicts, V draws; C or the visitor steers. Reality beside it, if wished. */

import { drawRace } from '../car_racing/race_view.js';
import { Race } from '../car_racing/race.js';
import { Dream } from '../models/dream.js';
import { ActionBars, sharpContext, showPixels } from '../pictures.js';
import { focusOn } from '../session.js';
import { byId, say } from '../words.js';

const BEFORE = 60; // real steps before a dream: M has to see where it is
const LOST = 0.5; // from which chance on the dream is said to be off the road

export class DreamMode {
  runs = true;

  /** @param {import('../session.js').Session} session */
  constructor(session) {
    this.session = session;
    this.picture = byId('dream-picture');
    this.bars = new ActionBars(byId('dream-actions'));
    this.temperature = byId('temperature');
    this.temperature.oninput = () => this.#showTemperature();
    this.#showTemperature();
    for (const choice of document.getElementsByName('dream-driver')) {
      choice.onchange = () => {
        session.listen(this.byVisitor);
        if (this.byVisitor) focusOn(this.picture);
      };
    }
    this.temperature.onpointerup = () => this.byVisitor && focusOn(this.picture);
    byId('dream-reality-shown').onchange = (event) => {
      byId('dream-beside').hidden = !event.target.checked;
    };
  }

  get byVisitor() {
    return document.querySelector('[name=dream-driver]:checked').value === 'you';
  }

  enter() {
    this.session.listen(this.byVisitor);
    this.begin();
  }

  restart() {
    if (this.session.seed !== this.session.drive.seed) this.session.restart();
    this.begin();
    if (this.byVisitor) focusOn(this.picture);
  }

  /** Begin a dream where the agent is on its track, and reality there as well. */
  begin() {
    const { session } = this;
    if (session.drive.over) session.restart();
    const { agent, drive } = session;
    while (drive.race.steps < BEFORE) drive.step();
    this.dream = new Dream(session.weights, agent.memory, {
      start: agent.moment(),
      random: session.random,
    });
    this.race = new Race(drive.seed);
    this.total = 0;
    for (const action of drive.actions) this.total += this.race.step(action).reward;
    this.before = this.total;
    this.steps = 0;
    this.promised = 0;
    this.raceOver = false;
    this.action = [0, 0, 0];
  }

  step() {
    const { agent, controls } = this.session;
    const { z, state } = this.dream;
    const action = this.byVisitor ? controls.action : agent.controller.act(z, state.hidden);
    this.dream.temperature = this.temperature.valueAsNumber;
    const { reward, end } = this.dream.step(action);
    this.promised += reward ?? 0;
    this.lost = end > LOST;
    this.steps += 1;
    this.action = action;
    if (!this.raceOver) {
      const real = this.race.step(action);
      this.total += real.reward;
      this.raceOver = real.terminated || real.truncated;
    }
  }

  draw() {
    const { agent, imageShape } = this.session;
    showPixels(this.picture, agent.vae.decode(this.dream.z), imageShape);
    if (!byId('dream-beside').hidden) drawRace(sharpContext(byId('dream-world')), this.race);
    this.bars.show(this.action);
    const seconds = `${(this.steps / 50).toFixed(1)} seconds`;
    const dreamt = agent.memory.hasOutcome ? `score ${this.promised.toFixed(0)}, as M expects` : '';
    say('dream-score', `${dreamt ? `${dreamt}, ` : ''}${seconds}`);
    say('dream-lost', this.lost ? 'M holds the car to be lost' : '');
    const paid = (this.total - this.before).toFixed(0);
    say('dream-reality', `score ${paid}${this.raceOver ? ', over' : ''}`);
  }

  #showTemperature() {
    byId('temperature-shown').textContent = this.temperature.valueAsNumber.toFixed(2);
  }
}
