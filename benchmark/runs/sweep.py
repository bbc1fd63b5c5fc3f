"""Every method under one request, each in a process of its own.

A method that fails, or whose process the system ends, is a hole in the table with its reason; all others go on. Memory
is measured per process, so that no method's peak holds what another has left behind. Finished rows are found done.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.process import in_its_own_process
from benchmark.records.schema import Result
from benchmark.registry import METHODS
from benchmark.request import Request
from benchmark.runs.plan import Plan
from datasets.errors import CrossplaceError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """What came of several methods under one request."""

    results: list[Result]
    """Results of the methods, then those of the rankers that bound the table."""
    holes: dict[str, str]
    """Why there is no result, by method."""


def run_sweep(request: Request, names: Sequence[str] = ()) -> SweepOutcome:
    """The rows of ``names`` (default: all registered methods), one after the other."""
    rows: list[Result] = []
    bounds: list[Result] = []
    holes = {}
    for name in names or METHODS.names():
        log.info("method %s", name)
        found = in_its_own_process(_run, request.changed(method=name))
        if isinstance(found, str):
            log.warning("%s: %s", name, found)
            holes[name] = found
        else:
            first, *bounds = found
            rows.append(first)
    if not rows:
        raise CrossplaceError("no method has a result: " + "; ".join(f"{name}: {why}" for name, why in holes.items()))
    return SweepOutcome(results=[*rows, *bounds], holes=holes)


def _run(request: Request) -> list[Result]:
    plan = Plan(request)
    from benchmark.runs.run import run

    return run(plan)
