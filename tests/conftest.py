"""What several tests need: episodes whose frames say which they are, and small models.

TensorFlow is imported by the fixtures that need it, not here.
"""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from params_files import Groups, preset_groups
from project import STAGES, Project, stages_run

from worldmodels.car_racing.telemetry import COLUMNS
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.data import hdf5_files
from worldmodels.data.episodes import EndReason, EpisodeData, EpisodeWriter
from worldmodels.rollouts.episode import Episode, Outcome

if TYPE_CHECKING:
    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # gym draws without a display

MakeOutcome = Callable[..., Outcome]
WriteEpisodes = Callable[..., list[Outcome]]


def _outcome(
    index: int,
    length: int,
    *,
    image_shape: tuple[int, int] = (32, 32),
    reason: EndReason = "time_limit",
    frames: NDArray[np.uint8] | None = None,
) -> Outcome:
    rng = np.random.default_rng([index, length])
    if frames is None:
        frames = rng.integers(0, 256, (length, *image_shape, 3), dtype=np.uint8)
        frames[:, 4:, :, :] = 7  # mostly one colour, so that gzip is quick
        steps = np.arange(length)
        frames[:, 0, 0] = np.stack([np.full(length, index), steps // 256, steps % 256], axis=1)
    episode = Episode(track_seed=100 + index, steps=length, record=True)
    recording = EpisodeData(
        episode.track_seed,
        frames,
        rng.uniform(-1, 1, (length, 3)).astype(np.float32),
        rng.normal(size=length).astype(np.float32),
        rng.integers(0, 3, length).astype(np.float32),
        rng.normal(size=(length, len(COLUMNS))).astype(np.float32),
        reason,
    )
    return Outcome(episode, float(recording.rewards.sum()), length, 3, reason, recording)


def _write_episodes(
    folder: str | Path,
    lengths: Sequence[int],
    *,
    image_shape: tuple[int, int] = (32, 32),
    seed: int = 0,
    reasons: Sequence[EndReason] | None = None,
    frames: NDArray[np.uint8] | None = None,
) -> list[Outcome]:
    outcomes = [
        _outcome(
            index,
            length,
            image_shape=image_shape,
            reason=reasons[index] if reasons else "time_limit",
            frames=frames,
        )
        for index, length in enumerate(lengths)
    ]
    with EpisodeWriter(
        folder,
        environment="a test",
        policy="numbered",
        seed=seed,
        image_shape=image_shape,
        privileged_columns=COLUMNS,
    ) as writer:
        for outcome in outcomes:
            writer.write(outcome.recorded)
    return outcomes


@pytest.fixture(scope="session", autouse=True)
def no_list_of_vetted_files() -> Iterator[None]:
    """Tests leave the checkout's scratch/validated alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5_files, "list_of_vetted", lambda: None)
        yield


@pytest.fixture(scope="session")
def make_outcome() -> MakeOutcome:
    """`make_outcome(index, length)`: a recorded episode; pixel (0, 0) of a frame is its episode,
    its step // 256 and its step % 256."""
    return _outcome


@pytest.fixture(scope="session")
def write_episodes() -> WriteEpisodes:
    """`write_episodes(folder, lengths)`: shards of such episodes, or of `frames`; returns what was
    written."""
    return _write_episodes


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose tiny pipeline ran once, undisturbed, with one worker; its lock is `lock`.

    Where tests run in several processes, one of them makes it, and each has a copy."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "pipeline"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = shared / "project.pickle"
        if not kept.exists():
            made = Project(shared)
            output = made.run("dvc", "repro")
            assert stages_run(output) == STAGES
            made.lock = made.read_lock()
            made.commit()
            kept.write_bytes(pickle.dumps(made))
    original: Project = pickle.loads(kept.read_bytes())
    return original.copy(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="session")
def tiny_groups(tmp_path_factory: pytest.TempPathFactory) -> Groups:
    """What params.yaml says with the tiny preset."""
    return preset_groups("tiny", tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_vae() -> VAE:
    """A VAE of 32 x 32 frames and 4 latents, untrained."""
    from worldmodels.models.vae import VAE

    return VAE((32, 32), 4, rng=np.random.default_rng(1))


@pytest.fixture
def tiny_memory() -> MDNRNN:
    """A memory of 4 latents, 8 hidden units and 2 mixtures, untrained, with a centre."""
    from worldmodels.models.memory import MDNRNN

    memory = MDNRNN(4, 8, 2, rng=np.random.default_rng(2))
    memory.feature_mean = np.random.default_rng(3).normal(size=12, scale=0.1).astype(np.float32)
    return memory


def distance(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Root mean square of what they differ by, as a share of what is expected."""
    return float(np.sqrt(np.square(got - expected).mean() / np.square(expected).mean()))


class PluggedOut(Checkpoint):
    """A checkpoint that saves whenever it may, and pulls the plug after so many times."""

    def __init__(self, folder: Path, saves: int) -> None:
        super().__init__("a test", folder)
        self._left = saves
        folder.mkdir(exist_ok=True)

    @property
    def due(self) -> bool:
        return True

    def saved(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def eager() -> Iterator[None]:
    """TensorFlow without graphs: quicker for a step or two, and a spy sees numbers."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
