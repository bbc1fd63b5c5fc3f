"""Confidence in stored results: computed from the arrays beside them, fresh or published."""

from collections.abc import Mapping

from numpy import ndarray

from benchmark.evaluation.confidence import confidence_of
from benchmark.records.schema import Result


def confidence_records(result: Result, ranks: Mapping[str, ndarray]) -> Result:
    """``result`` with the confidence of each direction, from its arrays of ``ranks.npz``.

    The rankers of the harness have none: what they call a distance says nothing about frames.
    """
    is_ranker, no_positive = result.method.origin == "ranker", result.protocol["no_positive"]
    directions = {
        name: record.model_copy(update={"confidence": None if is_ranker else confidence_of(ranks, name, no_positive)})
        for name, record in result.directions.items()
    }
    return result.model_copy(update={"directions": directions})
