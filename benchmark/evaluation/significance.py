"""Between methods: paired sign flips over traversals or blocks, Holm's correction, and letters for a table."""

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from benchmark.evaluation.intervals import Interval, Units, contributions, difference_interval

MOST_EXACT = 14
"""With so many units or fewer, all flips are counted; with more, they are drawn."""
FLIPS = 19_999
"""Flips that are drawn where there are too many."""
LEVEL = 0.05
"""Differences with a smaller p-value are told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One method minus another on the same queries: a fraction, its 95 % interval and its p-value."""

    value: float
    interval: Interval
    p_value: float
    """Share of sign flips under which the difference would be at least as large."""
    unit: str
    """What was resampled, in words."""


def difference(
    values: Float[ndarray, " n"],
    other_values: Float[ndarray, " n"],
    units: Units,
    weights: Float[ndarray, " n"],
) -> Difference:
    """Compare two methods on the same queries, or on the same traversal pairs.

    With traversals as units, ``values`` may hold one mean a pair, and ``weights`` one weight a pair.
    """
    gain = values - other_values
    return Difference(
        value=float(np.average(gain, weights=weights)),
        interval=difference_interval(values, other_values, units, weights),
        p_value=sign_flip_p(contributions(gain, units, weights), unseen=units.unseen),
        unit=units.words,
    )


def sign_flip_p(parts: Float[ndarray, " u"], *, unseen: float = 0.0) -> float:
    """Two-sided p-value of the sum of ``parts`` (one a unit) if each might as well have the other sign.

    If neither method were better, exchanging both in a unit would be as likely as not. Up to ``MOST_EXACT`` units
    all flips are counted, so that the p-value is exact and at least 2 / 2^n. With more, ``FLIPS`` are drawn, and the
    p-value is at least 1 / (``FLIPS`` + 1).

    Flips spread too little where units are not independent. The sum is therefore made smaller by the ``unseen`` share
    of the variance (:class:`Units`) before it is compared.
    """
    parts = parts[np.abs(parts) > 0]
    if not len(parts):
        return 1.0
    least = math.sqrt(1 - unseen) * abs(float(parts.sum())) - 1e-9 * float(np.abs(parts).sum())
    if len(parts) <= MOST_EXACT:
        signs = 1 - 2 * ((np.arange(2 ** (len(parts) - 1))[:, None] >> np.arange(len(parts))) & 1)
        return float(np.mean(np.abs(signs @ parts) >= least))  # the other half has the same absolute sums
    signs = np.random.default_rng(0).integers(0, 2, size=(FLIPS, len(parts)), dtype=np.int8)
    sums = parts.sum() - 2 * (signs @ parts)
    return float((1 + np.count_nonzero(np.abs(sums) >= least)) / (1 + FLIPS))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values after Holm's correction: the chance of any false difference among all stays below the level."""
    order = np.argsort(p_values, kind="stable")
    raised = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return [float(p) for p in corrected]


def letters(
    names: Sequence[str], p_values: Float[ndarray, "n n"] | Sequence[Sequence[float]], level: float = LEVEL
) -> dict[str, str]:
    """Letters by name: two names share a letter where, and only where, their p-value is not below ``level``.

    ``p_values`` is symmetric, in the order of ``names`` on both sides. The first name gets a. The letters are those of
    the insert-and-absorb algorithm of Piepho (2004), by which none could be left out of all groups.
    """
    differs = np.asarray(p_values, dtype=np.float64).reshape(len(names), len(names)) < level
    groups = _groups(differs)
    signs = string.ascii_letters + "".join(map(chr, range(0x3B1, 0x3B1 + 2000)))
    return {name: "".join(signs[k] for k, group in enumerate(groups) if n in group) for n, name in enumerate(names)}


def _groups(differs: Bool[ndarray, "n n"]) -> list[frozenset[int]]:
    """The largest sets of rows no two of which differ, ordered by their first members."""
    groups = {frozenset(range(len(differs)))}
    for one, other in combinations(range(len(differs)), 2):
        if differs[one, other]:
            both = {group for group in groups if one in group and other in group}
            groups = (groups - both) | {group - {row} for group in both for row in (one, other)}
            groups = {group for group in groups if not any(group < larger for larger in groups)}
    return sorted(groups, key=sorted)
