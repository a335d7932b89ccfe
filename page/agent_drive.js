/** The agent on a track: the race, what it sees, and what it does. Read `AgentDrive.step`. */

import { agentFrame } from './car_racing/frame.js';
import { Race } from './car_racing/race.js';

export const STEPS = 1000; // of an episode, CarRacing's own limit
const STEPS_A_SECOND = 50;

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
    this.ending = '';
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
    const last = this.race.step(this.action);
    this.actions.push(this.action);
    this.total += last.reward;
    this.over = last.terminated || last.truncated || this.race.steps >= STEPS;
    if (this.over) this.ending = ending(last);
    this.look();
  }
}

/** "score 312, 97 of 281 tiles, 8.0 seconds". */
export function score(race, total) {
  const tiles = `${race.tilesVisited} of ${race.tiles} tiles`;
  return `score ${total.toFixed(0)}, ${tiles}, ${secondsOf(race.steps)}`;
}

/** "8.0 seconds". */
export function secondsOf(steps) {
  return `${(steps / STEPS_A_SECOND).toFixed(1)} seconds`;
}

/** How a race ended, by what its last step said. */
export function ending({ terminated, truncated }) {
  if (terminated) return 'Off the field, which costs 100 points';
  return truncated ? 'A whole lap' : 'Time is up';
}
