"""What a distance between descriptors means: the probability of being right, and how far off a right place is.

Both are measured with the queries of another drive, whose poses are known, and are stored with the map.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from pydantic import AfterValidator, PositiveInt, with_config

from benchmark.deploy.pose_graph import Covariance, planar, relative_poses, rows_of
from benchmark.evaluation.confidence import Answers, RightShare, right_share
from datasets.base import Frames
from datasets.errors import CrossplaceError
from datasets.files import STRICT

LEAST_DEVIATION = (0.1, 0.1, 0.01)
"""Smallest standard deviation of a pose that is believed: metres forward, metres to the left, radians."""


def _checked(share: RightShare) -> RightShare:
    distance, values = np.array(share.distance), np.array(share.share)
    rises, falls = bool((np.diff(distance) > 0).all()), bool((np.diff(values) <= 0).all())
    if len(distance) != len(values) or not len(distance) or not (rises and falls):
        raise ValueError("expected as many shares as distances, distances that rise and shares that do not")
    if values.max() > 1 or values.min() < 0:
        raise ValueError("expected shares from 0 to 1")
    return share


@with_config(STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the queries of another drive say about the distance to the nearest place of a map."""

    share: Annotated[RightShare, AfterValidator(_checked)]
    """Share of right answers by distance."""
    n_queries: PositiveInt
    """Queries that the calibration was measured with."""
    drives: tuple[str, ...]
    """Traversals that asked."""
    protocol: str
    """Protocol that says which answers are right."""
    covariance: Covariance
    """Second moment of where a query is in the frame of the place that it rightly found: metres forward, metres to the
    left, radians of heading. The answer itself claims zero of each."""

    def probability(self, distance: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
        """Probability that places at these distances are right.

        None is nearer to 0 or 1 than ``1 / (n_queries + 2)``, because so many queries cannot tell more.
        """
        least = 1 / (self.n_queries + 2)
        return np.clip(self.share(distance), least, 1 - least)


def calibrated(
    found: Int[ndarray, " nq"],
    distance: Float[ndarray, " nq"],
    is_right: Bool[ndarray, " nq"],
    asking: Frames,
    places: Frames,
    *,
    protocol: str,
) -> Calibration:
    """The calibration by the queries ``asking``: the place that each has found (-1: none), how far, and if rightly.

    A query whose place is not in the map counts as wrong: there it would have been right to find nothing.

    Raises:
        CrossplaceError: no query found its place, so that nothing can be learnt.
    """
    drives = tuple(asking.traversal_names())
    answers = Answers(
        distance=distance, is_right=is_right, is_counted=np.ones(len(found), dtype=bool), traversal=asking.traversal
    )
    share = right_share(answers)
    if share is None or not is_right.any():
        raise CrossplaceError(
            f"none of {len(found)} queries of {', '.join(drives) or 'no drive'} found its place in this map, so that "
            "nothing can be calibrated; take a drive through the places of the map, or a method with trained weights"
        )
    errors = relative_poses(planar(places.take(found[is_right])), planar(asking.take(is_right)))
    covariance = errors.T @ errors / len(errors) + np.diag(np.square(LEAST_DEVIATION))
    return Calibration(
        share=share, n_queries=len(found), drives=drives, protocol=protocol, covariance=rows_of(covariance)
    )
