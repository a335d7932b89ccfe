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
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from worldmodels.car_racing.telemetry import COLUMNS

ALPHA = 1.0  # of the ridge, on standardised z: it only keeps unused dimensions from mattering
FOLDS = 10  # of episodes; fitted to one half and scored on the other, scores change by 0.1 and more


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
    mean: NDArray[np.float32], privileged: NDArray[np.float32], episodes: NDArray[np.int64]
) -> Probes:
    """Predict each tenth of the episodes by a probe fitted to the others.

    Tenths of whole episodes: neighbouring frames are so alike that a probe would know those of its
    own episodes by heart. Fewer than ten episodes are left out one by one; where there is but one,
    its first half of frames is predicted from its second, and the other way round.

    Args:
        mean: (frames, latent_dim). privileged: (frames, 6). episodes: (frames,), whose each is.
    """
    count = len(np.unique(episodes))
    folds, groups = (GroupKFold(min(FOLDS, count)), episodes) if count > 1 else (KFold(2), None)
    model = make_pipeline(StandardScaler(), Ridge(alpha=ALPHA, solver="cholesky"))
    z, true = mean.astype(np.float64), privileged.astype(np.float64)
    return Probes(cross_val_predict(model, z, true, groups=groups, cv=folds), true)
