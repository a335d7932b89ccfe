/**
 * The page: four things to do with V, M and C, one at a time, by one clock. Read `main`.
 *
 * `globalThis.page` is for whoever tests it or is curious.
 */

import { Clock } from './clock.js';
import { AgentMode } from './modes/agent_mode.js';
import { DreamMode } from './modes/dream_mode.js';
import { DriveMode } from './modes/drive_mode.js';
import { LatentsMode } from './modes/latents_mode.js';
import { Weights } from './models/weights.js';
import { Session, focusOn } from './session.js';
import { fetchModels, follow } from './source.js';
import { byId, say } from './words.js';

const MODES = { agent: AgentMode, latents: LatentsMode, dream: DreamMode, drive: DriveMode };

async function main() {
  const { manifest, blob } = await fetchModels();
  const weights = new Weights(manifest, blob);
  const session = new Session(weights);
  const [height, width] = session.imageShape;
  say('image', `(${height} × ${width} pixels)`);
  say('latents', String(session.agent.vae.latentDim));
  say('parameters', weights.tensor('controller/weights', [null, 3]).length.toLocaleString('en'));
  const modes = Object.fromEntries(
    Object.entries(MODES).map(([name, Mode]) => [name, new Mode(session)]),
  );
  const page = { session, mode: null, modes, clock: null };
  page.clock = new Clock(
    () => modes[page.mode].step(),
    () => modes[page.mode].draw(),
  );

  const choose = (name, { byArrow = false } = {}) => {
    page.mode = name;
    for (const tab of document.querySelectorAll('[role=tab]')) {
      const chosen = tab.dataset.mode === name;
      tab.setAttribute('aria-selected', String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      byId(tab.dataset.mode).hidden = !chosen;
    }
    session.listen(false);
    modes[name].enter();
    modes[name].draw();
    byId('running').hidden = !modes[name].runs;
    if (session.controls.active && !byArrow) focusOn(modes[name].picture);
  };
  wireTabs(choose);
  wireTransport(page);
  follow(manifest, (values) => session.takeController(values));
  setInterval(() => {
    const { paused, rate } = page.clock;
    const running = rate && modes[page.mode].runs ? `${rate.toFixed(0)} steps a second` : '';
    byId('rate').textContent = paused ? 'paused' : running;
  }, 500);
  choose(location.hash.slice(1) in MODES ? location.hash.slice(1) : 'agent');
  globalThis.page = page;
}

/** Tabs by mouse, and by arrow keys as everywhere. */
function wireTabs(choose) {
  const tabs = [...document.querySelectorAll('[role=tab]')];
  tabs.forEach((tab, index) => {
    tab.onclick = () => choose(tab.dataset.mode);
    tab.onkeydown = (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const next = tabs[(index + by + tabs.length) % tabs.length];
      choose(next.dataset.mode, { byArrow: true });
      next.focus();
      event.preventDefault();
    };
  });
}

/** Pause, one step, start again, another track. */
function wireTransport(page) {
  const { session } = page;
  const pause = (on) => {
    page.clock.paused = on;
    byId('pause').setAttribute('aria-pressed', String(on));
    byId('pause').textContent = on ? 'Go on' : 'Pause';
  };
  const restart = () => {
    pause(false);
    page.modes[page.mode].restart();
    page.modes[page.mode].draw();
  };
  byId('pause').onclick = () => pause(!page.clock.paused);
  byId('step').onclick = () => {
    pause(true);
    page.clock.single();
  };
  byId('again').onclick = restart;
  byId('seed').onchange = restart;
  byId('another').onclick = () => {
    session.anotherTrack();
    restart();
  };
}

main().catch((error) => {
  const trouble = byId('trouble');
  trouble.hidden = false;
  trouble.textContent = `This page cannot run here: ${error.message}`;
  throw error;
});
