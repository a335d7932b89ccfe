"""Draws docs/fast_car_racing.png: gym's frames, FastCarRacing's, and their difference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from gym.envs.box2d.car_racing import CarRacing
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.car_racing.telemetry import COLUMNS, ROAD_HALF_WIDTH, Telemetry
from worldmodels.rollouts.driver import CentreLineDriver

PICTURE = Path("docs/fast_car_racing.png")
SEED = 7
SPEED = 40.0  # units a second
STRAIGHT, CURVE = 0.002, 0.06  # radians a unit
EDGE = 325.0  # units from the field's middle, whose border is at 333
MAGNIFIED = 8
Frames = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def moments() -> Iterator[tuple[str, Frames]]:
    """What each is, and both frames of it, on one drive: along the road, then straight on."""
    stock, fast = CarRacing(), FastCarRacing()
    frames = stock.reset(seed=SEED)[0], fast.reset(seed=SEED)[0]
    yield "first frame,\nzoomed out", frames
    driver, telemetry = CentreLineDriver(SPEED, offset=0.0), Telemetry(fast)
    wanted = ["0.4 s,\nzooming in", "straight", "curve with its kerb", "grass", "edge of the field"]
    step = 0
    while wanted:
        privileged = telemetry.measure()
        now = dict(zip(COLUMNS, privileged.tolist(), strict=True))
        reached = {
            5: step == 20,
            4: step > 100 and abs(now["curvature_ahead"]) < STRAIGHT,
            3: abs(now["curvature_ahead"]) > CURVE,
            2: abs(now["road_distance"]) > 4 * ROAD_HALF_WIDTH,
            1: max(map(abs, fast.car.hull.position)) > EDGE,
        }
        if reached[len(wanted)]:
            yield wanted.pop(0), frames
        along = len(wanted) > 2
        action = driver.act(privileged).astype(np.float64) if along else np.array([0.0, 0.3, 0.0])
        frames = stock.step(action)[0], fast.step(action)[0]
        step += 1


def main() -> None:
    shown = list(moments())
    figure, axes = plt.subplots(len(shown), 3, figsize=(8, 2.2 * len(shown)), layout="constrained")
    for row, (label, (stock, fast)) in zip(axes, shown, strict=True):
        off = np.abs(stock.astype(int) - fast)
        difference = np.minimum(MAGNIFIED * off, 255).astype(np.uint8)
        for place, picture in zip(row, (stock, fast, difference), strict=True):
            place.imshow(picture, interpolation="nearest")
            place.set(xticks=[], yticks=[])
        text = f"{label}\nmean {off.mean():.2f} of 255"
        row[0].set_ylabel(text, rotation=0, ha="right", va="center", ma="left")
    for place, title in zip(
        axes[0], ("gym", "FastCarRacing", f"difference, {MAGNIFIED} times"), strict=True
    ):
        place.set_title(title)
    figure.savefig(PICTURE, dpi=90, metadata={"Software": ""})


if __name__ == "__main__":
    main()
