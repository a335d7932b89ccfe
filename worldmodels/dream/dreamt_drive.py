"""A drive that begins in CarRacing and goes on in a dream, to be watched. Read `dream_on`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.car_racing.frames import preprocess
from worldmodels.dream.dreams import Dreams
from worldmodels.dream.driving import Driver, controller_drives
from worldmodels.dream.starts import start_after
from worldmodels.models.agent_process import Agent
from worldmodels.models.decoding import Decoder

WARM_UP = 60  # real steps before the dream


@dataclass(frozen=True)
class DreamtMoment:
    """One step of a dream.

    seen: what V makes of z, (height, width, 3) uint8. action: steering, gas and brake.
    dream_return: what M expects the steps so far to have paid.
    """

    seen: NDArray[np.uint8]
    action: NDArray[np.float32]
    dream_return: float


def dream_on(
    agent: Agent,
    bounds: NDArray[np.float32],
    *,
    seed: int,
    steps: int,
    temperature: float,
    driver: Driver | None = None,
) -> Iterator[DreamtMoment]:
    """Let the agent drive the track of this seed for a second, and dream on from there, until M
    draws the episode's end.

    Args:
        agent: its M dreams.
        bounds: see `DreamStarts`.
        seed: of the track, and of what is drawn.
        steps: of the dream, at most.
        temperature: see `imagination.imagine`.
        driver: who drives in it; None for the agent's C.

    Raises:
        WorldModelsError: the memory's outcome head was not trained.
    """
    memory, decode = agent.memory, Decoder(agent.vae).decode
    memory.require_outcome()
    frames, actions = real_drive(agent, seed=seed, steps=WARM_UP)
    z, _ = agent.vae.encode(frames)
    start = start_after(memory, z[:-1], actions, z[-1], bounds)
    dreams = Dreams(memory, start, count=1, temperature=temperature)
    driver = driver or controller_drives(memory, agent.controller)
    rng = np.random.default_rng(seed)
    dreams.reset(0, rng)
    total, ended = 0.0, False
    for _ in range(steps):
        action = driver(dreams)
        seen = np.round(255.0 * decode(dreams.z)[0]).astype(np.uint8)
        yield DreamtMoment(seen, action[0], total)
        if ended:
            return
        rewards, ends = dreams.step(action, rng)
        total += float(rewards[0])
        ended = bool(ends[0])


def real_drive(
    agent: Agent, *, seed: int, steps: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Let the agent drive the track of this seed.

    Returns:
        frames as V gets them, (steps + 1, height, width, 3), and actions, (steps, 3); of fewer
        steps where the episode ends in them.
    """
    env = FastCarRacing()
    frame, _ = env.reset(seed=seed)
    agent.reset(seed=seed)
    frames, actions = [preprocess(frame, agent.vae.image_shape)], []
    for _ in range(steps):
        actions.append(agent.act(frame))
        frame, _, terminated, truncated, _ = env.step(actions[-1].astype(np.float64))
        frames.append(preprocess(frame, agent.vae.image_shape))
        if terminated or truncated:
            break
    return np.stack(frames), np.stack(actions)
