"""Commands on stored results: ``compare``, ``publish``, ``tables`` and ``report``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from benchmark.cli.figures import FrameOptions
from benchmark.console import say


@dataclass(frozen=True, kw_only=True)
class Compare:
    """What differs between results: settings, recall with its paired interval, and where the difference lies.

    Folders of one configuration are seeds and are averaged. Example:
    crossplace compare runs/results/lc2-* runs/results/vxp-*
    """

    runs: Positional[tuple[Path, ...]]
    """Folders with result.json and ranks.npz, of the same dataset and protocol."""
    against: tuple[Path, ...] = ()
    """Folders that all others are compared with; default: the configuration that is named last."""
    depth: int = 1
    """The N of recall@N."""
    direction: str | None = None
    """Direction that is taken apart, such as "cloud->image"; default: the first that all results have."""

    def __call__(self) -> None:
        """Print settings, differences, and where they lie."""
        from benchmark.report.compare import compared
        from benchmark.report.screen import screen

        for table in compared(self.runs, self.against, self.depth, self.direction):
            say(screen(table))


@dataclass(frozen=True, kw_only=True)
class Publish:
    """Copy results of runs and studies into the committed results (aggregates only for real data).

    Example: crossplace publish runs/results/lc2-quick-*
    """

    runs: Positional[tuple[Path, ...]]
    """Folders with result.json, such as runs/results/*."""
    results: Path = Path("results")
    """Folder of committed results."""

    def __call__(self) -> None:
        """Copy each run."""
        from benchmark.records.publish import publish
        from datasets.errors import CrossplaceError

        if not self.runs:
            raise CrossplaceError("nothing to publish: name folders with result.json, such as runs/results/*")
        for run in self.runs:
            say(f"published {publish(run, self.results)}")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Write every table to RESULTS/tables, as Markdown, LaTeX and CSV, and print recall and cost.

    Example: crossplace tables --paper vxp
    """

    results: Path = Path("results")
    """Folder of committed results."""
    paper: str | None = None
    """Write and print only the tables of this paper, such as vxp (docs/papers.md)."""
    runs: Path | None = None
    """With --paper: show also the results in this folder, such as runs; tables are then written to RUNS/tables."""
    check: bool = False
    """Say which printed numbers are there and what contradicts, of one paper or all; write nothing."""

    def __call__(self) -> None:
        """Write and print, or check."""
        from benchmark.report.paper_check import known_papers
        from datasets.errors import CrossplaceError

        names = known_papers(self.paper)
        if self.runs and (self.check or self.paper is None):
            raise CrossplaceError("--runs goes with --paper alone: name a paper, and leave --check out")
        if self.check:
            self._check(names)
        elif self.paper is None:
            self._write_all()
        else:
            self._write(self.paper)

    def _check(self, names: Sequence[str]) -> None:
        """Print what is filled and every fault; raises where there is one."""
        from benchmark.report.paper_check import check_papers
        from benchmark.report.screen import paragraphs, screen
        from datasets.errors import CrossplaceError

        tables, faults = check_papers(names, self.results)
        for table in tables:
            say(screen(table))
        if faults:
            say(paragraphs(faults))
            named = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
            raise CrossplaceError(f"{named} in printed numbers; each stands above with its cure")
        say("No fault and no contradiction.")

    def _write(self, paper: str) -> None:
        """Print and write the tables of one paper."""
        from benchmark.records.collection import collect
        from benchmark.report.documents import TABLES, write_tables
        from benchmark.report.paper_check import require_files
        from benchmark.report.screen import screen_section

        require_files([paper], self.results)
        collection, kind = collect(self.results, *([self.runs] if self.runs else [])), f"paper-{paper}"
        for section in TABLES[kind].sections(collection):
            say(screen_section(section))
        written = write_tables(collection, (self.runs or self.results) / "tables", [kind])
        say(f"written: {', '.join(map(str, written))}")

    def _write_all(self) -> None:
        """Write and print; in the suite's own repository also the leaderboard that travels with it."""
        from benchmark.cli.repository import update_repository
        from benchmark.records.collection import collect
        from benchmark.report.comparison import Comparison, means_over_seeds
        from benchmark.report.documents import write_tables
        from benchmark.report.protocols import protocol_sections
        from benchmark.report.screen import screen_section
        from benchmark.report.studies import study_sections
        from benchmark.report.tables import as_text
        from datasets.errors import CrossplaceError

        collection = collect(self.results)
        if collection.is_empty:
            raise CrossplaceError(
                f"{self.results}: no results here; run crossplace bench and crossplace publish, or name another folder "
                "(--results)"
            )
        for group in collection.groups:
            say(as_text(means_over_seeds(Comparison.of(group.results, alone=True))))
        for section in [*protocol_sections(collection), *study_sections(collection.studies)]:
            say(screen_section(section))
        written = write_tables(collection, self.results / "tables")
        say(f"written: {len(written)} files in {self.results / 'tables'}")
        for path in update_repository(self.results, collection):
            say(f"written: {path}")


COMMITTED, OWN = Path("results"), Path("runs/results")
"""Where results are looked for if no folder is named: the committed ones before those of this machine."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write one page about results that opens offline: tables, maps, failures, facts, configurations, commands.

    Example: crossplace report runs/results --output report.html
    """

    folders: Positional[tuple[Path, ...]] = ()
    """Folders with results, there or in subfolders; default: results, or runs/results where there is none."""
    output: Path = Path("report.html")
    """File to write."""
    figures: tuple[str, ...] = ()
    """Figures to show (crossplace list figures); default: all that need neither images nor clouds."""
    frames: OmitArgPrefixes[FrameOptions] = field(default_factory=FrameOptions)

    def __call__(self) -> None:
        """Write the page and say where it is."""
        from benchmark.records.collection import collect
        from benchmark.report.page.drawings import OF_NUMBERS, drawings
        from benchmark.report.page.page import write_report
        from datasets.errors import CrossplaceError

        folders = self.folders or (COMMITTED if COMMITTED.is_dir() else OWN,)
        for folder in folders:
            if not folder.is_dir():
                raise CrossplaceError(f"{folder}: no such folder; run crossplace bench, or name a folder with results")
        collection = collect(*folders)
        drawn = drawings(collection, self.figures or OF_NUMBERS, self.frames.sources())
        write_report(collection, self.output, drawings=drawn)
        say(f"report: {self.output}")
