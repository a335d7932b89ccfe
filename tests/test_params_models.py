"""Models of any size that params.yaml may ask for see, predict and act."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from params_files import QUICK, Groups, changed

from worldmodels.models.agent_policy import AgentPolicy, agent_graphs
from worldmodels.models.controller import linear_layer
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.models.vision import calibrate
from worldmodels.pipeline.all_params import AllParams, all_of
from worldmodels.rollouts.episode import Episode


def require_models_act(params: AllParams) -> None:
    """Build V, M and a controller of these sizes; let them see, predict and act once."""
    one = params.rounds["first"]
    vae, memory, controller = one.vae, one.memory, one.controller
    rng = np.random.default_rng(params.base.seed)
    vision = VAE(params.env.image_shape, vae.latent_dim, precision=vae.precision, rng=rng)
    frames = rng.integers(0, 256, (2, *params.env.image_shape, 3), dtype=np.uint8)
    if vae.precision == "int8":
        calibrate(vision, frames)
    mean, _ = vision.encode(frames)
    assert mean.shape == (2, vae.latent_dim)
    assert vision.decode(mean).shape == frames.shape
    rnn = MDNRNN(vae.latent_dim, memory.hidden_units, memory.mixtures, rng=rng)
    _, predicted, _ = rnn.predict(mean[None], np.zeros((1, 2, 3), np.float32))
    assert predicted.shape == (1, 2, vae.latent_dim, memory.mixtures)
    graphs = agent_graphs(vision, rnn, inputs=controller.inputs, latent=controller.latent)
    policy = AgentPolicy(2, graphs=graphs)
    layer = linear_layer(
        controller.inputs, latent_dim=vae.latent_dim, hidden_units=memory.hidden_units
    )
    policy.set_candidates(rng.standard_normal((1, layer.parameters)))
    for slot in range(2):
        policy.begin(slot, Episode(track_seed=0, steps=controller.steps))
    actions = policy.act(frames)
    assert actions.shape == (2, 3)
    assert np.isfinite(actions).all()


@pytest.mark.usefixtures("eager")
def test_models_of_drawn_sizes_act(tiny_groups: Groups) -> None:
    changes = {
        "base.seed": st.integers(0, 2**31 - 1),
        "env.image_shape": st.lists(st.integers(32, 96), min_size=2, max_size=2),
        "vae.latent_dim": st.integers(1, 64),
        "vae.precision": st.sampled_from(["float32", "bfloat16", "int8"]),
        "memory.hidden_units": st.integers(1, 64),
        "memory.mixtures": st.integers(1, 8),
        "controller.inputs": st.sampled_from([["z"], ["z", "h"]]),
        "controller.latent": st.sampled_from(["mean", "sample"]),
    }

    @settings(QUICK, max_examples=10)
    @given(st.fixed_dictionaries(changes))
    def hold(drawn: dict[str, Any]) -> None:
        require_models_act(all_of(changed(tiny_groups, drawn)))

    hold()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "changes",
    [
        {"vae.latent_dim": 1024, "memory.mixtures": 20},
        {"vae.latent_dim": 1, "memory.hidden_units": 1, "memory.mixtures": 100},
        {"env.image_shape": [32, 96], "vae.precision": "bfloat16"},
        {"env.image_shape": [96, 32], "vae.precision": "int8", "memory.hidden_units": 1024},
        pytest.param(
            {"memory.hidden_units": 4096, "controller.inputs": ["z"]},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_models_at_the_bounds_act(tiny_groups: Groups, changes: dict[str, Any]) -> None:
    require_models_act(all_of(changed(tiny_groups, changes)))
