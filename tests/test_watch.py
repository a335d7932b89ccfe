"""What is watched is the drive itself, with V's and M's view of it."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from project import FIRST, ROOT, SECOND

from worldmodels import watch
from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.car_racing.frames import preprocess
from worldmodels.core.errors import WorldModelsError
from worldmodels.dream.dreamt_drive import WARM_UP, dream_on
from worldmodels.dream.starts import DreamStarts
from worldmodels.models.agent_process import Agent
from worldmodels.models.controller import LinearController
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.pipeline.rounds import Round
from worldmodels.training.evolution_log import CURRENT
from worldmodels.watch import Moment, drive, follow, main

STEPS = 5
BOUNDS = np.array([[-9.0] * 4, [9.0] * 4], np.float32)


@pytest.fixture(scope="module")
def agent() -> Agent:
    tiny_vae = VAE((32, 32), 4, rng=np.random.default_rng(1))
    tiny_memory = MDNRNN(4, 8, 2, rng=np.random.default_rng(2))
    mean = np.random.default_rng(3).normal(size=12, scale=0.1)
    tiny_memory.feature_mean = mean.astype(np.float32)
    weights = np.random.default_rng(3).normal(size=(13, 3)).astype(np.float32)
    tiny_memory.has_outcome = True
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


def test_beside_it_are_v_s_reconstruction_and_what_m_had_expected_to_see(
    agent: Agent,
) -> None:
    moments = list(drive(agent, seed=4, steps=STEPS))
    seen = np.stack([moment.seen for moment in moments])
    z, _ = agent.vae.encode(seen)
    difference = np.abs(moments[2].reconstruction.astype(int) - agent.vae.decode(z)[2])
    assert difference.max() <= 1  # a batch of five, and more threads, round in another way
    actions = np.stack([moment.action for moment in moments])
    log_weight, mean, _ = (part.numpy()[0] for part in agent.memory.predict(z[None], actions[None]))
    expected = agent.vae.decode((np.exp(log_weight) * mean).sum(axis=-1))
    assert moments[0].expected is None  # M has seen nothing yet
    assert moments[3].expected is not None
    difference = np.abs(moments[3].expected.astype(int) - expected[2])
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


def test_a_dream_begins_where_the_drive_stands_after_a_second(agent: Agent) -> None:
    first = next(dream_on(agent, BOUNDS, seed=4, steps=STEPS, temperature=1.0))
    env = FastCarRacing()
    frame, _ = env.reset(seed=4)
    agent.reset(seed=4)
    for _ in range(WARM_UP):
        action = agent.act(frame)
        frame, *_ = env.step(action.astype(np.float64))
    z, _ = agent.vae.encode(preprocess(frame, (32, 32))[None])
    assert np.abs(first.seen.astype(int) - agent.vae.decode(z)[0]).max() <= 1
    # C does there what it does in the real episode, had that been its next frame.
    assert first.action == pytest.approx(agent.act(frame), abs=1e-4)


def test_whoever_drives_in_the_dream_steers_it(agent: Agent) -> None:
    def still(_: object) -> np.ndarray:
        return np.zeros((1, 3), np.float32)

    driven = list(dream_on(agent, BOUNDS, seed=4, steps=STEPS, temperature=0.0))
    left = list(dream_on(agent, BOUNDS, seed=4, steps=STEPS, temperature=0.0, driver=still))
    assert len(driven) == STEPS
    assert all((moment.action == 0).all() for moment in left)
    assert (driven[0].seen == left[0].seen).all()
    assert (driven[-1].seen != left[-1].seen).any()
    assert driven[0].dream_return == 0 != driven[-1].dream_return


def test_a_memory_without_an_outcome_head_cannot_dream(agent: Agent) -> None:
    memory = copy.copy(agent.memory)
    memory.has_outcome = False
    other = Agent(agent.vae, memory, agent.controller)
    with pytest.raises(WorldModelsError, match="outcome_weight: expected more than 0"):
        next(dream_on(other, BOUNDS, seed=4, steps=STEPS, temperature=1.0))


def test_the_arrow_keys_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    held = {pygame.K_LEFT: True, pygame.K_RIGHT: False, pygame.K_UP: True, pygame.K_DOWN: True}
    monkeypatch.setattr(pygame.key, "get_pressed", lambda: held)
    assert watch.keyboard_drives(None) == pytest.approx(np.array([[-1.0, 1.0, 0.8]]))


def test_a_film_of_a_dream_is_written(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch.Agent, "load", lambda _: agent)
    state = np.zeros((1, 8), np.float32)
    starts = DreamStarts(np.zeros((1, 4), np.float32), state, state, BOUNDS)
    starts.save(tmp_path / "dream_starts.h5", agent.memory)
    path = tmp_path / "dream.mp4"
    where = ("--models", str(tmp_path), "--film", str(path))
    assert main(["--dream", *where, "--steps", str(STEPS), "--seed", "4"]) == 0
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == STEPS
    assert film.get(cv2.CAP_PROP_FRAME_WIDTH) >= watch.DREAM_WIDTH


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--follow", "--film", "a.mp4"], "--follow: expected a window to follow in, got --film"),
        (["--follow", "--dream"], "--follow: expected a window to follow in, got --dream"),
        (["--keyboard"], "--keyboard: expected a dream in a window, got no --dream"),
        (["--keyboard", "--dream", "--film", "a.mp4"], "--keyboard: expected a dream in a window"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith(f"watch: {expected}")


@pytest.mark.parametrize("name", ["drive.mp4", "drive.webp"])
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
    assert capsys.readouterr().out.splitlines()[-1] == f"watch: wrote {path}"
    if path.suffix == ".mp4":
        assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == STEPS
    else:
        with Image.open(path) as picture:
            assert getattr(picture, "n_frames") == 2  # every fourth, from the first  # noqa: B009


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--film", "drive.avi"], "--film: expected a name that ends in .mp4 or .webp, got 'drive"),
        (["--film", "drive.gif"], "--film: expected a name that ends in .mp4 or .webp, got 'drive"),
        (["--steps", "0"], "--steps: expected an integer from 1 to 1000, got '0'"),
        (["--steps", "1e3"], "--steps: expected an integer from 1 to 1000, got '1e3'"),
        (["--steps", "1001"], "--steps: expected an integer from 1 to 1000, got '1001'"),
        (["--temperature", "-1"], "--temperature: expected a number from 0 to 10, got '-1'"),
        (["--temperature", "nan"], "--temperature: expected a number from 0 to 10, got 'nan'"),
        (["--seed", "-1"], "--seed: expected an integer from 0 to 2147483647, got '-1'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_by_name(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert expected in capsys.readouterr().err


def test_a_film_that_cannot_be_written_is_refused_before_the_drive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "drive.mp4").mkdir()
    (tmp_path / "file").touch()
    for place, got in (("drive.mp4", "got a folder"), ("file/drive.mp4", f"got {tmp_path}/file")):
        assert main(["--film", str(tmp_path / place)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"watch: {tmp_path / place}: expected")
        assert got in line


@pytest.mark.parametrize("script", ["exit 1", "sleep 0.2; exit 1"])
def test_a_broken_ffmpeg_is_named(
    script: str,
    agent: Agent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(watch.Agent, "load", lambda _: agent)
    broken = tmp_path / "ffmpeg"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(broken))
    assert main(["--film", str(tmp_path / "drive.mp4"), "--steps", str(STEPS)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "drive.mp4: expected ffmpeg to write a film, got: " in line
    assert not (tmp_path / "drive.mp4").exists()


def test_without_models_it_says_how_to_get_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--models", str(tmp_path), "--film", "drive.mp4"]) == 1
    assert "vae.h5: no such file; `dvc repro` makes it" in capsys.readouterr().err


def test_without_a_display_it_says_what_else_can_be_done(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch.Agent, "load", lambda _: agent)
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    import pygame

    pygame.display.quit()
    assert main([]) == 1
    assert "expected a display to open a window on, got none" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_a_window_opens_after_tensorflow_was_imported() -> None:
    """Mesa's LLVM and TensorFlow's in one process are a segmentation fault."""
    code = """
import numpy, tensorflow, worldmodels, pygame
pygame.display.init()
window = pygame.display.set_mode((64, 48))
window.blit(pygame.surfarray.make_surface(numpy.full((64, 48, 3), 200)), (0, 0))
pygame.display.flip()
print(pygame.display.get_driver())
"""
    reading, writing = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "320x240x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    ) as screen:
        os.close(writing)
        display = os.read(reading, 16).decode().strip()
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("SDL_VIDEODRIVER", "SDL_FRAMEBUFFER_ACCELERATION")
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "DISPLAY": f":{display}"},
            capture_output=True,
            text=True,
            check=False,
        )
        screen.terminate()
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["x11"]), done.stderr


@pytest.mark.parametrize("round_", [FIRST, SECOND])
def test_following_takes_up_the_mean_as_it_stands_at_each_episode_s_start(
    round_: Round, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    agent.vae.save(f"{round_.models}/vae.h5")
    agent.memory.save(f"{round_.models}/memory.h5")
    means = []
    for generation in range(2):
        rng = np.random.default_rng(generation)
        weights = rng.normal(size=(13, 3)).astype(np.float32)
        means.append(LinearController(weights, ("z", "h"), "mean"))
    current = Path("scratch", round_.stage("evolve"), "0123456789abcdef", CURRENT)
    means[0].save(current)
    following = follow(seed=4, steps=STEPS)
    first = [next(following) for _ in range(STEPS)]
    means[1].save(current)
    second = [next(following) for _ in range(STEPS)]
    shutil.rmtree("scratch")  # the evolution has ended
    assert list(following) == []
    for moments, mean, track in ((first, means[0], 4), (second, means[1], 5)):
        agent.controller = mean
        expected = drive(agent, seed=track, steps=STEPS)
        for moment, other in zip(moments, expected, strict=True):
            assert np.array_equal(moment.action, other.action)
            assert np.array_equal(moment.seen, other.seen)


def test_without_an_evolution_to_follow_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    assert main(["--follow"]) == 1
    assert "got none in scratch: run `dvc repro` in another" in capsys.readouterr().err
    assert main(["--follow", "--film", "drive.mp4"]) == 1
    assert "expected a window to follow in, got --film" in capsys.readouterr().err
