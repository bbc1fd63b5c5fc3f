"""Results of older schemas as this version would have recorded them, from their stored ranks."""

from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from benchmark.evaluation.metrics import METRICS
from benchmark.records.confidence import confidence_records
from benchmark.records.queries import Queries, is_expected
from benchmark.records.ranks import conditions_in
from benchmark.records.schema import SCHEMA, DirectionRecord, Result, protocol_of
from datasets.errors import CrossplaceError


def upgraded(result: Result, ranks: Mapping[str, ndarray]) -> Result:
    """The same run, with the intervals, the confidence and the conditions that this version would have recorded.

    Its id, its key and every value stay.

    ``ranks`` are the arrays of its ``ranks.npz``, whole or as published.

    Raises:
        CrossplaceError: ranks that do not give the stored values.
    """
    directions = {
        name: record.model_copy(update=_intervals(result, ranks, name, record))
        for name, record in result.directions.items()
    }
    dataset = result.dataset.model_copy(update={"conditions": result.dataset.conditions or conditions_in(ranks)})
    changed = result.model_copy(update={"directions": directions, "dataset": dataset, "schema_version": SCHEMA})
    return confidence_records(changed, ranks)


def _intervals(
    result: Result, ranks: Mapping[str, ndarray], direction: str, record: DirectionRecord
) -> dict[str, object]:
    """The fields of a direction that are computed anew."""
    if direction not in ranks["directions"].tolist():
        raise _of_another_run(result, direction)
    protocol = protocol_of(result.protocol)
    queries = Queries.of(ranks, direction, protocol.no_positive)
    weights = queries.weights(protocol.averaging)
    by_chance = is_expected(result.method, result.schema_version)
    values = {}
    for name, stored in result.headline(direction).values.items():
        if name in METRICS:
            values[name] = queries.values(METRICS[name], record.pairs, protocol, by_chance=by_chance)
            found = float(np.average(values[name], weights=weights)) if len(weights) else None
            if (found is None) != (stored is None) or abs((found or 0.0) - (stored or 0.0)) > 1e-9:
                raise _of_another_run(result, direction)
    intervals, words = queries.intervals(values, protocol.averaging)
    return {"intervals": {**record.intervals, **intervals}, "interval_unit": words}


def _of_another_run(result: Result, direction: str) -> CrossplaceError:
    return CrossplaceError(
        f"{result.run_id}: the stored ranks do not give the recorded numbers of {direction}, so that intervals cannot "
        "be brought up to date; run bench again"
    )
