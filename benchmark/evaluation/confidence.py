"""Knowing when not to answer: what the distance to the nearest frame says about whether it is right.

A system that answers only where the nearest frame is near enough trades recall for precision. Every number here comes
from the arrays of ``ranks.npz``. An answer to a query without a right answer counts as wrong, because to keep silent
would have been right.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.evaluation.metrics import is_counted

PRECISIONS = (1.0, 0.99)
"""Precisions at which recall is stated, highest first."""
N_BINS = 10
"""Bins of equally many queries, in which predicted and true shares of right answers are compared."""
N_POINTS = 50
"""Most points of a curve that is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The nearest frame of each query of one direction, over all traversal pairs."""

    distance: Float[ndarray, " n"]
    """Distance to the nearest candidate; nan for a query that has none, and so is never answered."""
    is_right: Bool[ndarray, " n"]
    """Whether the nearest candidate shows the query's place."""
    is_counted: Bool[ndarray, " n"]
    """Whether recall counts the query; it is answered in any case."""
    traversal: ndarray
    """The traversal that each query is of."""

    def of(self, rows: Int[ndarray, " m"] | Bool[ndarray, " n"]) -> "Answers":
        """The answers at ``rows`` (indices or mask)."""
        return Answers(
            distance=self.distance[rows],
            is_right=self.is_right[rows],
            is_counted=self.is_counted[rows],
            traversal=self.traversal[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Precision and recall if exactly the queries at most a threshold away are answered; thresholds ascend."""

    threshold: tuple[float, ...]
    """Every distance that occurs; equal distances are answered together."""
    precision: tuple[float, ...]
    """Right answers as a share of all answers, those to queries without a right answer included."""
    recall: tuple[float, ...]
    """Right answers as a share of all counted queries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Recall at one precision, with a threshold from the same queries and with thresholds from other traversals."""

    precision: float
    """The precision that is asked for."""
    threshold: float | None
    """Largest distance up to which all queries together have this precision; none if they never have it."""
    recall: float
    """Recall at this threshold. It is optimistic, because the threshold has seen the answers that it judges."""
    transferred_recall: float | None
    """Recall if each query traversal is judged by the threshold of all others; none with one query traversal."""
    transferred_precision: float | None
    """The precision that these thresholds really reached; none if no query was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Queries whose predicted probabilities of being right are alike."""

    predicted: float
    """Their mean probability."""
    right: float
    """The share that is right."""
    n_queries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """What the distance to the nearest frame says about whether it is right, over all traversal pairs together."""

    n_queries: int
    n_counted: int
    n_traversals: int
    """Traversals that ask."""
    average_precision: float
    """Area below the curve of precision over recall, as a sum of steps."""
    at: tuple[OperatingPoint, ...]
    """An entry for each of ``PRECISIONS``."""
    calibration_error: float | None
    """Mean difference between predicted and true shares of right answers, over bins of equally many queries.

    Probabilities of a traversal come from all others, by isotonic regression over the distance. None with one query
    traversal.
    """
    reliability: tuple[ReliabilityBin, ...]
    """The bins behind the calibration error, by ascending probability."""
    curve: Curve
    """At most ``N_POINTS`` points, with both ends."""


def confidence_of(ranks: Mapping[str, ndarray], direction: str, no_positive: str) -> Confidence | None:
    """The confidence of ``direction``, from the arrays of ``ranks.npz``, fresh or published.

    None if there are no distances, no counted query, or if all distances are equal: then they tell nothing apart.
    Distances of a re-ranking are places, and the first place is the same for all queries. Published distances are
    coarse, and what became equal is answered together.
    """
    found = answers_of(ranks, direction, no_positive)
    if found is None or not found.is_counted.any() or len(np.unique(found.distance[~np.isnan(found.distance)])) < 2:
        return None
    curve, names = curve_of(found), np.unique(found.traversal)
    bins = reliability(found)
    n_judged = sum(each.n_queries for each in bins)
    error = sum(each.n_queries * abs(each.predicted - each.right) for each in bins) / n_judged if n_judged else None
    return Confidence(
        n_queries=len(found.distance),
        n_counted=int(found.is_counted.sum()),
        n_traversals=len(names),
        average_precision=float(np.dot(np.diff(curve.recall, prepend=0.0), curve.precision)),
        at=tuple(operating_point(found, precision) for precision in PRECISIONS),
        calibration_error=error,
        reliability=bins,
        curve=_thinned(curve),
    )


def answers_of(ranks: Mapping[str, ndarray], direction: str, no_positive: str) -> Answers | None:
    """The answers of ``direction``; None if the ranks hold no distances, as those of published rankers do."""
    if "query_top_distance" not in ranks:
        return None
    rows = ranks["query_direction"] == ranks["directions"].tolist().index(direction)
    first = ranks["query_first_positive_rank"][rows].astype(np.int64)
    return Answers(
        distance=ranks["query_top_distance"][rows, 0].astype(np.float64),
        is_right=first == 1,
        is_counted=is_counted(first, no_positive),
        traversal=ranks["pairs"][:, 0][ranks["query_pair"][rows].astype(np.int64)],
    )


def curve_of(answers: Answers) -> Curve:
    """Precision and recall at every distance that occurs. Needs a counted query."""
    threshold, n_answered, n_right = _within(answers)
    return Curve(
        threshold=tuple(threshold.tolist()),
        precision=tuple((n_right / n_answered).tolist()),
        recall=tuple((n_right / answers.is_counted.sum()).tolist()),
    )


def _within(answers: Answers) -> tuple[Float[ndarray, " k"], Int[ndarray, " k"], Int[ndarray, " k"]]:
    """Every distance that occurs, ascending; how many answers are at most so far away, and how many of them right."""
    known = ~np.isnan(answers.distance)
    distance, is_right = answers.distance[known], answers.is_right[known]
    order = np.argsort(distance, kind="stable")  # fast where answers are sorted already
    distance = distance[order]
    last = np.flatnonzero(np.append(distance[1:] != distance[:-1], len(distance) > 0))
    return distance[last], last + 1, np.cumsum(is_right[order])[last]


def threshold_at(answers: Answers, precision: float) -> float | None:
    """Largest distance up to which the answers have at least this precision; none if they never have it."""
    if not answers.is_counted.any():
        return None
    threshold, n_answered, n_right = _within(answers)
    enough = np.flatnonzero(n_right / n_answered >= precision)
    return float(threshold[enough[-1]]) if len(enough) else None


def operating_point(answers: Answers, precision: float) -> OperatingPoint:
    """Recall at ``precision``, with the threshold of all queries and with those of other traversals."""
    answers = answers.of(np.argsort(answers.distance))
    threshold = threshold_at(answers, precision)
    n_counted = int(answers.is_counted.sum())
    is_own = _is_answered(answers, np.full(len(answers.distance), np.nan if threshold is None else threshold))
    recall, reached = None, None
    if len(np.unique(answers.traversal)) > 1:

        def judge(others: Answers, asked: Answers) -> Float[ndarray, " m"]:
            found = threshold_at(others, precision)
            return np.full(len(asked.distance), np.nan if found is None else found)

        answered = _is_answered(answers, _from_others(answers, judge))
        n_right = int((answered & answers.is_right).sum())
        recall, reached = n_right / n_counted, n_right / int(answered.sum()) if answered.any() else None
    return OperatingPoint(
        precision=precision,
        threshold=threshold,
        recall=int((is_own & answers.is_right).sum()) / n_counted,
        transferred_recall=recall,
        transferred_precision=reached,
    )


def probabilities(answers: Answers) -> Float[ndarray, " n"]:
    """Probability that each answer is right, from the queries of all other traversals; nan where there are none."""
    return _from_others(answers, _isotonic)


def reliability(answers: Answers) -> tuple[ReliabilityBin, ...]:
    """Predicted and true shares of right answers in bins of equally many queries; equal probabilities share a bin."""
    predicted = probabilities(answers)
    known = ~np.isnan(predicted)
    predicted, right = predicted[known], answers.is_right[known]
    if not len(predicted):
        return ()
    _, group, size = np.unique(predicted, return_inverse=True, return_counts=True)
    middle = np.cumsum(size) - size / 2  # queries below the middle of each group of equal probabilities
    number = np.minimum((N_BINS * middle / len(predicted)).astype(np.int64), N_BINS - 1)[group]
    return tuple(
        ReliabilityBin(
            predicted=float(predicted[number == each].mean()),
            right=float(right[number == each].mean()),
            n_queries=int((number == each).sum()),
        )
        for each in np.unique(number)
    )


def _from_others(answers: Answers, judge: Callable[[Answers, Answers], Float[ndarray, " m"]]) -> Float[ndarray, " n"]:
    """What ``judge`` says of the answers of each traversal, from those of all others; nan if there are no others."""
    found = np.full(len(answers.distance), np.nan)
    names, traversal = np.unique(answers.traversal, return_inverse=True)  # numbers compare faster than names
    for number in range(len(names)):
        own = traversal.reshape(-1) == number
        if not own.all():
            found[own] = judge(answers.of(~own), answers.of(own))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RightShare:
    """Share of right answers by distance: it never rises, is interpolated between its points and stays beyond them."""

    distance: tuple[float, ...]
    """Distances of the points, ascending."""
    share: tuple[float, ...]
    """Shares of right answers there, never rising."""

    def __call__(self, distance: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
        """Shares at some distances; nan where a distance is nan."""
        return np.where(np.isnan(distance), np.nan, np.interp(distance, self.distance, self.share))


def right_share(answers: Answers) -> RightShare | None:
    """The share of right answers by distance, by isotonic regression; None if no answer has a distance.

    Of equal neighbouring shares the first and the last are kept, which changes no value between them.
    """
    from scipy.optimize import isotonic_regression  # here: a plan needs none of it

    known = ~np.isnan(answers.distance)
    if not known.any():
        return None
    distance, group, size = np.unique(answers.distance[known], return_inverse=True, return_counts=True)
    share = np.bincount(group, answers.is_right[known]) / size
    fitted = isotonic_regression(share, weights=size, increasing=False).x
    changes = np.diff(fitted) != 0
    kept = np.append(True, changes) | np.append(changes, True)
    return RightShare(distance=tuple(distance[kept].tolist()), share=tuple(fitted[kept].tolist()))


def _isotonic(others: Answers, asked: Answers) -> Float[ndarray, " m"]:
    share = right_share(others)
    return np.full(len(asked.distance), np.nan) if share is None else share(asked.distance)


def _is_answered(answers: Answers, threshold: Float[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Which queries are at most their threshold away; none where distance or threshold is nan."""
    return answers.distance <= threshold


def _thinned(curve: Curve) -> Curve:
    """The curve with at most ``N_POINTS`` points, evenly chosen, and six significant digits."""
    n = len(curve.threshold)
    chosen: Int[ndarray, " k"] = np.unique(np.linspace(0, n - 1, min(n, N_POINTS)).round().astype(np.int64))

    def kept(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(float(f"{values[row]:.6g}") for row in chosen)

    return Curve(threshold=kept(curve.threshold), precision=kept(curve.precision), recall=kept(curve.recall))
