"""How near registered poses come to the true ones: pure functions of poses.

A pose has a translation error in metres and a rotation error in degrees. A query without a pose (numbers that are not
finite) counts as a failure: both of its errors are infinite, so that it stays in every median and every share.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.special import stdtrit

from benchmark.evaluation.intervals import TAIL, Interval, Units, block_units, difference_interval, mean_interval
from datasets.randomness import generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A pose is right if both of its errors are at most this."""

    translation_m: float
    rotation_deg: float

    @property
    def name(self) -> str:
        """The name in records and tables, as in ``0.5 m 5°``."""
        return f"{self.translation_m:g} m {self.rotation_deg:g}°"


THRESHOLDS = tuple(
    Threshold(translation_m=metres, rotation_deg=degrees) for metres, degrees in ((0.25, 2.0), (0.5, 5.0), (5.0, 10.0))
)
"""The thresholds of outdoor benchmarks of visual localisation. Source: Sattler et al., CVPR 2018."""
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles that are recorded."""
CURVE_M = tuple(np.geomspace(0.03, 30.0, 41).round(4).tolist())
CURVE_DEG = tuple(np.geomspace(0.1, 180.0, 41).round(4).tolist())
"""Errors at which cumulative curves are recorded."""
BANDS_M = (0.0, 1.0, 2.0, 3.5, 5.0, 10.0, math.inf)
"""Borders of the bands of initial translation error."""
GREW_M, GREW_DEG = 0.01, 0.1
"""A registration is worse than its start if an error grew by more than this: a pose that is kept is not worse."""
N_DRAWS = 1000
"""Resampled maps behind the interval of a median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseErrors:
    """The errors of some poses; infinite where there is no pose."""

    translation_m: Float[ndarray, "*n"]
    rotation_deg: Float[ndarray, "*n"]

    def __len__(self) -> int:
        return len(self.translation_m)

    def at(self, chosen: Any) -> "PoseErrors":
        """The errors at ``chosen``, which is whatever indexes their arrays."""
        return PoseErrors(translation_m=self.translation_m[chosen], rotation_deg=self.rotation_deg[chosen])

    def within(self, threshold: Threshold) -> Bool[ndarray, " n"]:
        """Which poses are right."""
        return (self.translation_m <= threshold.translation_m) & (self.rotation_deg <= threshold.rotation_deg)

    @property
    def is_missing(self) -> Bool[ndarray, " n"]:
        """Which queries have no pose."""
        return ~np.isfinite(self.translation_m)


def pose_errors(found: Float[ndarray, "n 4 4"], truth: Float[ndarray, "n 4 4"]) -> PoseErrors:
    """Distance between two positions, and the angle of the rotation between two orientations, about any axis."""
    is_known = np.isfinite(found).all(axis=(1, 2))
    offset_m = np.linalg.norm(found[:, :3, 3] - truth[:, :3, 3], axis=1)
    between = np.swapaxes(truth[:, :3, :3], 1, 2) @ found[:, :3, :3]
    skew = between - np.swapaxes(between, 1, 2)
    sine = np.sqrt(skew[:, 0, 1] ** 2 + skew[:, 0, 2] ** 2 + skew[:, 1, 2] ** 2) / 2
    cosine = (np.trace(between, axis1=1, axis2=2) - 1) / 2
    angle = np.degrees(np.arctan2(sine, cosine))  # exact at small angles, where an arccosine is not
    return PoseErrors(
        translation_m=np.where(is_known, offset_m, np.inf), rotation_deg=np.where(is_known, angle, np.inf)
    )


# --- one set of poses ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """What the errors of some queries come to."""

    n_queries: int
    n_missing: int
    """Queries without a pose."""
    translation_m: tuple[float | None, ...]
    """Quantiles of the translation error at ``LEVELS``; none where too many queries have no pose."""
    rotation_deg: tuple[float | None, ...]
    """Quantiles of the rotation error at ``LEVELS``."""
    recall: dict[str, float]
    """Share of all queries whose pose is right, by the name of the threshold."""

    @property
    def median(self) -> tuple[float | None, float | None]:
        """Medians of the translation error (m) and of the rotation error (°)."""
        return self.translation_m[LEVELS.index(0.5)], self.rotation_deg[LEVELS.index(0.5)]


def accuracy(errors: PoseErrors) -> Accuracy | None:
    """Quantiles and recall; none without queries."""
    if not len(errors):
        return None
    return Accuracy(
        n_queries=len(errors),
        n_missing=int(errors.is_missing.sum()),
        translation_m=_quantiles(errors.translation_m),
        rotation_deg=_quantiles(errors.rotation_deg),
        recall={t.name: float(errors.within(t).mean()) for t in THRESHOLDS},
    )


def _quantiles(values: Float[ndarray, " n"]) -> tuple[float | None, ...]:
    found = [quantile(values, level) for level in LEVELS]
    return tuple(value if math.isfinite(value) else None for value in found)


def quantile(values: Float[ndarray, " n"], level: float) -> float:
    """The quantile with linear interpolation; infinite as soon as an infinite value has a part in it."""
    ordered, place = np.sort(values), level * (len(values) - 1)
    below, share = math.floor(place), place - math.floor(place)
    return float(ordered[below]) if share == 0 else float((1 - share) * ordered[below] + share * ordered[below + 1])


def cumulative(values: Float[ndarray, " n"], at: tuple[float, ...]) -> tuple[float, ...]:
    """The share of all values that are at most each of ``at``."""
    return tuple((np.searchsorted(np.sort(values), at, side="right") / max(len(values), 1)).tolist())


# --- beside the start ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What registration changes against keeping the start, with its paired 95 % interval over places."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """Registration against its start, on the same queries."""

    median_translation_m: Gain | None
    """Median error of the start minus that of the result: positive is better. None where a median is infinite."""
    median_rotation_deg: Gain | None
    recall: dict[str, Gain]
    """Recall of the result minus that of the start, by threshold."""
    worse: float
    """Share of queries whose translation error, or rotation error, grew by more than a centimetre or 0.1°."""
    worse_in_both: float
    unit: str
    """What was resampled, in words."""


def improvement(
    start: PoseErrors, end: PoseErrors, world: ndarray, position_m: Float[ndarray, "n _"]
) -> Improvement | None:
    """Registration (``end``) against its ``start``; ``position_m`` holds the true places. None without queries."""
    if not len(start):
        return None
    hits = {t.name: (end.within(t).astype(float), start.within(t).astype(float)) for t in THRESHOLDS}
    columns = np.stack([after - before for after, before in hits.values()], axis=1)
    units = block_units(world, position_m, columns, np.ones(len(start)))
    grew = (end.translation_m > start.translation_m + GREW_M, end.rotation_deg > start.rotation_deg + GREW_DEG)
    return Improvement(
        median_translation_m=_median_gain(start.translation_m, end.translation_m, units),
        median_rotation_deg=_median_gain(start.rotation_deg, end.rotation_deg, units),
        recall={
            name: _gain(after - before, difference_interval(after, before, units))
            for name, (after, before) in hits.items()
        },
        worse=float((grew[0] | grew[1]).mean()),
        worse_in_both=float((grew[0] & grew[1]).mean()),
        unit=units.words,
    )


def recall_intervals(
    errors: PoseErrors, world: ndarray, position_m: Float[ndarray, "n _"]
) -> dict[str, tuple[float, float] | None]:
    """Ends of the 95 % interval over places of each recall; none where no interval can be given."""
    if not len(errors):
        return {t.name: None for t in THRESHOLDS}
    hits = {t.name: errors.within(t).astype(float) for t in THRESHOLDS}
    units = block_units(world, position_m, np.stack([*hits.values()], axis=1), np.ones(len(errors)))
    found = {name: mean_interval(column, units) for name, column in hits.items()}
    return {name: None if math.isnan(i.low) else (i.low, i.high) for name, i in found.items()}


def _gain(difference: Float[ndarray, " n"], interval: Interval) -> Gain:
    ends = (interval.low, interval.high) if not math.isnan(interval.low) else (None, None)
    return Gain(value=float(difference.mean()), low=ends[0], high=ends[1])


def _median_gain(start: Float[ndarray, " n"], end: Float[ndarray, " n"], units: Units) -> Gain | None:
    value = quantile(start, 0.5) - quantile(end, 0.5)
    if not math.isfinite(value):
        return None
    interval = median_difference_interval(start, end, units)
    ends = (interval.low, interval.high) if interval else (None, None)
    return Gain(value=value, low=ends[0], high=ends[1])


def median_difference_interval(
    values: Float[ndarray, " n"], other_values: Float[ndarray, " n"], units: Units
) -> Interval | None:
    """95 % interval of the median of ``values`` minus that of ``other_values``, from resampled blocks of the map.

    A jackknife is wrong for medians. So blocks are drawn with replacement, both medians are taken of the same draw, and
    the spread of their differences is widened as those of means are: by Student's t, and by the correlation that
    borders of blocks cut off. None for fewer than two blocks, or where a draw has no finite median.
    """
    n_blocks = len(units.group)
    if n_blocks < 2:
        return None
    random = generator(0, "median", str(len(values)), str(n_blocks))
    members = [np.flatnonzero(units.item == block) for block in range(n_blocks)]
    drawn = []
    for _ in range(N_DRAWS):
        rows = np.concatenate([members[block] for block in random.integers(n_blocks, size=n_blocks)])
        drawn.append(quantile(values[rows], 0.5) - quantile(other_values[rows], 0.5) if len(rows) else math.nan)
    if not np.isfinite(drawn).all():
        return None
    weight = np.bincount(units.item, minlength=n_blocks)
    degrees = max(weight.sum() ** 2 / (weight**2).sum() - 1, 1.0)
    reach = stdtrit(degrees, 1 - TAIL) * np.std(drawn) * math.sqrt(n_blocks / (n_blocks - 1) / (1 - units.unseen))
    value = quantile(values, 0.5) - quantile(other_values, 0.5)
    return Interval(low=float(value - reach), high=float(value + reach))


# --- by initial error ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Queries whose start was about as wrong."""

    from_m: float
    to_m: float | None
    """Border that the translation error of the start stays below; none for the last band."""
    start: Accuracy
    end: Accuracy


def by_initial_error(start: PoseErrors, end: PoseErrors) -> list[Band]:
    """Accuracy before and after in each band of the start's translation error that has a query."""
    found = []
    for low, high in pairwise(BANDS_M):
        inside = (start.translation_m >= low) & (start.translation_m < high)
        before, after = accuracy(start.at(inside)), accuracy(end.at(inside))
        if before and after:
            to_m = high if math.isfinite(high) else None
            found.append(Band(from_m=low, to_m=to_m, start=before, end=after))
    return found
