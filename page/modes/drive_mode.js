/** "You drive": the visitor's car, alone or beside the agent's, on the same track. */

import { AgentDrive, STEPS, score } from '../agent_drive.js';
import { Race } from '../car_racing/race.js';
import { drawRace } from '../car_racing/race_view.js';
import { sharpContext } from '../pictures.js';
import { byId, say } from '../words.js';

export class DriveMode {
  /** @param {import('../session.js').Session} session */
  constructor(session) {
    this.session = session;
    this.withRival = byId('drive-rival');
    this.withRival.onchange = () => this.restart();
  }

  enter() {
    this.session.listen(true);
    this.restart();
  }

  restart() {
    const { agent, seed } = this.session;
    this.race = new Race(seed);
    this.rival = this.withRival.checked ? new AgentDrive(agent, seed) : null;
    this.session.drive = this.rival ?? this.session.drive;
    this.total = 0;
    this.over = false;
  }

  step() {
    this.rival?.step();
    if (this.over) return;
    const { reward, terminated, truncated } = this.race.step(this.session.controls.action);
    this.total += reward;
    this.over = terminated || truncated || this.race.steps >= STEPS;
  }

  draw() {
    drawRace(sharpContext(byId('drive-world')), this.race, { rival: this.rival?.race });
    const agent = this.rival ? ` — the agent: return ${this.rival.total.toFixed(0)}` : '';
    say('drive-score', `You: ${score(this.race, this.total)}${this.over ? ', over' : ''}${agent}`);
  }
}
