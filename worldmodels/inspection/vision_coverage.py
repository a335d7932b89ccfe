"""How V's training frames cover the road, held against the frames of driving. Read `cover`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.telemetry import COLUMNS, ROAD_HALF_WIDTH
from worldmodels.core.metrics import Metrics

# Edges of histogram bins, the same in every experiment; the outermost bins hold all beyond them.
BINS = {
    "speed": np.linspace(0.0, 100.0, 26),
    "road_distance": np.linspace(-50.0, 50.0, 26),
    "curvature_ahead": np.linspace(-0.075, 0.075, 26),
}


@dataclass(frozen=True)
class Coverage:
    """Histograms of `training` and `driving` frames.

    shares: by set and quantity, (bins,) float64 that add up to 1.
    frames: by set, how many. off_road: by set, the share of frames with the car beside the road.
    """

    shares: dict[str, dict[str, NDArray[np.float64]]]
    frames: dict[str, int]
    off_road: dict[str, float]

    def metrics(self) -> Metrics:
        """`off_road` of both, and by quantity `overlap`: the share that the histograms have in
        common, 1 for equal ones."""
        training, driving = self.shares["training"], self.shares["driving"]
        return {
            "off_road": self.off_road,
            "overlap": {
                quantity: float(np.minimum(training[quantity], driving[quantity]).sum())
                for quantity in BINS
            },
        }

    def table(self) -> list[dict[str, object]]:
        """A row for each bin, with its middle for each quantity and the share of each set."""
        rows: list[dict[str, object]] = []
        for index in range(len(self.shares["training"]["speed"])):
            row: dict[str, object] = {}
            for quantity, edges in BINS.items():
                row[quantity] = float(edges[index : index + 2].mean())
                for name, shares in self.shares.items():
                    row[f"{quantity}_{name}"] = float(shares[quantity][index])
            rows.append(row)
        return rows


def cover(training: NDArray[np.float32], driving: NDArray[np.float32]) -> Coverage:
    """Count both sets' frames, each (frames, 6), columns as `telemetry.COLUMNS`."""
    sets = {"training": training, "driving": driving}
    shares = {
        name: {quantity: _shares(values, quantity) for quantity in BINS}
        for name, values in sets.items()
    }
    distance = COLUMNS.index("road_distance")
    off_road = {
        name: float((np.abs(values[:, distance]) > ROAD_HALF_WIDTH).mean())
        for name, values in sets.items()
    }
    return Coverage(shares, {name: len(values) for name, values in sets.items()}, off_road)


def _shares(values: NDArray[np.float32], quantity: str) -> NDArray[np.float64]:
    edges = BINS[quantity]
    middles = (edges[1:] + edges[:-1]) / 2
    inside = np.clip(values[:, COLUMNS.index(quantity)], middles[0], middles[-1])
    counts, _ = np.histogram(inside, edges)
    return counts / len(values)
