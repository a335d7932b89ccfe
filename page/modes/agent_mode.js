/** "The agent drives": the race for people, and what V, M and C make of it. */

import { score } from '../agent_drive.js';
import { drawRace } from '../car_racing/race_view.js';
import { ActionBars, sharpContext, showPixels } from '../pictures.js';
import { byId, say } from '../words.js';

export class AgentMode {
  /** @param {import('../session.js').Session} session */
  constructor(session) {
    this.session = session;
    this.bars = new ActionBars(byId('agent-actions'));
  }

  enter() {}

  restart() {
    this.session.restart();
  }

  step() {
    const { drive } = this.session;
    if (drive.over) this.session.restart();
    else drive.step();
  }

  draw() {
    const { agent, drive, imageShape } = this.session;
    const { reconstruction, expectation } = agent.view();
    drawRace(sharpContext(byId('agent-world')), drive.race);
    showPixels(byId('agent-seen'), drive.frame, imageShape);
    showPixels(byId('agent-reconstruction'), reconstruction, imageShape);
    showPixels(byId('agent-expected'), expectation, imageShape);
    this.bars.show(drive.action);
    say('agent-score', score(drive.race, drive.total));
  }
}
