"""Commands on stored results: ``compare``, ``publish`` and ``tables``."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from benchmark.console import say


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Recall of one run, or the mean of several seeds, minus that of others, with a paired 95 % interval.

    Example: crossplace compare runs/results/lc2-* --against runs/results/vxp-*
    """

    runs: Positional[tuple[Path, ...]]
    """Folders with result.json and ranks.npz: one, or one a seed."""
    against: tuple[Path, ...]
    """The folder to compare with, or one a seed, of the same dataset and protocol."""
    depth: int = 1
    """The N of recall@N."""

    def __call__(self) -> None:
        """Print one line a direction."""
        from benchmark.records.comparison import differences
        from benchmark.report.formats import screen
        from benchmark.report.tables import difference_table
        from datasets.errors import CrossplaceError

        if not self.runs:
            raise CrossplaceError("nothing to compare: name folders with result.json, such as runs/results/*")
        found = differences(self.runs, self.against, self.depth)
        say(screen(difference_table(found, self.depth)).rstrip("\n"))


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
    """Write RESULTS/tables/recall.md and studies.md from all committed results, and print them.

    Example: crossplace tables
    """

    results: Path = Path("results")
    """Folder of committed results."""

    def __call__(self) -> None:
        """Write and print; in the suite's own repository also the leaderboard that travels with it."""
        from benchmark.cli.repository import update_repository
        from benchmark.report.studies import study_text, write_study_tables
        from benchmark.report.tables import Comparison, as_text, means_over_seeds, write_tables

        path, groups = write_tables(self.results)
        for group in groups:
            say(as_text(means_over_seeds(Comparison.of(group, alone=True))))
        for record in write_study_tables(self.results):
            say(study_text(record, "screen"))
        written = [path, path.with_name("studies.md"), *update_repository(self.results, groups)]
        say(f"written: {', '.join(map(str, written))}")
