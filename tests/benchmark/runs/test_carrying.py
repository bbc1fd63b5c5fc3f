"""What is done, in which order, how often, and what is a hole: with an engine that does nothing."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from counted_jobs import CountedJob, counted
from rich.table import Table

from benchmark.console import console
from benchmark.runs.carrying import run_jobs
from benchmark.runs.jobs import Ending, Job
from benchmark.runs.watching import LATER, NEVER, Watch


class Pretended(AbstractContextManager["Pretended"]):
    """Says of every job in turn that it ended, as told; remembers what worked together."""

    shared = ""

    def __init__(
        self, endings: Mapping[str, Sequence[Ending]] | None = None, at_once: int | None = None, isolates: bool = False
    ) -> None:
        self.endings = {key: [*some] for key, some in (endings or {}).items()}
        self.at_once, self.isolates = at_once, isolates
        self.began: list[str] = []
        self.together: list[set[str]] = []
        self.working: dict[int, str] = {}

    def __exit__(self, *_: object) -> None:
        return None

    def start(self, jobs: Sequence[Job]) -> list[int]:
        handles = [len(self.began) + number for number in range(len(jobs))]
        self.began += [job.key for job in jobs]
        self.working |= dict(zip(handles, (job.key for job in jobs), strict=True))
        self.together.append(set(self.working.values()))
        return handles

    def ended(self, running: Collection[int]) -> dict[int, Ending]:
        assert set(running) == set(self.working)
        first = min(running)
        endings = self.endings.get(key := self.working.pop(first), [])
        return {first: endings.pop(0) if endings else Ending()} if key else {}


def carried(jobs: Sequence[Job], engine: Pretended, tries: int = 3) -> dict[str, str]:
    found = run_jobs(jobs, engine, tries, Watch())
    return {job_id.partition("-")[2]: reason for job_id, reason in found.items()}


@pytest.fixture
def chain(tmp_path: Path) -> list[CountedJob]:
    """Two runs that share their first job: a → b → c and a → d."""
    a, b, c, d = (counted(tmp_path, key) for key in "abcd")
    return [a, replace(b, needs=("count-a",)), replace(c, needs=("count-a", "count-b")), replace(d, needs=("count-a",))]


def test_every_job_begins_once_and_after_what_it_needs(chain: list[CountedJob]) -> None:
    engine = Pretended()
    assert carried(chain[::-1], engine) == dict.fromkeys("abcd", "")
    assert sorted(engine.began) == [*"abcd"]
    assert engine.began[0] == "a"
    assert engine.began.index("b") < engine.began.index("c")
    assert {"b", "d"} in engine.together, "what does not need each other works together"


def test_what_fails_is_a_hole_with_its_reason_and_so_is_all_that_needs_it(chain: list[CountedJob]) -> None:
    engine = Pretended({"b": [Ending(reason="no memory; take less")]})
    found = carried(chain, engine)
    assert found == {"a": "", "b": "no memory; take less", "c": "no memory; take less", "d": ""}
    assert sorted(engine.began) == ["a", "b", "d"], "a job that fails by itself would fail again"


def test_what_needs_a_hole_waits_no_longer(chain: list[CountedJob]) -> None:
    watch = Watch()
    watch.see({"one": {"train": "count-a", "encode": "count-b", "evaluate": "count-c"}, "two": {"encode": "count-d"}})
    run_jobs(chain, Pretended({"b": [Ending(reason="no memory")]}), 1, watch)
    assert {job: seen.state for job, seen in watch.jobs.items()} == {
        "count-a": "done",
        "count-b": "hole",
        "count-c": "–",
        "count-d": "done",
    }


def test_a_job_that_is_lost_begins_again_until_its_tries_are_over(chain: list[CountedJob]) -> None:
    lost = Ending(reason="its node is gone", is_lost=True)
    engine = Pretended({"a": [lost, lost], "d": [lost] * 9})
    found = carried(chain, engine)
    assert found == {"a": "", "b": "", "c": "", "d": "its node is gone (3 tries)"}
    assert engine.began.count("a") == 3
    assert engine.began.count("d") == 3


@pytest.mark.parametrize("at_once", [1, 2, None])
def test_an_engine_is_never_given_more_jobs_than_it_takes(tmp_path: Path, at_once: int | None) -> None:
    engine = Pretended(at_once=at_once)
    carried([counted(tmp_path, key) for key in "abcde"], engine)
    assert max(map(len, engine.together)) == (at_once or 5)
    assert len(engine.began) == 5


def test_a_job_that_takes_times_has_its_machine_alone_and_comes_last(tmp_path: Path) -> None:
    timed = [counted(tmp_path, key, name="evaluate and measure") for key in "tu"]
    jobs = [timed[0], *(counted(tmp_path, key) for key in "abc"), timed[1]]
    engine = Pretended(at_once=4)
    carried(jobs, engine)
    assert [some for some in engine.together if some & {*"tu"}] == [{"t"}, {"u"}]
    assert sorted(engine.began[:3]) == [*"abc"]
    isolating = Pretended(at_once=4, isolates=True)
    carried(jobs, isolating)
    assert isolating.together[0] == {"t", *"abc"}, "a cluster gives each a machine"


def test_the_table_shows_every_run_and_what_moves_first(
    chain: list[CountedJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    watch.see({"one": {"prepare": "", "train": "count-a", "encode": "count-b"}, "two": {"prepare": "", "train": LATER}})
    watch.see({"faulty": {"prepare": "", "train": NEVER}})
    watch.see({f"idle {i}": {"prepare": ""} for i in range(40)})
    watch.began("count-a")
    watch.ended("count-a", "no memory")
    watch.began("count-b")
    with monkeypatch.context() as patch:
        patch.setattr(console, "_height", 14)
        patch.setattr(console, "_width", 100)
        with console.capture() as capture:
            console.print(watch.table())
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert lines[0] == "run prepare train encode"
    assert lines[1] == "one cached hole runs 0 s"
    assert lines[2] == "two cached waits"
    assert lines[3] == "faulty cached –"
    assert lines[-1] == "… and 37 more"
    assert len(lines) == 8


def test_the_table_is_drawn_the_moment_that_a_run_is_known() -> None:
    drawn: list[Table] = []

    class Rows(dict[str, Mapping[str, str]]):
        def update(self, rows: Mapping[str, Mapping[str, str]]) -> None:  # type: ignore[override]
            super().update(rows)
            drawn.append(watch.table())  # as Rich's thread may

    watch = Watch(rows=Rows())
    watch.see({"one": {"train": "count-a"}})
    assert len(drawn) == 1


def test_the_table_is_drawn_while_runs_become_known() -> None:
    class Cells(dict[str, str]):
        def __iter__(self) -> Iterator[str]:
            watch.see({"late": {"train": LATER}})  # as the main thread may
            return super().__iter__()

    watch = Watch()
    watch.see({"one": {"train": "count-a"}, "two": {"train": "count-b"}})
    watch.rows["one"] = Cells(watch.rows["one"])
    assert watch.table().row_count == 2
    assert watch.table().row_count == 3
