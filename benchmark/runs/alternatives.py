"""What else can be done in a large map: an approximate index, or a position that is roughly known."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from benchmark.descriptors.shards import Shards
from benchmark.evaluation.indexes import INDEXES, Answered, answered, import_faiss
from benchmark.evaluation.prior import RoughPosition, with_prior
from benchmark.evaluation.search import top_k
from benchmark.records.scale import IndexPoint, PriorPoint
from benchmark.records.sensitivity import recall_records
from benchmark.runs.territory import Territory
from datasets.errors import CrossplaceError, unknown

SLACK = 1.01
"""A map may be larger than is asked for, as traversals differ in length."""


def check_index(name: str) -> None:
    """Refuse an index that does not exist, or that cannot be had, before anything is encoded."""
    if name not in INDEXES:
        raise CrossplaceError(unknown("index", name, list(INDEXES)))
    import_faiss()


def index_points(
    territory: Territory, shards: Shards, names: Sequence[str], numbers: Sequence[int]
) -> tuple[list[IndexPoint], list[str]]:
    """Each index in maps with so many distractors, beside exact search; and what was left out, with the reason.

    The map holds the frames of one traversal. Queries are those that are asked of it.
    """
    if not names:
        return [], []
    asked = territory.questions.among(territory.traversal)
    if not all(each.relation.all_candidates for _, each in asked):
        return [], ["No index: the protocol leaves frames out of the search of a query, which an index does not."]
    plan, n_first = territory.plan, len(territory.first)
    query = np.concatenate(
        [territory.descriptors.at(d.query, plan.dataset.frames, each.query_rows) for d, each in asked]
    )
    is_right = np.concatenate([each.relation.is_positive for _, each in asked])
    direction = np.concatenate([np.full(len(each.query_rows), d.label) for d, each in asked])
    points, left_out = [], []
    for n in numbers:
        part = shards.between(0, n_first + n)
        built = [name for name in names if len(part) <= SLACK * INDEXES[name].most_places]
        for name in [name for name in names if name not in built]:
            most = INDEXES[name].most_places
            left_out.append(f"No {name} of {len(part):,} places: it takes long to build beyond {most:,}.")
        if built:
            exact = top_k(query, part, 1, territory.descriptors.distance)[0][:, 0]
        for name in built:
            found = answered(name, query, part, territory.descriptors.distance)
            points.append(_point(name, part, found, exact, is_right, direction))
    return points, left_out


def _point(
    name: str,
    part: Shards,
    found: Answered,
    exact: Int[ndarray, " nq"],
    is_right: Bool[ndarray, "nq n"],
    direction: ndarray,
) -> IndexPoint:
    counts = is_right.any(axis=1)
    shares: dict[str, dict[str, float]] = {"agreement": {}, "recall": {}, "recall_exact": {}}
    for label in dict.fromkeys(direction.tolist()):
        here = direction == label
        shares["agreement"][label] = float((found.place == exact)[here].mean())
        counted = here & counts
        for key, place in (("recall", found.place), ("recall_exact", exact)):
            shares[key][label] = float(_hits(place, is_right)[counted].mean()) if counted.any() else 0.0
    return IndexPoint(
        index=name,
        settings=found.settings,
        places=len(part),
        n_queries=len(exact),
        latency_ms=found.latency_ms,
        build_s=found.build_s,
        bytes_per_place=INDEXES[name].bytes_per_place(part.manifest.size),
        **shares,
    )


def _hits(place: Int[ndarray, " nq"], is_right: Bool[ndarray, "nq n"]) -> Bool[ndarray, " nq"]:
    """Whether the place that each query found is one of its right answers, which come first in the map."""
    is_real = (place >= 0) & (place < is_right.shape[1])
    return is_real & is_right[np.arange(len(place)), np.where(is_real, place, 0)]


def prior_point(territory: Territory, prior: RoughPosition) -> PriorPoint:
    """Recall if only real frames near a noisy position are searched."""
    plan, parts = territory.plan, [part for part, _ in territory.questions.parts]
    evaluations, candidates = with_prior(parts, plan.dataset.frames, plan.protocol, prior)
    return PriorPoint(
        radius_m=prior.radius_m,
        deviation_m=prior.deviation_m,
        candidates=candidates,
        directions=recall_records(evaluations, plan.dataset, plan.protocol),
    )
