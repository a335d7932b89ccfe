"""Score the agent where colours differ, things are in the picture, frames or actions come late."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.disturbances import UNDISTURBED
from worldmodels.car_racing.disturbed_task import DisturbedTask
from worldmodels.car_racing.env_params import EnvParams
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.metrics import write_curve, write_metrics
from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import Progress, announce
from worldmodels.inspection.disturbance_picture import draw_disturbances
from worldmodels.models.agent_policy import policy_maker
from worldmodels.models.controller import LinearController
from worldmodels.models.determinism import hide_gpu
from worldmodels.models.vae import VAE
from worldmodels.pipeline.stage_run import run_resumable_stage
from worldmodels.rollouts.engine import make_engine
from worldmodels.training.disturbed_evaluation import DisturbedLog, RobustnessParams
from worldmodels.training.evaluation import EvaluationParams, evaluation_episodes

ENVIRONMENTS_PER_WORKER = 32
SHOWN_AT = 60  # steps; gym's camera has come down by then
GENTLY = np.array([[0.0, 0.3, 0.0]])


def main(checkpoint: Checkpoint) -> None:
    base = load_group("base", BaseParams)
    env = load_group("env", EnvParams)
    params = load_group("evaluation", EvaluationParams)
    disturbances = load_group("robustness", RobustnessParams).disturbances
    names = [UNDISTURBED, *disturbances]
    hide_gpu()
    models = f"models/{params.round}"
    vae = VAE.load(f"{models}/vae.h5")
    vae.require_image_shape(env.image_shape)
    controller = LinearController.load(f"{models}/controller.h5")
    policy = policy_maker(models, inputs=controller.inputs, latent=controller.latent)
    announce("evaluate_disturbed", f"{params.episodes} episodes under each of {', '.join(names)}")
    log = DisturbedLog(checkpoint)
    done = len(log.disturbances)
    with Progress("evaluate_disturbed", len(names), "disturbances", done=done) as progress:
        for name in names[done:]:
            with make_engine(
                DisturbedTask(disturbance=name),
                policy,
                image_shape=env.image_shape,
                batch_size=ENVIRONMENTS_PER_WORKER,
            ) as engine:
                episodes = evaluation_episodes(params, film=None)
                log.add(name, list(engine.play(episodes, controller.parameters[None])))
            progress.advance(1, mean=log.scores()[name][0])
    scores = log.scores()
    write_curve("metrics/disturbed_episodes.csv", log.rows)
    write_metrics(
        "metrics/disturbed_details.json",
        {name: {"return_mean": mean, "return_std": std} for name, (mean, std) in scores.items()},
    )
    means = [scores[name][0] for name in disturbances]
    write_metrics("metrics/disturbed.json", {"disturbed_mean": float(np.mean(means))})
    frames = {name: _frame(name, env.image_shape, params.first_seed) for name in names}
    rng = np.random.default_rng(base.seed)
    reconstructions = list(vae.reconstruct(np.stack(list(frames.values())), rng=rng))
    draw_disturbances("metrics/disturbances.png", frames, reconstructions, scores)


def _frame(disturbance: str, image_shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """What is seen of a car that rolls straight on."""
    batch = DisturbedTask(disturbance=disturbance).make_batch(1, image_shape)
    batch.reset(0, seed=seed, random_start=False)
    for _ in range(SHOWN_AT):
        batch.step([0], GENTLY)
    frame: NDArray[np.uint8] = batch.frames([0])[0]
    return frame


if __name__ == "__main__":
    run_resumable_stage("evaluate_disturbed", main)
