/** What all modes share: the agent and its drive, the track, who listens to the keys. */

import { AgentDrive } from './agent_drive.js';
import { Controls } from './controls.js';
import { Agent } from './models/agent.js';
import { dreamStarts } from './models/dream.js';
import { Random } from './models/random.js';
import { byId } from './words.js';

const LARGEST_DRAWN_SEED = 1e6; // easier to remember

export class Session {
  /** @param {import('./models/weights.js').Weights} weights */
  constructor(weights) {
    this.weights = weights;
    this.random = new Random(Date.now());
    this.agent = Agent.of(weights, this.random);
    this.moments = dreamStarts(weights); // of recorded episodes
    this.controls = new Controls(byId('pad'));
    this.restart();
  }

  /** Height and width of what the agent sees. */
  get imageShape() {
    return this.agent.vae.imageShape;
  }

  /** The track that the page names. */
  get seed() {
    const field = byId('seed');
    if (field.value === '' || !field.reportValidity()) field.value = this.drive?.seed ?? 0;
    return field.valueAsNumber;
  }

  /** Name another track. */
  anotherTrack() {
    byId('seed').value = Math.floor(this.random.uniform() * LARGEST_DRAWN_SEED);
  }

  /** The agent at the start of the track. */
  restart() {
    this.drive = new AgentDrive(this.agent, this.seed);
  }

  /** Drive with other weights of C, from the next step on. */
  takeController(values) {
    this.agent.controller.take(values);
  }

  /** Whether keys and pad are for the car. */
  listen(on) {
    this.controls.active = on;
    byId('pad').hidden = !on;
  }
}

/** Give a picture the keys, and bring it into view with what stands below it. */
export function focusOn(picture) {
  picture.focus({ preventScroll: true });
  picture.closest('.in-view').scrollIntoView({ block: 'nearest' });
}
