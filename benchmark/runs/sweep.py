"""Many runs under one command, as jobs of an engine, and the tables of what came out.

A run that fails is a hole in its table with the reason; all others go on. What is finished is found done.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.console import say
from benchmark.records.schema import Result
from benchmark.request import EngineOptions
from benchmark.runs.carrying import Undertaking, Wanted, carry_out
from benchmark.runs.journal import Experience
from benchmark.runs.plan import Plan
from benchmark.runs.rows import Arena
from datasets.errors import CrossplaceError


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """What came of the runs that stand in one table."""

    results: list[Result]
    """Results of the methods, then those of the rankers that bound the table."""
    holes: dict[str, str]
    """Why there is no result, by the label of the run."""


def run_sweep(wanted: Sequence[Wanted], options: EngineOptions) -> list[SweepOutcome]:
    """The results of all runs, for each dataset, protocol and perturbation by itself.

    Raises:
        CrossplaceError: there is no result at all; the sentence has every reason.
    """
    undertakings = carry_out(wanted, options)
    reasons = {u.wanted.label: u.reason for u in undertakings if u.reason}
    if len(reasons) == len(undertakings):
        raise CrossplaceError("no run has a result: " + "; ".join(f"{label}: {why}" for label, why in reasons.items()))
    tables: dict[tuple[object, ...], list[Undertaking]] = {}
    for u in undertakings:
        tables.setdefault(_table_of(u.wanted), []).append(u)
    return [_outcome(some) for some in tables.values()]


def _table_of(wanted: Wanted) -> tuple[object, ...]:
    return wanted.request.data, wanted.request.perturbation


def _outcome(undertakings: Sequence[Undertaking]) -> SweepOutcome:
    """The results of one table; the rankers are those of its first seed."""
    plans = [u.plan for u in undertakings if u.plan and not u.reason]
    found = [result for plan in plans if (result := plan.found())]
    bounds = bounds_of(plans[0]) if plans else []
    return SweepOutcome(results=[*found, *bounds], holes={u.wanted.label: u.reason for u in undertakings if u.reason})


def bounds_of(plan: Plan) -> list[Result]:
    """The results of the rankers that bound the table of a plan."""
    arena = Arena(dataset=plan.dataset, protocol=plan.protocol, warnings=plan.warnings, runs=plan.runs)
    return arena.results(arena.bounds(plan.options.seed))


def say_expected(undertakings: Sequence[Undertaking]) -> None:
    """How many jobs there are, how many are done, and what the rest will take as far as similar ones were seen."""
    if not undertakings:
        return
    jobs = {job.id: job for u in undertakings for job in u.jobs}
    unknown_yet = sum(len(u.steps) - 1 for u in undertakings if u.plan and not u.plan.location.is_prepared)
    cached = {(step.name, step.key) for u in undertakings for step in u.steps if step.is_done}
    experience = Experience.of(undertakings[0].wanted.request.machine.runs)
    expected = [found for job in jobs.values() if (found := experience.expected(job.name, job.request))]
    seconds, megabytes = sum(one.seconds for one in expected), sum(one.megabytes for one in expected)
    later = f", and up to {unknown_yet} once data is prepared" if unknown_yet else ""
    say(
        f"{len(jobs)} jobs to do{later}; {len(cached)} are cached. Expected: {seconds / 60:.1f} min of work and "
        f"{megabytes:.0f} MB, from similar jobs of {len(expected)} of them"
    )
