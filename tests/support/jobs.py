"""A plan together with its doing, which tests of whole rows ask for again and again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.records.schema import Result
from benchmark.request import Request
from benchmark.runs import plan as planning
from benchmark.runs import rows, run
from benchmark.runs.plan import Plan
from datasets.prepared import PreparedDataset
from methods.base import Method

WORK = {
    "train": (run, "train_stages"),
    "encode": (run, "encode"),
    "measure": (run, "measure"),
    "read": (run, "Descriptors"),
    "evaluate": (rows, "evaluate"),
}
"""What a run does, by the names that tests use: module and attribute."""


class Job(Plan):
    """A plan that can be run."""

    def run(self) -> list[Result]:
        return run.run(self)

    def train(self) -> Method:
        return run.train(self)

    @property
    def descriptor_key(self) -> str:
        return self.encodings[0].key

    @property
    def descriptor_folder(self) -> Path:
        return self.encodings[0].folder

    @property
    def perturbed_key(self) -> str:
        return self.encodings[-1].key if self.perturber else ""

    @property
    def perturbed_folder(self) -> Path:
        return self.encodings[-1].folder


def jobs_on(dataset: PreparedDataset, runs: Path) -> Callable[..., Job]:
    """Jobs of the toy on ``dataset``, with options as the command line calls them."""
    request = Request.of(method="toy", dataset=str(dataset.folder), device="cpu", runs=runs)
    return lambda **changes: Job(request.changed(**changes))


def with_protocol(patch: pytest.MonkeyPatch, protocol: Any, *warnings: str) -> None:
    """Let every plan find ``protocol``."""
    patch.setattr(planning, "find_protocol", lambda *_: (protocol, [*warnings]))
    patch.setattr(planning, "leak_warnings", lambda *_: [])


def forbid(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the test fail if any of this work is done."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("this was done before")

    for name in names:
        module, attribute = WORK[name]
        patch.setattr(module, attribute, never)


def forget(runs: Path) -> None:
    """Let plans ask methods anew: in a test a method changes while its code stays."""
    shutil.rmtree(runs / "declared", ignore_errors=True)


def files_below(folder: Path) -> dict[str, int]:
    """Times of all files but what plans remember of methods."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.parent.name != "declared"]
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in files}


KEYS = ("weights", "descriptors", "result")


def keys(row: Job) -> tuple[str, str, str]:
    return row.weights_key, row.descriptor_key, row.result_key


def changed(before: tuple[str, ...], row: Job) -> set[str]:
    return {name for name, a, b in zip(KEYS, before, keys(row), strict=True) if a != b}


def done(row: Job) -> dict[str, bool]:
    return {step.name: step.is_done for step in row.steps()}
