/**
 * Where the models come from: the server that serves the page, or the page itself, where it is one
 * file. Read `fetchModels`.
 */

import { byId } from './words.js';

const FOLLOW_EVERY = 5000; // milliseconds

/** @returns {Promise<{manifest: object, blob: ArrayBuffer}>} what `Weights` reads */
export async function fetchModels() {
  if (typeof WebAssembly !== 'object') throw new Error('it needs a browser with WebAssembly');
  const inside = byId('models');
  if (inside) {
    const { manifest, weights } = JSON.parse(inside.textContent);
    return { manifest, blob: await unpack(weights) };
  }
  const [manifest, blob] = await Promise.all([fetched('models.json'), fetched('models.bin')]);
  return { manifest: await manifest.json(), blob: await blob.arrayBuffer() };
}

/** Take the mean of a running evolution whenever there is a new one, if the server follows it. */
export function follow(manifest, take) {
  if (!manifest.follow) return;
  let newest = null;
  setInterval(async () => {
    const found = await (await fetched('controller.json')).json();
    if (found && found.version !== newest) take(found.weights);
    newest = found?.version ?? newest;
  }, FOLLOW_EVERY);
}

/** Gzipped bytes in base64, unpacked. */
async function unpack(base64) {
  const packed = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

async function fetched(name) {
  const response = await fetch(name, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return response;
}
