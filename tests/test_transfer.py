"""A controller is transferred to another V and M: it does there what it did before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from project import FIRST, ROOT, SECOND

from worldmodels.core.errors import WorldModelsError
from worldmodels.data.episodes import EpisodeData, read_episodes
from worldmodels.models.controller import LinearController, LinearLayer, linear_layer, with_ones
from worldmodels.rollouts.episode import Episode

if TYPE_CHECKING:
    from conftest import WriteEpisodes

    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE

INPUTS = ("z", "h")


class Linear:
    """Extracts an episode's actions, times a matrix."""

    inputs = INPUTS

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        self._matrix = matrix
        self.layer = LinearLayer(len(matrix))

    def features(self, episode: EpisodeData) -> NDArray[np.float64]:
        return episode.actions.astype(np.float64) @ self._matrix


@pytest.fixture
def drives(tmp_path: Path, write_episodes: WriteEpisodes) -> list[EpisodeData]:
    write_episodes(tmp_path / "drives", [60, 50, 40])
    return list(read_episodes(tmp_path / "drives"))


def controller_of(inputs: int, *, latent: str = "mean") -> LinearController:
    weights = np.random.default_rng(5).normal(size=(inputs + 1, 3)).astype(np.float32)
    return LinearController(weights, INPUTS, latent)


def test_what_is_said_in_other_numbers_is_understood_as_before(drives: list[EpisodeData]) -> None:
    from worldmodels.training.transfer import outputs, transfer

    rng = np.random.default_rng(3)
    before, after = Linear(rng.normal(size=(3, 3))), Linear(rng.normal(size=(3, 3)))
    controller = controller_of(3, latent="sample")
    transferred = transfer(controller, before, after, drives)
    assert (transferred.inputs, transferred.latent) == (INPUTS, "sample")
    assert transferred.weights.dtype == np.float32
    wanted = outputs(controller, before, drives)
    assert wanted.shape == (150, 3)
    off = np.abs(outputs(controller, after, drives) - wanted).mean()
    assert np.abs(outputs(transferred, after, drives) - wanted).mean() < off / 20


def test_with_the_same_extractor_or_no_drives_nothing_changes(drives: list[EpisodeData]) -> None:
    from worldmodels.training.transfer import transfer

    one, other = Linear(np.eye(3)), Linear(2 * np.eye(3))
    controller = controller_of(3)
    assert transfer(controller, one, one, drives).weights == pytest.approx(controller.weights)
    assert np.array_equal(transfer(controller, one, other, []).weights, controller.weights)


def test_what_the_drives_leave_open_stays_as_it_was(drives: list[EpisodeData]) -> None:
    """An input that is always zero: any weight would do."""
    from worldmodels.training.transfer import transfer

    before, after = Linear(np.diag([1.0, 1.0, 0.0])), Linear(np.diag([2.0, 2.0, 0.0]))
    controller = controller_of(3)
    transferred = transfer(controller, before, after, drives)
    assert np.array_equal(transferred.weights[2], controller.weights[2])
    assert transferred.weights[:2] == pytest.approx(controller.weights[:2] / 2, abs=0.05)


@pytest.mark.parametrize("inputs", [("z",), INPUTS])
def test_an_extractor_gives_what_the_agent_read(
    drives: list[EpisodeData], tiny_vae: VAE, tiny_memory: MDNRNN, inputs: tuple[str, ...]
) -> None:
    """The agent's actions, computed from what they say that it read at each step."""
    from worldmodels.models.agent_policy import AgentPolicy, agent_graphs
    from worldmodels.training.transfer import FeatureExtractor

    frames = drives[0].frames
    shape = linear_layer(inputs, latent_dim=4, hidden_units=8).shape
    weights = np.random.default_rng(5).normal(size=shape)
    weights[-1] = [0.0, 0.0, 0.5]  # where tanh is steep, and the brake on
    graphs = agent_graphs(tiny_vae, tiny_memory, inputs=inputs, latent="mean")
    policy = AgentPolicy(1, graphs=graphs)
    policy.set_candidates(weights.reshape(1, -1))
    policy.begin(0, Episode(track_seed=0))
    actions = np.concatenate([policy.act(frame[None]) for frame in frames])
    driven = EpisodeData(**{**vars(drives[0]), "actions": actions})
    extractor = FeatureExtractor(tiny_vae, tiny_memory, inputs=inputs)
    steering, gas, brake = np.tanh(with_ones(extractor.features(driven)) @ weights).T
    expected = np.stack([steering, (gas + 1) / 2, np.clip(brake, 0, 1)], axis=1)
    assert actions == pytest.approx(expected, abs=1e-5)
    assert actions.std(axis=0).min() > 1e-3


def test_what_does_not_belong_together_is_refused(
    drives: list[EpisodeData], tiny_vae: VAE, tiny_memory: MDNRNN
) -> None:
    from worldmodels.models.memory import MDNRNN
    from worldmodels.training.transfer import FeatureExtractor, transfer

    other = MDNRNN(5, 8, 2, rng=np.random.default_rng(2))
    with pytest.raises(WorldModelsError, match=r"^memory: expected latents of 4 numbers.* for 5;"):
        FeatureExtractor(tiny_vae, other, inputs=INPUTS)
    extractor = FeatureExtractor(tiny_vae, tiny_memory, inputs=INPUTS)
    with pytest.raises(WorldModelsError, match=r"expected weights of \(13, 3\) .* got \(12, 3\)"):
        transfer(controller_of(11), extractor, extractor, drives)
    z_alone = FeatureExtractor(tiny_vae, tiny_memory, inputs=("z",))
    with pytest.raises(WorldModelsError, match=r"expected weights of \(5, 3\) .* got \(13, 3\)"):
        transfer(controller_of(12), extractor, z_alone, drives)


PARAMS_YAML = """\
base: {seed: 0, validation_share: 0.25}
compute: {threads: 1}
"""


def test_the_stage_fits_some_drives_and_measures_on_the_others(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_episodes: WriteEpisodes,
    tiny_vae: VAE,
    tiny_memory: MDNRNN,
) -> None:
    from stages import transfer as stage
    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE
    from worldmodels.training.transfer import FeatureExtractor, outputs, transfer

    monkeypatch.chdir(tmp_path)
    for name in ("hide_gpu", "use_threads", "make_deterministic"):
        monkeypatch.setattr(stage, name, lambda *_, **__: None)  # too late in this process
    Path("params.yaml").write_text(PARAMS_YAML)
    write_episodes(SECOND.episodes, [200, 180, 200, 190])
    first = controller_of(12)
    rng = np.random.default_rng(4)
    for models in ("models/first", "models/second"):
        tiny_vae.save(f"{models}/vae.h5")
        tiny_memory.save(f"{models}/memory.h5")
        for weight in [*tiny_vae.weights, *tiny_memory.weights]:
            weight.assign(weight + rng.normal(size=weight.shape, scale=0.02))
    first.save("models/first/controller.h5")
    stage.main(SECOND)

    before, after = (
        FeatureExtractor(
            VAE.load(f"{models}/vae.h5"),
            MDNRNN.load(f"{models}/memory.h5"),
            inputs=INPUTS,
        )
        for models in ("models/first", "models/second")
    )
    *fitted, last = read_episodes(SECOND.episodes)
    held_out = [fitted.pop(2)]
    expected = transfer(first, before, after, [*fitted, last])
    transferred = LinearController.load(SECOND.initial_controller)
    assert np.array_equal(transferred.weights, expected.weights)
    assert (transferred.inputs, transferred.latent) == (first.inputs, first.latent)
    wanted = outputs(first, before, held_out)
    metrics = json.loads(Path("metrics/second/transfer.json").read_text())
    assert list(metrics["held_out_r2"]) == ["as_it_was", "transferred"]
    for name, controller in (("as_it_was", first), ("transferred", transferred)):
        off = np.square(outputs(controller, after, held_out) - wanted).mean(axis=0)
        shares = metrics["held_out_r2"][name]
        assert list(shares) == ["steering", "gas", "brake"]
        assert list(shares.values()) == pytest.approx(1 - off / wanted.var(axis=0), abs=1e-4)


def test_the_first_round_begins_with_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_memory: MDNRNN
) -> None:
    from stages import transfer as stage

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "hide_gpu", lambda: None)  # too late in this process
    shutil.copy(ROOT / "params.yaml", tmp_path)
    tiny_memory.save("models/first/memory.h5")
    stage.main(FIRST)
    initial = LinearController.load(FIRST.initial_controller)
    assert initial.inputs == ("z", "h")
    assert initial.weights.shape == (13, 3)
    assert not initial.weights.any()
    assert json.loads(Path("metrics/first/transfer.json").read_text()) == {"held_out_r2": {}}
