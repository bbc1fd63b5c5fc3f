"""What a person sees while jobs work: one table of all runs on a terminal, a line for each event otherwise."""

import logging
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from rich.live import Live
from rich.table import Table

from benchmark.console import console

LATER = "later"
"""What stands for a job whose key is not known yet."""
NEVER = "never"
"""What stands for a job that no run will begin, since something before it has failed."""
BEFORE = {"": "cached", LATER: "waits", NEVER: "–"}
"""The states of what is no job yet, or needs none."""
ROOM = 8
"""Lines of the terminal that the table leaves to what was there before."""
log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class _Seen:
    """What is known of one job."""

    state: str = BEFORE[LATER]
    began_s: float = 0.0
    seconds: float = 0.0

    def words(self) -> str:
        """Its state, and how long it has been in it."""
        if self.state == "runs":
            return f"runs {time.monotonic() - self.began_s:.0f} s"
        return f"{self.seconds:.0f} s" if self.state == "done" else self.state


@dataclass(kw_only=True)
class Watch(AbstractContextManager["Watch"]):
    """Told of every event; shows them from when it is entered until it is left."""

    rows: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """For each run by its label: its steps, and the job of each (empty: its outcome was there)."""
    jobs: dict[str, _Seen] = field(default_factory=dict)
    _live: Live | None = None

    def __enter__(self) -> "Watch":
        if console.is_terminal:
            self._live = Live(get_renderable=self.table, console=console, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def see(self, rows: Mapping[str, Mapping[str, str]]) -> None:
        """These runs take these jobs. Jobs are noted first, because another thread may draw the table at any moment."""
        for job in (job for cells in rows.values() for job in cells.values()):
            self.jobs.setdefault(job, _Seen(state=BEFORE.get(job, BEFORE[LATER])))
        self.rows.update(rows)

    def began(self, job: str) -> None:
        """A job works now, or lies in the queue of a cluster."""
        self.jobs.setdefault(job, _Seen())
        self.jobs[job].state, self.jobs[job].began_s = "runs", time.monotonic()
        self._say(job, "begins")

    def lost(self, job: str, reason: str) -> None:
        """A job will begin again."""
        self.jobs[job].state = "again"
        self._say(job, f"begins again: {reason}", logging.WARNING)

    def ended(self, job: str, reason: str) -> None:
        """A job has its outcome, or will have none for this reason."""
        seen = self.jobs[job]
        seen.seconds = time.monotonic() - seen.began_s
        seen.state = "hole" if reason else "done"
        if reason:
            self._say(job, f"no outcome: {reason}", logging.WARNING)
        else:
            self._say(job, f"done in {seen.seconds:.0f} s")

    def dropped(self, job: str) -> None:
        """A job is not begun, since one that it needs has no outcome."""
        self.jobs.setdefault(job, _Seen()).state = BEFORE[NEVER]

    def _say(self, job: str, what: str, level: int = logging.INFO) -> None:
        """A line; beside the table only what it cannot show, which then stands above it."""
        if self._live and level == logging.INFO:
            return
        known = [seen for name, seen in self.jobs.items() if name not in BEFORE]
        n_over = sum(seen.state in ("done", "hole", BEFORE[NEVER]) for seen in known)
        runs = [label for label, cells in self.rows.items() if job in cells.values()]
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        log.log(level, "[%d of %d] %s (%s%s) %s", n_over, len(known), job, "".join(runs[:1]), more, what)

    def table(self) -> Table:
        """All runs with the states of their steps; where there is no room for all, those that move come first."""
        rows = dict(self.rows)  # as they are now: others may come while these are drawn
        steps = list(dict.fromkeys(step for cells in rows.values() for step in cells))
        table = Table("run", *steps, box=None)
        states = {label: {self.jobs[job].state for job in cells.values()} for label, cells in rows.items()}
        order = sorted(rows, key=lambda label: _rank(states[label]))
        n_shown = max(console.height - ROOM, 1)
        for label in order[:n_shown]:
            cells = rows[label]
            table.add_row(label, *(self.jobs[cells[step]].words() if step in cells else "" for step in steps))
        if len(order) > n_shown:
            table.add_row(f"… and {len(order) - n_shown} more")
        return table


def _rank(states: set[str]) -> int:
    """Runs that work come first, then those that wait, then the rest."""
    return next((rank for rank, state in enumerate(("runs", "again", "hole", BEFORE[LATER])) if state in states), 4)
