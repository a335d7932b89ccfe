/** "In the dream": M predicts, V draws; C or the visitor steers. Reality beside it, if wished. */

import { ending, secondsOf } from '../agent_drive.js';
import { drawRace } from '../car_racing/race_view.js';
import { Race } from '../car_racing/race.js';
import { Dream } from '../models/dream.js';
import { ActionBars, sharpContext, showPixels } from '../pictures.js';
import { focusOn } from '../session.js';
import { TO_START, byId, say } from '../words.js';

const BEFORE = 60; // real steps before a dream: M has to see where it is
const PAUSE = 150; // steps between a dream that is over and the next one

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
        this.begin();
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
    this.race = new Race(drive.seed, drive.race.track);
    this.total = 0;
    for (const action of drive.actions) this.total += this.race.step(action).reward;
    this.before = this.total;
    this.steps = 0;
    this.promised = 0;
    this.waiting = this.byVisitor;
    this.waited = 0; // steps since the dream was over
    this.over = false;
    this.raceEnding = '';
    this.action = [0, 0, 0];
  }

  step() {
    const { agent, controls } = this.session;
    this.waiting &&= !controls.used;
    if (this.waiting) return;
    if (this.over) {
      this.waited += 1;
      if (this.waited === PAUSE && !this.byVisitor) this.begin();
      return;
    }
    const { z, state } = this.dream;
    const action = this.byVisitor ? controls.action : agent.controller.act(z, state.hidden);
    this.dream.temperature = this.temperature.valueAsNumber;
    const { reward, ended } = this.dream.step(action);
    this.promised += reward ?? 0;
    this.over = ended;
    this.steps += 1;
    this.action = action;
    if (this.raceEnding) return;
    const real = this.race.step(action);
    this.total += real.reward;
    if (real.terminated || real.truncated) this.raceEnding = ending(real);
  }

  draw() {
    const { agent, imageShape } = this.session;
    showPixels(this.picture, agent.vae.decode(this.dream.z), imageShape);
    if (!byId('dream-beside').hidden) drawRace(sharpContext(byId('dream-world')), this.race);
    this.bars.show(this.action);
    const seconds = secondsOf(this.steps);
    const expected = `score ${this.promised.toFixed(0)}, as M expects, ${seconds}`;
    say('dream-score', agent.memory.hasOutcome ? expected : seconds);
    say('dream-over', this.#banner());
    say('dream-reality', `score ${(this.total - this.before).toFixed(0)}`);
    say('dream-reality-over', this.raceEnding);
  }

  #banner() {
    if (this.waiting) return TO_START;
    if (!this.over) return '';
    const next = this.byVisitor ? '. “Start again” for another dream' : '';
    return `M takes the car to be lost${next}`;
  }

  #showTemperature() {
    byId('temperature-shown').textContent = this.temperature.valueAsNumber.toFixed(2);
  }
}
