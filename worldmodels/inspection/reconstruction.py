"""How well V reconstructs held-out frames: as a whole, at the road's edge, at the car, by scene.

Read `reconstruction`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.core.metrics import Metrics
from worldmodels.inspection.vision_frames import SCENES, HeldOut, car, road_edge, scene_kinds
from worldmodels.inspection.vision_measures import Seen

SSIM_WINDOW = 11  # pixels (Wang et al. 2004)
SMALLEST_ERROR = 1e-10  # squared, a pixel value: 100 dB, where PSNR ends
SSIM_BATCH = 128  # frames, so that memory does not grow with their number
MOMENT = 50  # steps, a second: successive frames are too alike to be two failures

Rows: TypeAlias = list[dict[str, object]]


@dataclass(frozen=True)
class Reconstruction:
    """How well frames are reconstructed.

    frame_errors: (frames,) float64, squared error a pixel value, 0 to 1.
    kinds: (frames,), one of `SCENES` each.
    table: a row for each kind of scene, `all` first, with `frames` and, for the whole frame, the
        road's edge and the car, `mse`, `psnr` and `ssim`; None where there are no such pixels.
    """

    frame_errors: NDArray[np.float64]
    kinds: NDArray[np.str_]
    table: Rows

    def metrics(self) -> Metrics:
        """All of `all`, and of each kind of scene that there is the whole frame."""
        found: dict[str, int | float | Metrics] = {}
        for row in self.table:
            values = {
                name: value
                for name, value in row.items()
                if isinstance(value, int | float) and name != "frames"
            }
            if row["scene"] == "all":
                found.update(values)
            elif row["frames"]:
                whole = {name: values[name] for name in ("mse", "psnr", "ssim")}
                found[str(row["scene"])] = {"frames": int(str(row["frames"])), **whole}
        return found


def reconstruction(seen: Seen) -> Reconstruction:
    """Squared error, PSNR and SSIM (Wang et al. 2004) of the posterior means' reconstructions.

    PSNR is that of the mean squared error of all pixels, not a mean over frames, so that it is
    finite. SSIM is TensorFlow's; at the edge and the car it is the mean of the index there, near
    the border with the frame mirrored outwards.
    """
    frames, reconstructions = seen.held_out.frames, seen.reconstructions
    errors = np.empty(frames.shape[:3], np.float32)
    index = np.empty(frames.shape[:3], np.float32)
    for start in range(0, len(frames), SSIM_BATCH):
        rows = slice(start, start + SSIM_BATCH)
        true, drawn = _pixels(frames[rows]), _pixels(reconstructions[rows])
        errors[rows] = np.square(true - drawn).mean(axis=-1)
        index[rows] = _ssim_map(true, drawn)
    border = SSIM_WINDOW // 2
    inner = np.zeros(frames.shape[:3], bool)
    inner[:, border:-border, border:-border] = True  # where `tf.image.ssim` takes its mean
    regions = {"": None, "edge_": road_edge(frames), "car_": car(frames)}
    kinds = scene_kinds(seen.held_out)
    table: Rows = []
    for scene in ("all", *SCENES):
        of_scene = np.ones(len(frames), bool) if scene == "all" else kinds == scene
        row: dict[str, object] = {"scene": scene, "frames": int(of_scene.sum())}
        for prefix, mask in regions.items():
            chosen = errors[of_scene] if mask is None else errors[of_scene][mask[of_scene]]
            alike = index[of_scene][(inner if mask is None else mask)[of_scene]]
            mse = float(chosen.mean(dtype=np.float64)) if chosen.size else None
            row[f"{prefix}mse"] = mse
            row[f"{prefix}psnr"] = None if mse is None else psnr(mse)
            row[f"{prefix}ssim"] = float(alike.mean(dtype=np.float64)) if alike.size else None
        table.append(row)
    return Reconstruction(errors.mean(axis=(1, 2), dtype=np.float64), kinds, table)


def worst_moments(
    frame_errors: NDArray[np.float64], held_out: HeldOut, count: int
) -> NDArray[np.intp]:
    """Indices of at most `count` frames with the largest errors, the worst first, without those
    less than `MOMENT` steps from a worse one of their episode."""
    kept: list[int] = []
    for index in np.argsort(-frame_errors, kind="stable"):
        beside = held_out.episodes[kept] == held_out.episodes[index]
        if not (beside & (np.abs(held_out.steps[kept] - held_out.steps[index]) < MOMENT)).any():
            kept.append(int(index))
        if len(kept) == count:
            break
    return np.array(kept)


def _pixels(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Frames as V sees them, 0 to 1."""
    return np.divide(frames, 255, dtype=np.float32)


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in decibels, 100 at most, of pixels from 0 to 1."""
    return float(-10.0 * np.log10(max(mse, SMALLEST_ERROR)))


def _ssim_map(true: NDArray[np.float32], drawn: NDArray[np.float32]) -> NDArray[np.float32]:
    """The index at every pixel, (frames, height, width); TensorFlow's away from the border."""
    border = SSIM_WINDOW // 2
    wide = ((0, 0), (border, border), (border, border), (0, 0))
    padded = [np.pad(pixels, wide, mode="symmetric") for pixels in (true, drawn)]
    found = tf.image.ssim(*padded, 1.0, filter_size=SSIM_WINDOW, return_index_map=True).numpy()
    return found.reshape(true.shape[:3])
