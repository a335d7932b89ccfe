"""The film of dreams: reality first, and beside it what M dreams of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from worldmodels.dream.dreamt_drive import real_drive
from worldmodels.inspection import dream_film
from worldmodels.inspection.dream_film import dreams_of, film_dreams
from worldmodels.models.agent_process import Agent
from worldmodels.models.controller import LinearController
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE

BEFORE, STEPS, TRACK = 4, 6, 4
BOUNDS = np.array([[-9.0] * 4, [9.0] * 4], np.float32)


@pytest.fixture
def agent(tiny_vae: VAE, tiny_memory: MDNRNN, monkeypatch: pytest.MonkeyPatch) -> Agent:
    monkeypatch.setattr(dream_film, "BEFORE", BEFORE)
    monkeypatch.setattr(dream_film, "STEPS", STEPS)
    weights = np.random.default_rng(3).normal(size=(13, 3)).astype(np.float32)
    return Agent(tiny_vae, tiny_memory, LinearController(weights, ("z", "h"), "mean"))


def test_all_views_begin_at_the_same_moment_of_a_real_drive(agent: Agent) -> None:
    frames, actions = real_drive(agent, seed=TRACK, steps=BEFORE + STEPS)
    assert (len(frames), len(actions)) == (BEFORE + STEPS + 1, BEFORE + STEPS)
    reality, seen, *dreams = dreams_of(agent, BOUNDS, track_seed=TRACK, seed=0)
    assert np.array_equal(reality.frames, frames[BEFORE:-1])
    z, _ = agent.vae.encode(frames[BEFORE:-1])
    assert np.abs(seen.frames.astype(int) - agent.vae.decode(z)).max() <= 1
    assert len(dreams) == 1 + len(dream_film.TEMPERATURES)
    for dream in dreams:
        assert dream.frames.shape == reality.frames.shape
        assert np.array_equal(dream.frames[0], seen.frames[0])
        assert not np.array_equal(dream.frames[-1], seen.frames[-1])


def test_the_dream_beside_reality_takes_the_real_actions(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, actions = real_drive(agent, seed=TRACK, steps=BEFORE + STEPS)
    monkeypatch.setattr(dream_film, "BESIDE", 0.0)  # the mean of what M expects
    (z, *_), _ = agent.vae.encode(frames[BEFORE:])
    before, _ = agent.vae.encode(frames[:BEFORE])
    hidden = cell = np.zeros((1, 8), np.float32)
    for seen, action in zip(before, actions[:BEFORE], strict=True):
        hidden, cell = agent.memory.step(seen[None], action[None], hidden, cell)
    expected, z = [], z[None]
    for action in actions[BEFORE:]:
        expected.append(z[0])
        hidden, cell = agent.memory.step(z, action[None], hidden, cell)
        log_weight, mean, _ = agent.memory.mixture(hidden, z)
        z = np.sum(np.exp(log_weight) * mean, axis=-1)
    dream = dreams_of(agent, BOUNDS, track_seed=TRACK, seed=0)[2]
    difference = dream.frames.astype(int) - agent.vae.decode(np.stack(expected))
    assert np.abs(difference).max() <= 1


def test_a_film_and_a_strip_are_written(agent: Agent, tmp_path: Path) -> None:
    film, picture = tmp_path / "dream.mp4", tmp_path / "dream.png"
    film_dreams(agent, BOUNDS, track_seed=TRACK, seed=0, film=film, picture=picture)
    shown = cv2.VideoCapture(str(film)).get(cv2.CAP_PROP_FRAME_COUNT)
    assert shown == STEPS * dream_film.SLOWLY
    with Image.open(picture) as strip:
        assert strip.height > strip.width / dream_film.PICTURES * 5  # six rows, eight columns
