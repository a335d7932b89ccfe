"""Score the agent on stock gym's CarRacing-v2, and film it."""

from __future__ import annotations

import numpy as np

from worldmodels.car_racing.env_params import EnvParams
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.files import atomic_copy
from worldmodels.core.metrics import write_curve, write_metrics
from worldmodels.core.params import load_group
from worldmodels.core.progress import Progress, announce
from worldmodels.inspection.evaluation_charts import draw_lines, draw_returns, shown_episodes
from worldmodels.inspection.pictures import frame_grid, write_png
from worldmodels.models.agent_policy import policy_maker
from worldmodels.models.controller import LinearController
from worldmodels.models.determinism import hide_gpu
from worldmodels.models.vae import VAE
from worldmodels.pipeline.stage_run import run_resumable_stage
from worldmodels.rollouts.engine import make_engine
from worldmodels.rollouts.policies import UniformPolicy
from worldmodels.training.evaluation import (
    EvaluationLog,
    EvaluationParams,
    evaluation_episodes,
    score,
)

PICTURES = 8  # frames in the strip


def main(checkpoint: Checkpoint) -> None:
    env = load_group("env", EnvParams)
    params = load_group("evaluation", EvaluationParams)
    hide_gpu()
    models = f"models/{params.round}"
    VAE.load(f"{models}/vae.h5").require_image_shape(env.image_shape)
    controller = LinearController.load(f"{models}/controller.h5")
    announce(
        "evaluate",
        f"{params.episodes} episodes of stock gym CarRacing-v2",
    )
    film, picture = checkpoint.folder / "drive.mp4", checkpoint.folder / "drive.png"
    log = EvaluationLog(checkpoint)
    if not (film.exists() and picture.exists()):  # the first episode's
        log.rows.clear()
    episodes = evaluation_episodes(params, film=str(film))
    engine = make_engine(
        CarRacingTask(stock=True),
        policy_maker(models, inputs=controller.inputs, latent=controller.latent),
        image_shape=env.image_shape,
        batch_size=params.batch_size,
    )
    candidate = controller.parameters[None]
    driven = len(log.rows)
    with engine, Progress("evaluate", params.episodes, "episodes", done=driven) as progress:
        for outcome in engine.play(episodes[driven:], candidate):
            if outcome.recording is not None:
                strip = np.linspace(0, outcome.steps - 1, PICTURES).astype(int)
                write_png(picture, frame_grid([outcome.recording.frames[strip]], scale=2))
            log.add(outcome)
            progress.advance(1, mean=float(np.mean(log.returns)))
    # For comparison; rewards do not depend on who draws, so the fast simulator does.
    with make_engine(
        CarRacingTask(), UniformPolicy, image_shape=env.image_shape, batch_size=params.batch_size
    ) as engine:
        episodes = evaluation_episodes(params, film=None)
        random_returns = [outcome.episode_return for outcome in engine.play(episodes)]
    atomic_copy(film, "data/drive.mp4")
    atomic_copy(picture, "metrics/drive.png")
    write_curve("metrics/episodes.csv", log.rows)
    draw_returns("metrics/evaluation_returns.png", log.rows)
    shown = shown_episodes(log.rows)
    drives = {name: (log.rows[index], log.trace(index)) for name, index in shown.items()}
    draw_lines("metrics/evaluation_lines.png", drives)
    scored = score(log.returns)
    write_metrics(
        "metrics/evaluation.json",
        {name: scored.pop(name) for name in ("return_mean", "return_std")},
    )
    write_metrics(
        "metrics/evaluation_details.json",
        {**scored, "random_policy_return_mean": float(np.mean(random_returns))},
    )


if __name__ == "__main__":
    run_resumable_stage("evaluate", main)
