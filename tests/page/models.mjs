/**
 * Answers questions about exported models, for tests/test_page_models.py.
 *
 *     node models.mjs FOLDER
 *
 * FOLDER holds manifest.json, weights.bin and questions.json, a list of [name, ...arguments]. The
 * answers go to the standard output, a list as long; what was refused is { refused: message }.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Agent } from '../../page/models/agent.js';
import { Dream, dreamStarts } from '../../page/models/dream.js';
import { ModelError } from '../../page/models/errors.js';
import { Random } from '../../page/models/random.js';
import { Weights } from '../../page/models/weights.js';

const folder = process.argv[2];
const readJson = (name) => JSON.parse(readFileSync(join(folder, name), 'utf8'));
const blob = Uint8Array.from(readFileSync(join(folder, 'weights.bin'))).buffer;

/** Numbers that were drawn elsewhere, in order. */
class Given {
  constructor(uniform, normal) {
    this.uniforms = [...uniform];
    this.normals = [...normal];
  }

  uniform() {
    return this.uniforms.shift();
  }

  normal() {
    return this.normals.shift();
  }
}

const bytes = (numbers) => Uint8Array.from(numbers);
const makeWeights = () => new Weights(readJson('manifest.json'), blob);
// Whoever asks for one model alone gives no numbers to draw with.
const makeAgent = (noise) => Agent.of(makeWeights(), new Given([], noise));

const ANSWERS = {
  encode: (frames) => {
    const { vae } = makeAgent([]);
    return frames.map((frame) => vae.encode(bytes(frame)));
  },
  encodeFloats: (frame) => makeAgent([]).vae.encode(Float32Array.from(frame)),
  decode: (latents) => {
    const { vae } = makeAgent([]);
    return latents.map((z) => ({ values: vae.decoder(z), frame: vae.decode(z) }));
  },
  steps: (latents, actions) => {
    const { memory } = makeAgent([]);
    let state = memory.start();
    return latents.map((z, index) => {
      state = memory.step(state, z, actions[index]);
      return state;
    });
  },
  expect: (hidden, z) => {
    const { memory } = makeAgent([]);
    const mixture = memory.mixture(hidden, z);
    return { ...mixture, expected: memory.expected(mixture) };
  },
  outcome: (hidden, z) => makeAgent([]).memory.outcome(hidden, z),
  act: (z, h) => makeAgent([]).controller.act(z, h),
  actWith: (weights, z, h) => {
    const { controller } = makeAgent([]);
    controller.take(weights);
    return controller.act(z, h);
  },
  drive: (frames, noise) => {
    const agent = makeAgent(noise);
    return frames.map((frame) => {
      const action = agent.act(bytes(frame));
      return { action, state: agent.state, view: agent.view(), moment: agent.moment() };
    });
  },
  driveTwice: (frames, noise) => {
    const agent = makeAgent([...noise, ...noise]);
    return [0, 1].map(() => {
      agent.reset();
      return frames.map((frame) => agent.act(bytes(frame)));
    });
  },
  driveWithoutNoise: () => Agent.of(makeWeights()),
  viewTooEarly: () => makeAgent([]).view(),
  starts: () => dreamStarts(makeWeights()),
  // From a moment, or from the exported one of this number, with these actions, or with C's.
  dream: ({ start, temperature, actions, steps, uniform, normal }) => {
    const { memory, controller } = makeAgent([]);
    const random = new Given(uniform, normal);
    const moment = typeof start === 'number' ? dreamStarts(makeWeights())[start] : start;
    const dream = new Dream(makeWeights(), memory, { start: moment, random, temperature });
    return Array.from({ length: steps }, (_, index) => {
      const dreamt = actions ? dream.step(actions[index]) : dream.drive(controller);
      return { ...dreamt, z: dream.z, ...dream.state };
    });
  },
  random: (seed, count) => {
    const random = new Random(seed);
    return Array.from({ length: count }, () => [random.uniform(), random.normal()]);
  },
  readAnother: (changes) => new Weights({ ...readJson('manifest.json'), ...changes }, blob),
  readWithout: (name) => {
    const manifest = readJson('manifest.json');
    manifest.tensors = manifest.tensors.filter((tensor) => tensor.name !== name);
    return Agent.of(new Weights(manifest, blob));
  },
};

/** Typed arrays as lists. */
const asLists = (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);

const answers = readJson('questions.json').map(([name, ...given]) => {
  try {
    return ANSWERS[name](...given);
  } catch (error) {
    if (error instanceof ModelError) return { refused: error.message };
    throw error;
  }
});
process.stdout.write(JSON.stringify(answers, asLists));
