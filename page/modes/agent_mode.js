/** "The agent drives": the race for people, and what V, M and C make of it. */

import { score } from '../agent_drive.js';
import { drawMap } from '../car_racing/map.js';
import { HULL_COLOUR, drawRace } from '../car_racing/race_view.js';
import { ActionBars, sharpContext, showPixels } from '../pictures.js';
import { byId, say } from '../words.js';

const PAUSE = 150; // steps between a race that is over and the next one

export class AgentMode {
  runs = true;

  /** @param {import('../session.js').Session} session */
  constructor(session) {
    this.session = session;
    this.bars = new ActionBars(byId('agent-actions'));
    this.waited = 0; // steps since the race was over
  }

  enter() {}

  restart() {
    this.waited = 0;
    this.session.restart();
  }

  step() {
    const { drive } = this.session;
    if (!drive.over) {
      drive.step();
      return;
    }
    this.waited += 1;
    if (this.waited < PAUSE) return;
    this.session.anotherTrack();
    this.restart();
  }

  draw() {
    const { agent, drive, imageShape } = this.session;
    const { reconstruction, expectation } = agent.view();
    const context = sharpContext(byId('agent-world'));
    drawRace(context, drive.race);
    drawMap(context, drive.race, [{ ...drive.race.hull, colour: HULL_COLOUR }]);
    showPixels(byId('agent-seen'), drive.frame, imageShape);
    showPixels(byId('agent-reconstruction'), reconstruction, imageShape);
    showPixels(byId('agent-expected'), expectation, imageShape);
    this.bars.show(drive.action);
    say('agent-score', score(drive.race, drive.total));
    const over = `${drive.ending}: ${drive.total.toFixed(0)}. Another track follows`;
    say('agent-over', drive.over ? over : '');
  }
}
