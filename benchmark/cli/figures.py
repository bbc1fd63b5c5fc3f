"""``crossplace figures``: drawings of results."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes, Positional

from benchmark.console import say
from benchmark.request import RawOptions

if TYPE_CHECKING:
    from benchmark.report.figures.plates import Hole
    from benchmark.report.figures.topics import Sources


@dataclass(frozen=True, kw_only=True)
class FrameOptions:
    """Where images, clouds and weights are, for figures that show them."""

    dataset: str | None = None
    """The dataset of the results, for figures that show images and clouds: a name, or a folder in prepared form."""
    raw: OmitArgPrefixes[RawOptions] = field(default_factory=RawOptions)
    weights: Path | None = None
    """Weights for local-features, where none were shipped."""

    def sources(self) -> "Sources":
        """The prepared dataset and the weights, as far as they were named."""
        from benchmark.frames.preparing import locate, prepare
        from benchmark.report.figures.topics import Sources
        from datasets.errors import CrossplaceError

        if self.weights is not None and not self.weights.is_file():
            raise CrossplaceError(f"--weights {self.weights}: no such file; crossplace train makes one")
        if self.dataset is None:
            if self.raw.source or self.raw.dataset_options:
                raise CrossplaceError("--source and --dataset-options say where a dataset is; name it with --dataset")
            return Sources(weights=self.weights)
        located = locate(self.dataset, self.raw.source, self.raw.dataset_options)
        return Sources(dataset=prepare(located), weights=self.weights)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Draw figures of results, as SVG and PNG, each beside its data as CSV.

    Example: crossplace figures runs/results --output figures --only recall map
    """

    results: Positional[tuple[Path, ...]] = (Path("results"),)
    """Folders with results: committed ones, or those of runs."""
    output: Path = Path("figures")
    """Folder to write into."""
    only: tuple[str, ...] = ()
    """Figures (crossplace list figures); default: all that can be drawn."""
    frames: OmitArgPrefixes[FrameOptions] = field(default_factory=FrameOptions)

    def __call__(self) -> None:
        """Draw; say what was written and what cannot be drawn."""
        from benchmark.records.collection import collect
        from benchmark.report.figures import check_figure
        from benchmark.report.figures.plates import write_figures
        from datasets.errors import CrossplaceError

        for name in self.only:
            check_figure(name)
        if missing := [folder for folder in self.results if not folder.is_dir()]:
            raise CrossplaceError(f"{missing[0]}: no such folder; name folders with result.json, such as runs/results")
        collection = collect(*self.results)
        if collection.is_empty:
            raise CrossplaceError(f"{self.results[0]}: no results here; crossplace bench makes some below runs/results")
        files, holes = write_figures(collection, self.output, self.only, self.frames.sources())
        for line in _told(holes):
            say(line)
        say(f"written to {self.output}: {', '.join(path.name for path in files if path.suffix == '.svg') or 'nothing'}")


def _told(holes: "list[Hole]") -> list[str]:
    """A line for each figure and reason, with what it is the reason for."""
    same: dict[tuple[str, str], list[str]] = {}
    for hole in holes:
        same.setdefault((hole.figure, hole.reason), []).append(hole.topic)
    told = []
    for (figure, reason), topics in same.items():
        named = [topic for topic in topics if topic]
        where = (
            "" if not named else f" of {named[0]}" if len(named) == 1 else f" of {named[0]} and {len(named) - 1} more"
        )
        told.append(f"not drawn: {figure}{where}: {reason}")
    return told
