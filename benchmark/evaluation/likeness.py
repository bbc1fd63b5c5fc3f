"""Synthetic descriptors that look like real ones, for maps that nobody has driven: as many as are asked for.

They are drawn from the normal distribution with the mean and the covariance of real descriptors. Where all real ones
have one length, they get it too. How like they are is measured and not assumed (:func:`nearest_quantiles`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from benchmark.evaluation.distances import distances
from datasets.base import DistanceKind
from datasets.randomness import generator

CHUNK = 2**14
"""Descriptors that are drawn at once: a range may begin and end anywhere, and holds the same numbers."""
SAME_LENGTH = 1e-3
"""Lengths that differ by less than this share of their mean are one length."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Shares of queries at which the distances to the nearest place are compared."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """What synthetic descriptors share with real ones."""

    mean: Float32[ndarray, " size"]
    spread: Float32[ndarray, "axes size"]
    """Principal axes, each as long as its standard deviation."""
    length: float | None
    """Length of every descriptor, if they have one."""
    n_fitted: int
    seed: int
    """Seed of the drawing: another one gives other descriptors of the same distribution."""

    @classmethod
    def of(cls, real: Float[ndarray, "n size"], seed: int = 0) -> "Likeness":
        """The likeness of real descriptors, of which there must be two."""
        wide = real.astype(np.float64)
        mean, lengths = wide.mean(axis=0), np.linalg.norm(wide, axis=1)
        _, deviation, axes = np.linalg.svd((wide - mean) / np.sqrt(len(wide) - 1), full_matrices=False)
        is_one = np.ptp(lengths) <= SAME_LENGTH * lengths.mean()
        return cls(
            mean=mean.astype(np.float32),
            spread=(deviation[:, None] * axes).astype(np.float32),
            length=float(lengths.mean()) if is_one else None,
            n_fitted=len(real),
            seed=seed,
        )

    def draw(self, start: int, stop: int) -> Float32[ndarray, "n size"]:
        """Synthetic descriptors with the numbers from ``start`` to ``stop``, the same in any range that holds them."""
        found = np.empty((stop - start, len(self.mean)), dtype=np.float32)
        for number in range(start // CHUNK, -(-stop // CHUNK)):
            first, last = max(start, number * CHUNK), min(stop, (number + 1) * CHUNK)
            random = generator(self.seed, "synthetic", str(number))
            normal = random.standard_normal((CHUNK, len(self.spread)), dtype=np.float32)
            chunk = normal @ self.spread + self.mean
            if self.length is not None:
                chunk *= self.length / np.linalg.norm(chunk, axis=1, keepdims=True)
            found[first - start : last - start] = chunk[first - number * CHUNK : last - number * CHUNK]
        return found


def nearest_quantiles(
    query: Float[ndarray, "nq 1 size"], places: Float[ndarray, "n 1 size"], distance: DistanceKind
) -> list[float]:
    """Distances to the nearest of some places, at ``QUANTILES`` of the queries."""
    return np.quantile(distances(query, places, distance).min(axis=1), QUANTILES).tolist()
