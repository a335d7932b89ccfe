/**
 * The return of the page's agent, computed by the page's own modules:
 * `make page && node benchmarks/page_score.mjs page.html 4000000 100`, for the tracks of `evaluate`.
 */

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

import { AgentDrive } from '../page/agent_drive.js';
import { Agent } from '../page/models/agent.js';
import { Random } from '../page/models/random.js';
import { Weights } from '../page/models/weights.js';

const [path, firstSeed, tracks] = process.argv.slice(2);
const [, inside] = readFileSync(path, 'utf8').match(/id="models">(.*?)<\/script>/s);
const { manifest, weights } = JSON.parse(inside);
const blob = new Uint8Array(gunzipSync(Buffer.from(weights, 'base64'))).buffer;
const agent = Agent.of(new Weights(manifest, blob), new Random(0));

const returns = [];
for (let track = 0; track < Number(tracks); track++) {
  const drive = new AgentDrive(agent, Number(firstSeed) + track);
  while (!drive.over) drive.step();
  returns.push(drive.total);
}
const mean = returns.reduce((sum, one) => sum + one, 0) / returns.length;
const spread = Math.sqrt(returns.reduce((sum, one) => sum + (one - mean) ** 2, 0) / returns.length);
console.log(`return ${mean.toFixed(0)} ± ${spread.toFixed(0)} over ${returns.length} tracks`);
