"""V's report: every measure of each set of held-out frames, as metrics, tables and pictures.

`vision_frames` says what the sets are, and that experiments with another sampling policy can only
be compared on `driving`. Read `inspect_vision`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from worldmodels.car_racing.telemetry import COLUMNS
from worldmodels.core.metrics import Metrics, write_curve, write_metrics
from worldmodels.data.episodes import EpisodeFiles
from worldmodels.inspection.latent_map import map_latents
from worldmodels.inspection.probes import Probes, probe
from worldmodels.inspection.reconstruction import Reconstruction, Rows, reconstruction
from worldmodels.inspection.vision_charts import (
    draw_coloured_map,
    draw_coverage,
    draw_dimensions,
    draw_probe_predictions,
    draw_probe_scores,
    draw_thumbnails,
)
from worldmodels.inspection.vision_coverage import cover
from worldmodels.inspection.vision_frames import (
    FEWEST,
    SETS,
    InspectionParams,
    frames_with_following,
    read_held_out,
    read_privileged,
    split_sets,
)
from worldmodels.inspection.vision_measures import (
    Dimensions,
    Seen,
    dimensions,
    evenly,
    generation,
    interpolation,
    latent_space,
    see,
)
from worldmodels.inspection.vision_pictures import (
    draw_generated,
    draw_interpolations,
    draw_reconstructions,
    draw_traversals,
    draw_worst,
)
from worldmodels.models.decoding import Decoder
from worldmodels.models.vae import VAE

# Metrics, by their names in DVC's tables, and where they stand among the measures on `driving`.
METRICS = {
    "psnr": "reconstruction.psnr",
    "edge_psnr": "reconstruction.edge_psnr",
    "active_units": "latent_space.active_units",
    "aggregate_kl": "generation.aggregate_kl",
    "midpoint": "interpolation.linear.midpoint",
    "r2_distance": "probes.road_distance",
    "r2_curvature": "probes.curvature_ahead",
}


def inspect_vision(
    vae: VAE,
    fitted: Mapping[str, EpisodeFiles],
    driving: EpisodeFiles,
    params: InspectionParams,
    *,
    validation_share: float,
    rng: np.random.Generator,
    folder: str | Path = "metrics",
) -> None:
    """Measure V and write `vision.json`, the few measures of `METRICS`, `vision_details.json`, all
    of them, and `vision_*.csv` and `.png`, to `folder`.

    Args:
        vae: what is judged.
        fitted: the sets that V was fitted to, its validation episodes among them, in the order of
            its training. One that has no `FEWEST` frames held out is left out, and it says so.
        driving: episodes that it was not fitted to.
        params: the `inspection` group.
        validation_share: of `fitted`, as V's training held them out.
        rng: of all that is drawn.

    Raises:
        EpisodeFileError: `driving` has too few frames, or a file is damaged or unsafe.
    """
    folder = Path(folder)
    clock = _Clock()
    encode, decode = vae.encode, Decoder(vae).decode
    splits = split_sets(fitted, validation_share)
    whole = list(range(len(driving.episodes)))
    judged = {"driving": (driving, whole)}
    for name, files in fitted.items():
        _, validation = splits[name]
        if (count := frames_with_following(files, validation)) >= FEWEST:
            judged[name] = (files, validation)
        else:
            print(f"inspect_vision: {name} left out, {count} frames held out", flush=True)
    sets = {
        name: see(read_held_out(name, files, episodes, count=params.frames), encode, decode)
        for name, (files, episodes) in judged.items()
    }
    clock.said("frames read, encoded and decoded")
    reconstructions: dict[str, Reconstruction] = {}
    of_dimensions: dict[str, Dimensions] = {}
    probes: dict[str, Probes] = {}
    details: dict[str, Metrics] = {}
    for name, seen in sets.items():
        reconstructions[name] = reconstruction(seen)
        of_dimensions[name] = dimensions(seen, decode)
        held_out = seen.held_out
        probes[name] = probe(seen.mean, held_out.privileged, held_out.episodes)
        details[name] = {
            "frames": len(seen.mean),
            "reconstruction": reconstructions[name].metrics(),
            "generation": generation(seen, decode, rng=rng),
            "latent_space": latent_space(seen, of_dimensions[name], rng=rng),
            "interpolation": interpolation(seen, encode, decode, rng=rng),
            "probes": probes[name].r2,
        }
        clock.said(f"{name} measured")
    trained_on = [
        read_privileged(files, splits[name][0]) for name, files in fitted.items() if splits[name][0]
    ]
    coverage = cover(np.concatenate(trained_on), read_privileged(driving, whole))
    write_metrics(folder / "vision.json", _few(details["driving"]))
    write_metrics(folder / "vision_details.json", {**details, "coverage": coverage.metrics()})
    write_curve(folder / "vision_scenes.csv", _scene_rows(reconstructions))
    write_curve(folder / "vision_dimensions.csv", _dimension_rows(of_dimensions))
    write_curve(folder / "vision_probes.csv", _probe_rows(probes))
    write_curve(folder / "vision_coverage.csv", coverage.table())
    clock.said("coverage counted, tables written")

    shown = sets["driving"]
    draw_reconstructions(folder / "vision_reconstructions.png", list(sets.values()), rng=rng)
    draw_worst(folder / "vision_worst.png", shown, reconstructions["driving"])
    draw_generated(
        folder / "vision_generated.png",
        shown.held_out,
        decode,
        latent_dim=vae.latent_dim,
        rng=rng,
    )
    draw_traversals(folder / "vision_traversals.png", shown, of_dimensions["driving"], decode)
    draw_interpolations(folder / "vision_interpolations.png", shown, decode, rng=rng)
    draw_dimensions(folder / "vision_dimensions.png", of_dimensions)
    draw_probe_scores(folder / "vision_probes.png", probes)
    draw_probe_predictions(folder / "vision_probe_predictions.png", probes)
    draw_coverage(folder / "vision_coverage.png", coverage)
    clock.said("pictures drawn")
    _draw_map(folder, sets, params.map_frames, rng=rng)
    clock.said("map drawn")


def _few(driving: Metrics) -> Metrics:
    """`METRICS`, of the measures on `driving`; without those of an edge that no frame shows."""
    few: dict[str, int | float | bool | Metrics] = {}
    for name, place in METRICS.items():
        value: int | float | bool | Metrics | None = driving
        for key in place.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            few[name] = value
    return few


def _draw_map(
    folder: Path, sets: Mapping[str, Seen], count: int, *, rng: np.random.Generator
) -> None:
    chosen = {name: evenly(len(seen.mean), count // len(sets)) for name, seen in sets.items()}
    of_each = ", ".join(
        f"{len(rows)} of {len(sets[name].mean)} {name}" for name, rows in chosen.items()
    )
    note = f"a subsample of the frames: {of_each}"
    means, frames, privileged = (
        np.concatenate([values(sets[name])[rows] for name, rows in chosen.items()])
        for values in (
            lambda seen: seen.mean,
            lambda seen: seen.held_out.frames,
            lambda seen: seen.held_out.privileged,
        )
    )
    names = [name for name, rows in chosen.items() for _ in rows]
    places = map_latents(means, seed=int(rng.integers(2**31)))
    order = rng.permutation(len(places))  # whose thumbnail comes first
    draw_thumbnails(folder / "vision_map.png", places[order], frames[order], note)
    draw_coloured_map(folder / "vision_map_coloured.png", places, names, privileged, note)


def _scene_rows(of: Mapping[str, Reconstruction]) -> Rows:
    """A row for each set and kind of scene."""
    return [
        {"set": name, **{key: row[key] for key in row}, "label": f"{name}: {row['scene']}"}
        for name, found in of.items()
        for row in found.table
    ]


def _dimension_rows(of: Mapping[str, Dimensions]) -> Rows:
    """A row for each dimension, those that say most about driving first."""
    order = np.argsort(-of["driving"].kl, kind="stable")
    rows: Rows = []
    for rank, dimension in enumerate(order):
        row: dict[str, object] = {"rank": rank + 1, "dimension": int(dimension)}
        for name in SETS:  # the same columns, whatever was left out
            found = of.get(name)
            row[f"{name}_kl"] = found and float(found.kl[dimension])
            row[f"{name}_active"] = found and int(found.active[dimension])
            row[f"{name}_variance_of_mean"] = found and float(found.variance[dimension])
            row[f"{name}_aggregate_mean"] = found and float(found.centre[dimension])
            row[f"{name}_aggregate_std"] = found and float(found.std[dimension])
            row[f"{name}_unit_step"] = found and float(found.unit_step[dimension])
        rows.append(row)
    return rows


def _probe_rows(of: Mapping[str, Probes]) -> Rows:
    """A row for each privileged value."""
    scores = {name: probes.r2 for name, probes in of.items()}
    return [
        {"value": column, **{f"{name}_r2": scores.get(name, {}).get(column) for name in SETS}}
        for column in COLUMNS
    ]


class _Clock:
    """Says how long each part took."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def said(self, what: str) -> None:
        now = time.monotonic()
        print(f"inspect_vision: {what}, {now - self._since:.1f} s", flush=True)
        self._since = now
