"""A result as if only some of its pairs of traversals had been asked: one sequence, or two drives."""

from collections.abc import Collection as Few
from pathlib import Path

import numpy as np

from benchmark.evaluation.metrics import mean_over_pairs, pooled
from benchmark.records.comparison import StoredRun
from benchmark.records.schema import DirectionRecord, Result
from benchmark.records.upgrade import upgraded


def of_pairs(result: Result, folder: Path, pairs: Few[tuple[str, str]]) -> Result:
    """``result``, which lies in ``folder``, with the averages of its ``pairs`` (query, database) alone.

    Intervals are computed anew from the ranks in ``folder``. Without ranks, as in published results of recorded data,
    there are intervals only if the result has no other pairs. A result without any of the pairs has no values.
    """
    if all((pair.query, pair.database) in pairs for record in result.directions.values() for pair in record.pairs):
        return result
    directions = {name: _averaged(record, pairs) for name, record in result.directions.items()}
    part = result.model_copy(update={"directions": directions})
    ranks = StoredRun.read(folder).ranks
    if ranks is None or not any(record.pairs for record in directions.values()):
        return part
    chosen = [number for number, (query, database) in enumerate(ranks["pairs"].tolist()) if (query, database) in pairs]
    is_asked = np.isin(ranks["query_pair"], chosen)
    return upgraded(part, {name: a[is_asked] if name.startswith("query_") else a for name, a in ranks.items()})


def _averaged(record: DirectionRecord, pairs: Few[tuple[str, str]]) -> DirectionRecord:
    kept = [pair for pair in record.pairs if (pair.query, pair.database) in pairs]
    return record.model_copy(
        update={
            "mean": mean_over_pairs(kept),
            "pooled": pooled(kept),
            "pairs": kept,
            "intervals": {},
            "interval_unit": "",
            "confidence": None,
        }
    )
