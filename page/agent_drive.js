/** The agent on a track: the race, what it sees, and what it does. Read `AgentDrive.step`. */

import { agentFrame } from './car_racing/frame.js';
import { Race } from './car_racing/race.js';

export const STEPS = 1000; // of an episode, CarRacing's own limit

export class AgentDrive {
  /**
   * @param {import('./models/agent.js').Agent} agent is reset
   * @param {number} seed of the track
   */
  constructor(agent, seed) {
    this.agent = agent;
    this.seed = seed;
    this.race = new Race(seed);
    this.actions = []; // all that were taken
    this.total = 0; // the return so far
    this.over = false;
    agent.reset();
    this.look();
  }

  /** Show the agent the race as it stands. */
  look() {
    this.frame = agentFrame(this.race, ...this.agent.vae.imageShape);
    this.action = this.agent.act(this.frame);
  }

  /** Take the action that the agent chose, and look again. */
  step() {
    if (this.over) return;
    const { reward, terminated, truncated } = this.race.step(this.action);
    this.actions.push(this.action);
    this.total += reward;
    this.over = terminated || truncated || this.race.steps >= STEPS;
    this.look();
  }
}

/** "return 312, 97 of 281 tiles, step 400". */
export function score(race, total) {
  return `return ${total.toFixed(0)}, ${race.tilesVisited} of ${race.tiles} tiles, step ${race.steps}`;
}
