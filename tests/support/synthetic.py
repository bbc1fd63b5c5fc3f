"""A collection of results that no method made: 10 methods, 5 datasets, 3 seeds, with all that goes wrong in practice.

Ranks are real ones of the small world, from distances with seeded noise: less noise is a better method.
"""

import shutil
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.evaluation.evaluate import Scorer
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import Asked
from benchmark.records.schema import RANKS, RESULT, CostRecord, MethodRecord, Result, TimingRecord
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from results import stored_result

SCRIPT = "<script>alert(1)</script>"
LONG = "a_method_with_a_name_that_is_far_longer_than_any_column_of_a_table_should_ever_have_to_be"
METHODS = (
    "steady",
    "twin",
    "other-twin",
    "weak",
    SCRIPT,
    "=1+1",
    "../../etc/passwd",
    "a|b](javascript:alert(1))",
    "$x_1$ \\input{/etc/passwd} \x1b[31mred",
    LONG,
)
DATASETS = ("first", "second", "third-partial", "fourth-smoke", "fifth-real")
SEEDS = (0, 1, 2)
HOLE = ("weak", "second")
"""A method that has no result on one dataset."""


def synthetic_collection(folder: Path, world: PreparedDataset, protocol: Protocol) -> Path:
    """Write the results into ``folder``, a folder each; returns it.

    ``twin`` and ``other-twin`` tie exactly; ``weak`` misses one dataset, was trained from scratch for a third of its
    schedule, by a suite whose files differed from its revision; the third dataset lacks traversals, the fourth is a
    smoke run, the fifth is real and has aggregates only. One machine is another one.
    """
    first = folder / "evaluated"
    made = {name: stored_result(first / name, world, protocol, ranker=name) for name in ("random", "oracle")}
    for place, method in enumerate(METHODS):
        for seed in SEEDS:
            noise_of = 1 if method == "other-twin" else place
            made[f"m{place}-s{seed}"] = stored_result(
                first / f"m{place}-s{seed}",
                world,
                protocol,
                method=_method(method, seed),
                cost=_cost(place),
                seed=seed,
                scorer=noisy(world, 4.0 + 3.0 * noise_of, seed + 10 * noise_of),
                environment={"device": "Other GPU" if place == 3 else "Test CPU", "threads": 2},
            )
    for dataset in DATASETS:
        for run, result in made.items():
            if (result.method.name, dataset) != HOLE:
                _copy(result, first / run, folder / f"{run}-{dataset}", dataset)
    shutil.rmtree(first)
    return folder


def _method(name: str, seed: int) -> MethodRecord:
    is_weak = name == "weak"
    return MethodRecord.unregistered(name, "trained").model_copy(
        update={
            "preset": "quick",
            "config_key": name,
            "weights_sha256": f"{name} {seed}",
            "backbone_weights": "none" if is_weak else "timm",
            "share_of_schedule": 1 / 3 if is_weak else 1.0,
        }
    )


def _cost(place: int) -> CostRecord | None:
    if place == 2:
        return None
    timing = TimingRecord(
        preprocess_ms=1.0, encode_ms=place + 1.5, total_ms=place + 2.5, total_p95_ms=place + 9.0,
        event_total_ms=None, n_samples=30,
    )  # fmt: skip
    return CostRecord(
        image=timing, cloud=timing, parameters=10**6, peak_mib=300.0, peak_of="a test", descriptor_bytes=1024
    )


def noisy(world: PreparedDataset, noise_m: float, seed: int) -> Scorer:
    """Distances between frames in the plane, with noise of ``noise_m``."""

    def score(direction: Direction, asked: Asked) -> Float[ndarray, "nq nd"]:
        at = world.frames.position_m[:, :2]
        true_m = np.linalg.norm(at[asked.query_rows, None] - at[None, asked.database_rows], axis=2)
        drawn = np.random.default_rng([seed, list(Direction).index(direction), int(asked.query_rows[0])])
        return np.abs(true_m + drawn.normal(scale=noise_m, size=true_m.shape))

    return Scorer(directions=tuple(Direction), score=score)


PROTOCOLS = {"third-partial": {"absent": ["noon", "dawn"]}, "fourth-smoke": {"smoke": True}}


def _copy(result: Result, source: Path, target: Path, dataset: str) -> None:
    """The result as if it had been measured on ``dataset``; ranks of real data stay behind."""
    data = {"name": dataset, "fingerprint": dataset, "is_real": dataset == "fifth-real"}
    changed = result.model_copy(
        update={
            "run_id": target.name,
            "key": target.name,
            "dataset": result.dataset.model_copy(update=data),
            "protocol": result.protocol | PROTOCOLS.get(dataset, {}),
            "harness": result.harness | {"dirty": result.method.name == "weak"},
            "warnings": ["two test traversals are absent"] if dataset == "third-partial" else [],
        }
    )
    target.mkdir()
    (target / RESULT).write_text(changed.model_dump_json())
    if not changed.dataset.is_real:
        shutil.copy(source / RANKS, target / RANKS)
