"""What z says about the drive: linear probes from V's means to the privileged values.

A linear controller reads z, so what a linear map finds there is what it can act on. Speed and
angular velocity are hardly visible on one frame without the indicator bar: a low score is the
expected result, not an error. Read `probe`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from worldmodels.telemetry import COLUMNS

ALPHA = 1.0  # of the ridge, on standardised z: it only keeps unused dimensions from mattering


@dataclass(frozen=True)
class Probes:
    """What linear probes predict for frames whose episodes they were not fitted to.

    predicted, true: (frames, 6), columns as `telemetry.COLUMNS`.
    """

    predicted: NDArray[np.float64]
    true: NDArray[np.float64]

    @property
    def r2(self) -> dict[str, float]:
        """Explained share of each value's variance; 0 for a value that never changes."""
        scores = r2_score(self.true, self.predicted, multioutput="raw_values")
        scores = np.where(np.ptp(self.true, axis=0) > 0, scores, 0.0)
        return {name: float(score) for name, score in zip(COLUMNS, scores, strict=True)}


def probe(
    mean: NDArray[np.float32],
    privileged: NDArray[np.float32],
    episodes: NDArray[np.int64],
    *,
    rng: np.random.Generator,
) -> Probes:
    """Fit on half of the episodes and predict the other half, then the other way round.

    Halves are of whole episodes, drawn at random: neighbouring frames are so alike that a probe
    would know those of its own episodes by heart. Where there is but one episode, its first half
    of frames and its second.

    Args:
        mean: (frames, latent_dim). privileged: (frames, 6). episodes: (frames,), whose each is.
    """
    in_first = _first_half(episodes, rng=rng)
    true = privileged.astype(np.float64)
    predicted = np.empty_like(true)
    for fitted in (in_first, ~in_first):
        model = make_pipeline(StandardScaler(), Ridge(alpha=ALPHA, solver="cholesky"))
        model.fit(mean[fitted].astype(np.float64), true[fitted])
        predicted[~fitted] = model.predict(mean[~fitted].astype(np.float64))
    return Probes(predicted, true)


def _first_half(episodes: NDArray[np.int64], *, rng: np.random.Generator) -> NDArray[np.bool_]:
    names = np.unique(episodes)
    if len(names) == 1:
        return np.arange(len(episodes)) < len(episodes) // 2
    return np.isin(episodes, rng.permutation(names)[: len(names) // 2])
