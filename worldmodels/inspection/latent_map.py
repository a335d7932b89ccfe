"""A map of the latent space in two dimensions, by t-SNE (van der Maaten & Hinton 2008)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

PERPLEXITY = 30.0  # neighbours of a point, about; scikit-learn's own


def map_latents(mean: NDArray[np.float32], *, seed: int) -> NDArray[np.float64]:
    """A place for each mean, (points, latent_dim) to (points, 2): neighbours stay neighbours.

    On one thread, so that the map is the same each time, with any number of cores. At least four
    points.
    """
    spare = max(0, 2 - mean.shape[1])  # the first two principal components are where it begins
    padded = np.pad(mean.astype(np.float64), ((0, 0), (0, spare)))
    tsne = TSNE(
        init="pca",
        perplexity=min(PERPLEXITY, (len(mean) - 1) / 3),
        random_state=seed,
        n_jobs=1,
    )
    with threadpool_limits(limits=1):  # n_jobs counts only for the search of neighbours
        return tsne.fit_transform(padded).astype(np.float64)
