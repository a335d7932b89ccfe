"""What is watched is the drive itself, with V's and M's view of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from worldmodels import watch
from worldmodels.agent import Agent
from worldmodels.car_racing import FastCarRacing
from worldmodels.controller import LinearController
from worldmodels.evolution_log import CURRENT
from worldmodels.memory import MDNRNN
from worldmodels.rounds import AGAIN, FIRST, Round
from worldmodels.vae import VAE
from worldmodels.watch import Moment, drive, follow, main

STEPS = 5


@pytest.fixture
def agent(tiny_vae: VAE, tiny_memory: MDNRNN) -> Agent:
    weights = np.random.default_rng(3).normal(size=(13, 3)).astype(np.float32)
    return Agent(tiny_vae, tiny_memory, LinearController(weights, ("z", "h"), "mean"))


def test_the_drive_is_the_agent_s_own(agent: Agent) -> None:
    moments = list(drive(agent, seed=4, steps=STEPS))
    env = FastCarRacing()
    frame, _ = env.reset(seed=4)
    agent.reset(seed=4)
    total = 0.0
    for moment in moments:
        assert moment.episode_return == pytest.approx(total)
        action = agent.act(frame)
        assert np.array_equal(moment.action, action)
        frame, reward, *_ = env.step(action.astype(np.float64))
        total += reward
    assert len(moments) == STEPS


def test_beside_it_are_v_s_reconstruction_and_m_s_expectation_of_the_next_frame(
    agent: Agent,
) -> None:
    moments = list(drive(agent, seed=4, steps=STEPS))
    seen = np.stack([moment.seen for moment in moments])
    z, _ = agent.vae.encode(seen)
    assert np.array_equal(moments[2].reconstruction, agent.vae.decode(z)[2])
    actions = np.stack([moment.action for moment in moments])
    log_weight, mean, _ = (part.numpy()[0] for part in agent.memory.predict(z[None], actions[None]))
    expected = agent.vae.decode((np.exp(log_weight) * mean).sum(axis=-1))
    difference = np.abs(moments[2].expected.astype(int) - expected[2])
    assert difference.max() <= 1  # a batch of five rounds in another way


def test_full_steering_to_the_left_fills_the_left_half_of_its_bar() -> None:
    def bar(steering: float) -> np.ndarray:
        picture = np.zeros((400, 600, 3), np.uint8)
        small = np.zeros((32, 32, 3), np.uint8)
        action = np.array([steering, 0.0, 0.0], np.float32)
        drawn = watch.draw(Moment(picture, small, small, small, action, 0.0))
        return (drawn == watch.BAR_COLOURS["steering"]).all(axis=-1).nonzero()[1]

    left, right = bar(-1.0), bar(1.0)
    assert left.max() <= right.min() + 1
    assert np.ptp(left) == pytest.approx(np.ptp(right), abs=1)


@pytest.mark.parametrize("name", ["drive.mp4", "drive.gif", "drive.webp"])
def test_a_film_is_written(
    name: str,
    agent: Agent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(watch.Agent, "load", lambda _: agent)
    path = tmp_path / name
    assert main(["--film", str(path), "--steps", str(STEPS), "--seed", "4"]) == 0
    assert capsys.readouterr().out == f"watch: wrote {path}\n"
    if path.suffix == ".mp4":
        assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == STEPS
    else:
        with Image.open(path) as picture:
            assert getattr(picture, "n_frames") == 2  # every fourth, from the first  # noqa: B009


def test_another_kind_of_film_is_refused(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch.Agent, "load", lambda _: agent)
    assert main(["--film", "drive.avi"]) == 1
    assert "drive.avi: expected a name that ends in .mp4, .gif or .webp" in capsys.readouterr().err


def test_without_models_it_says_how_to_get_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--models", str(tmp_path), "--film", "drive.mp4"]) == 1
    assert "vae.h5: no such file; `dvc repro` makes it" in capsys.readouterr().err


def test_without_a_display_it_says_what_else_can_be_done(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch.Agent, "load", lambda _: agent)
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    monkeypatch.delenv("DISPLAY", raising=False)
    import pygame

    pygame.display.quit()
    assert main([]) == 1
    assert "expected a display" in capsys.readouterr().err


@pytest.mark.parametrize("round_", [FIRST, AGAIN])
def test_following_takes_up_the_mean_as_it_stands_at_each_episode_s_start(
    round_: Round, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    agent.vae.save(f"{round_.models}/vae.h5")
    agent.memory.save(f"{round_.models}/memory.h5")
    means = []
    for generation in range(2):
        rng = np.random.default_rng(generation)
        weights = rng.normal(size=(13, 3)).astype(np.float32)
        means.append(LinearController(weights, ("z", "h"), "mean"))
    current = Path("scratch", round_.named("evolve"), "0123456789abcdef", CURRENT)
    means[0].save(current)
    following = follow(seed=4, steps=STEPS)
    first = [next(following) for _ in range(STEPS)]
    means[1].save(current)
    second = [next(following) for _ in range(STEPS)]
    shutil.rmtree("scratch")  # the evolution has ended
    assert list(following) == []
    for moments, mean, track in ((first, means[0], 4), (second, means[1], 5)):
        expected = drive(Agent(agent.vae, agent.memory, mean), seed=track, steps=STEPS)
        for moment, other in zip(moments, expected, strict=True):
            assert np.array_equal(moment.action, other.action)
            assert np.array_equal(moment.seen, other.seen)


def test_without_an_evolution_to_follow_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--follow"]) == 1
    assert "got none in scratch: run `dvc repro` in another" in capsys.readouterr().err
    assert main(["--follow", "--film", "drive.mp4"]) == 1
    assert "expected a window to follow in, got --film" in capsys.readouterr().err
