"""A collection of results with everything that can be missing, strange or malicious, made from one committed result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.evaluation.metrics import Recall
from benchmark.records.collection import Collection, collect
from benchmark.records.schema import RANKS, RESULT, CostRecord, Result

REPOSITORY = Path(__file__).parents[2]
BASE = next((REPOSITORY / "results" / "town").glob("rangebev-quick-town-s0-*"))
NAMES = (
    *("plain", "a$b$c", "\\frac{1}{2}$", "<script>alert(1)</script>", "../../etc/passwd", "=HYPERLINK(1)"),
    *("a very long name of a method that would fill any line of any table", "zero\u200bwidth\u202e", "%s {0} {x}"),
    *("Ünï©ødé", "tie", "tie too"),
)
"""Names of methods; the last two have equal numbers."""


def changed(recall: Recall, by: float) -> Recall:
    """Recall moved by ``by``, between 0 and 1."""

    def moved(value: float | None) -> float | None:
        return None if value is None else min(max(value + by, 0.0), 1.0)

    return replace(
        recall,
        recall_at=tuple(map(moved, recall.recall_at)),
        recall_at_one_percent=moved(recall.recall_at_one_percent),
        values={name: moved(value) for name, value in recall.values.items()},
    )


def without_counted(recall: Recall) -> Recall:
    """Recall of queries of which none counts."""
    return replace(
        recall,
        n_counted=0,
        recall_at=(None,) * len(recall.recall_at),
        recall_at_one_percent=None,
        values=dict.fromkeys(recall.values),
    )


def moved(result: Result, by: float) -> Result:
    """The result with every recall moved by ``by``."""
    directions = {
        name: record.model_copy(
            update={
                "mean": changed(record.mean, by),
                "pooled": changed(record.pooled, by),
                "pairs": [changed(pair, by) for pair in record.pairs],
            }
        )
        for name, record in result.directions.items()
    }
    return result.model_copy(update={"directions": directions})


def of_method(result: Result, name: str, number: int, seed: int, **changes: Any) -> Result:
    """The result as that of another method and seed."""
    method = result.method.model_copy(update={"name": name, "weights_sha256": f"{number}-{seed}"})
    return result.model_copy(
        update={"run_id": f"run-{number}-s{seed}", "key": f"{number}{seed}", "method": method, "seed": seed} | changes
    )


def write(folder: Path, result: Result, *, has_ranks: bool = True) -> None:
    """Write a result, with the ranks of the committed one unless without."""
    target = folder / result.run_id
    target.mkdir(parents=True)
    (target / RESULT).write_text(result.model_dump_json())
    if has_ranks:
        (target / RANKS).write_bytes((BASE / RANKS).read_bytes())


def synthetic(folder: Path) -> Collection:
    """Twelve methods with one to three seeds, holes of all kinds, and a real dataset without ranks."""
    base = Result.read(BASE)
    assert base.cost is not None
    slow = {name: n.model_copy(update={"value": 40 * n.value}) for name, n in base.cost.numbers.items()}
    for number, name in enumerate(NAMES):
        by = 0.0 if name.startswith("tie") else 0.04 * (number - 4)
        for seed in range(1 + number % 3):
            result = moved(of_method(base, name, number, seed), by + 0.01 * seed * (not name.startswith("tie")))
            write(folder, with_holes(result, number, slow), has_ranks=number % 4 != 1)
    real = base.dataset.model_copy(update={"name": "yard", "fingerprint": "yard", "is_real": True})
    write(folder, of_method(base, "plain", 99, 0, dataset=real), has_ranks=False)
    return collect(folder)


def with_holes(result: Result, number: int, slow: dict[str, Any]) -> Result:
    """The result with a hole that depends on ``number``: no cost, another machine, a direction less, no query."""
    cost: CostRecord | None = result.cost
    assert cost is not None
    directions = dict(result.directions)
    first, *others = directions
    if number == 2:
        return result.model_copy(update={"cost": None})
    if number == 3:
        numbers = {name: n for name, n in slow.items() if name != "place"}
        environment = result.environment | {"device": "Another <b>machine</b> $1$", "threads": 64}
        return result.model_copy(
            update={"cost": cost.model_copy(update={"numbers": numbers}), "environment": environment}
        )
    if number == 5:
        del directions[others[-1]]
    if number == 6:
        record = directions[first]
        directions[first] = record.model_copy(
            update={
                "mean": without_counted(record.mean),
                "pooled": without_counted(record.pooled),
                "pairs": [without_counted(pair) for pair in record.pairs],
                "intervals": dict.fromkeys(record.intervals),
            }
        )
    return result.model_copy(update={"directions": directions})
