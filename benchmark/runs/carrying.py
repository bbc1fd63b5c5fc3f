"""Carry out many runs by jobs: plan them all, leave out what is there, and let an engine do the rest.

A job that several runs need is done once. Its order comes from what jobs need of each other, its place from the
engine. What cannot be done is a hole with its reason, and all that does not need it goes on.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.frames.preparing import data_folder
from benchmark.request import DataOptions, EngineOptions, Request
from benchmark.runs.engines import Engine, check_engine, engine_of, threads_of
from benchmark.runs.jobs import ALONE, PREPARE, Environment, Job, environment_of_jobs
from benchmark.runs.plan import Plan, Step
from benchmark.runs.watching import LATER, NEVER, Watch
from datasets.errors import CrossplaceError


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One run among many."""

    label: str
    """What tells it from the others, in words."""
    request: Request
    measured: bool = False
    """Whether times and memory are taken."""


@dataclass(kw_only=True)
class Undertaking:
    """A run, its plan or why there is none, and the jobs that it takes."""

    wanted: Wanted
    plan: Plan | None = None
    reason: str = ""
    """Why there will be no result, in words; empty as far as is known."""
    steps: Sequence[Step] = ()
    jobs: Sequence[Job] = ()
    """What is to be done, in order."""

    def cells(self) -> dict[str, str]:
        """Every step, and the id of its job; none if its outcome is there."""
        jobs = {job.name: job.id for job in self.jobs}
        missing = NEVER if self.reason else LATER
        return {step.name: jobs.get(step.name, "" if step.is_done else missing) for step in self.steps}

    def look(self, environment: Environment) -> None:
        """See again what is there and what is to be done; a run that cannot be planned has a reason."""
        try:
            if self.plan is not None and not self.reason:
                self.steps = self.plan.steps()
                if self.plan.location.is_prepared:
                    _ = self.plan.warnings  # raised here, if the data has a fault
                self.jobs = _jobs_of(self.wanted, self.plan, self.steps, environment)
        except CrossplaceError as error:
            self.reason, self.jobs = str(error), ()


def carry_out(wanted: Sequence[Wanted], options: EngineOptions) -> list[Undertaking]:
    """Do what is missing of every run; returns them in order, each finished or with its reason.

    Raises:
        CrossplaceError: no such engine, or times are to be taken where other work shares the machine.
    """
    environment = _environment(options)
    undertakings = undertaken(wanted, options)
    if not any(u.jobs for u in undertakings):
        return undertakings
    devices = {u.plan.device for u in undertakings if u.plan}
    device = "cuda" if "cuda" in devices else max(devices)
    with engine_of(options, wanted[0].request.machine.runs, device) as engine, Watch() as watch:
        if engine.shared and any(want.measured for want in wanted):
            raise CrossplaceError(
                f"--engine {options.engine} takes no times, because {engine.shared}; give --without-cost, or "
                "cost = false in the file, and take times with --engine local"
            )
        _round([u for u in undertakings if [job.name for job in u.jobs] == [PREPARE]], engine, options.tries, watch)
        for u in undertakings:
            u.look(environment)  # what comes after preparing is known now
        _round(undertakings, engine, options.tries, watch)
    for u in undertakings:
        u.look(environment)
        if u.jobs and not u.reason:
            u.reason = f"{u.jobs[0].id} ended, but its outcome is not at {u.jobs[0].folder}"
    return undertakings


def undertaken(wanted: Sequence[Wanted], options: EngineOptions) -> list[Undertaking]:
    """Every run with its plan and its jobs, as far as they are known before anything is done."""
    check_engine(options)
    environment, found, plans = _environment(options), [], dict[DataOptions, Plan]()
    for want in wanted:
        beside = plans.get(want.request.data)
        try:
            plan = Plan(want.request, measured=want.measured, elsewhere=options.engine != "local", beside=beside)
        except CrossplaceError as error:
            found.append(Undertaking(wanted=want, reason=str(error)))
            continue
        plans.setdefault(want.request.data, plan)
        found.append(Undertaking(wanted=want, plan=plan))
        found[-1].look(environment)
    return found


def _environment(options: EngineOptions) -> Environment:
    return environment_of_jobs(threads_of(options), data_folder())


def _round(undertakings: Sequence[Undertaking], engine: Engine, tries: int, watch: Watch) -> None:
    """Do the jobs that are known now."""
    jobs = {job.id: job for u in undertakings if not u.reason for job in u.jobs}
    watch.see({u.wanted.label: u.cells() for u in undertakings})
    reasons = run_jobs([*jobs.values()], engine, tries, watch)
    for u in undertakings:
        u.reason = u.reason or next(filter(None, (reasons[job.id] for job in u.jobs)), "")


def run_jobs(jobs: Sequence[Job], engine: Engine, tries: int, watch: Watch) -> dict[str, str]:
    """Why each job has no outcome, by its id; empty where it has one.

    A job whose process or machine is lost begins again, at most ``tries`` times in all; one that fails by itself would
    fail again. Jobs that need a failed one are not begun.
    """
    waiting, running = {job.id: job for job in jobs}, dict[Any, Job]()
    reasons, begun = dict[str, str](), Counter[str]()
    while waiting or running:
        for job in [job for job in waiting.values() if any(reasons.get(need) for need in job.needs)]:
            del waiting[job.id]
            reasons[job.id] = next(filter(None, (reasons.get(need) for need in job.needs)))
            watch.dropped(job.id)
        unfinished = {*waiting, *(job.id for job in running.values())}
        ready = [job for job in waiting.values() if not unfinished & {*job.needs}]
        chosen = _chosen(ready, [*running.values()], engine)
        for job, handle in zip(chosen, engine.start(chosen) if chosen else (), strict=True):
            running[handle] = waiting.pop(job.id)
            begun[job.id] += 1
            watch.began(job.id)
        for handle, ending in engine.ended(running.keys()).items() if running else ():
            job = running.pop(handle)
            if ending.is_lost and begun[job.id] < tries:
                waiting[job.id] = job
                watch.lost(job.id, ending.reason)
                continue
            reasons[job.id] = f"{ending.reason} ({tries} tries)" if ending.is_lost and tries > 1 else ending.reason
            watch.ended(job.id, reasons[job.id])
    return reasons


def _chosen(ready: Sequence[Job], running: Sequence[Job], engine: Engine) -> list[Job]:
    """The jobs to begin now: as many as there is room for, and one that takes times only when nothing else runs."""
    room = len(ready) if engine.at_once is None else engine.at_once - len(running)
    if engine.isolates:
        return [*ready][:room]
    if any(job.is_alone for job in running):
        return []
    together = [job for job in ready if not job.is_alone]
    return together[:room] if together or running else [*ready][:1]


def _jobs_of(wanted: Wanted, plan: Plan, steps: Sequence[Step], environment: Environment) -> list[Job]:
    """What is to be done, each job after the one before; only preparing, as long as the rest is not known."""
    missing = [step for step in steps if not step.is_done]
    if not plan.location.is_prepared:
        missing = missing[:1]
    found: list[Job] = []
    for step in missing:
        found.append(
            Job(
                name=step.name,
                key=step.key,
                folder=step.folder.resolve(),
                needs=tuple(job.id for job in found),
                request=wanted.request,
                measured=wanted.measured,
                environment=environment[:1] if step.name == ALONE else environment,
            )
        )
    return found
