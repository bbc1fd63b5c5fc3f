"""``crossplace data fetch``, ``sample`` and ``list``: raw data by one command, in small, and what there is."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from benchmark.console import confirmed, is_asked, say, track

if TYPE_CHECKING:
    from datasets.errors import NotFetched
    from datasets.fetching.store import Store, Wish


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """Fetch a public dataset, or a part of it: the plan and the licence first, then files that are checked.

    Example: crossplace data fetch kitti --runs '0[47]' --spacing 2 --limit-m 500
    """

    dataset: Positional[str]
    """Dataset that can be had without an account (crossplace data list)."""
    preset: str = "mini"
    """Which part, in a word: mini or standard; the options below change it."""
    runs: tuple[str, ...] = ()
    """Names of runs or sequences, or patterns such as '*2021-09-*'."""
    spacing_m: Annotated[float | None, arg(name="spacing")] = None
    """Metres of path between frames; 0 takes every frame."""
    limit_m: float | None = None
    """Only the first metres of each run; a number larger than the run takes all of it."""
    to: Path | None = None
    """Folder to fetch into; default: raw/DATASET below $CROSSPLACE_DATA, where all commands look for it."""
    yes: bool = False
    """Begin without asking."""
    mirror: str = ""
    """Address of a copy of the store, laid out as the store itself."""
    connections: int = 8
    """Files fetched at the same time."""

    def __call__(self) -> None:
        """Say what would be fetched, ask, fetch."""
        from benchmark.frames.preparing import raw_folder
        from datasets.errors import CrossplaceError, unknown
        from datasets.fetching.store import store_named

        if not 1 <= self.connections <= 64:
            raise CrossplaceError(f"--connections must be 1 to 64, found {self.connections}")
        store = store_named(self.dataset, self.mirror)
        if self.preset not in store.presets:
            raise CrossplaceError(unknown(f"preset of {self.dataset}", self.preset, [*store.presets]))
        wish = store.presets[self.preset]
        wish = replace(
            wish,
            runs=self.runs or wish.runs,
            spacing_m=wish.spacing_m if self.spacing_m is None else self.spacing_m,
            stretches_m=wish.stretches_m if self.limit_m is None else ((0.0, self.limit_m),),
        )
        fetch_after_asking(store, wish, self.to or raw_folder(self.dataset), self.connections, yes=self.yes)
        source = f" --source {self.to}" if self.to else ""
        say(f"next: crossplace bench --dataset {self.dataset}{source}")


def fetch_after_asking(store: "Store", wish: "Wish", folder: Path, connections: int = 8, *, yes: bool = False) -> None:
    """Print the plan, ask unless ``yes``, and fetch; raises :class:`CrossplaceError` if anything is missing at last."""
    from benchmark.report.screen import paragraphs
    from datasets.errors import CrossplaceError
    from datasets.fetching.fetch import announcement, check_room, fetching
    from datasets.fetching.store import size
    from datasets.fetching.transfer import Transfer

    say(paragraphs(announcement(store, wish, folder)))
    check_room(store, wish, folder)
    if not yes and not is_asked():
        raise CrossplaceError("nothing was fetched, because there is no terminal to ask on; add --yes if you agree")
    if not yes and not confirmed("Fetch this under that licence?"):
        raise CrossplaceError("nothing was fetched; other parts: --preset, --runs, --spacing, --limit-m")
    with (
        Transfer(connections=connections) as transfer,
        fetching(store, wish, folder, transfer, connections=connections) as work,
    ):
        for _ in track(work.tables(), "tables", len(work.table_items)):
            pass
        say(work.plan())
        for _ in track(work.frames(), "frames", len(work.frame_items)):
            pass
        say(f"{folder}: {len(work.manifest.files):,} files, {size(work.manifest.n_bytes)}, hashes in manifest.json")


def offered(missing: "NotFetched") -> bool:
    """Whether the person at the terminal had the smallest part of a missing dataset fetched; false without one."""
    from benchmark.frames.preparing import raw_folder
    from datasets.fetching.store import store_named

    if not is_asked():
        return False
    store = store_named(missing.dataset)
    say(f"{missing}\nOr now:")
    fetch_after_asking(store, store.smallest, raw_folder(missing.dataset))
    return True


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Write a small raw download in a dataset's real layout, from the town's sensors, to try the whole way.

    Example: crossplace data sample oxford oxford-sample
    """

    dataset: Positional[str]
    """Dataset whose layout is written."""
    folder: Positional[Path]
    """New folder."""

    def __call__(self) -> None:
        """Write the sample, and say what to do with it."""
        from benchmark.frames.preparing import command
        from datasets.samples.writing import parts_of, write_sample

        for _ in track(write_sample(self.dataset, self.folder), f"sample of {self.dataset}", parts_of(self.dataset)):
            pass
        say(f"{self.folder}: synthetic data in the layout of {self.dataset}; every table says so")
        say(f"next: {command('check', self.dataset, self.folder, ())}")
        say(f"then: crossplace bench --method vxp --dataset {self.dataset} --source {self.folder}")


@dataclass(frozen=True, kw_only=True)
class ListData:
    """What data there is: sizes here and there, length, licence; with a dataset, its runs and their conditions.

    Example: crossplace data list kitti
    """

    dataset: Positional[str | None] = None
    """Dataset that can be fetched; default: a line for every dataset."""

    def __call__(self) -> None:
        """Print the table."""
        from benchmark.report.downloads import datasets_table, runs_table
        from benchmark.report.screen import screen

        say(screen(datasets_table() if self.dataset is None else runs_table(self.dataset)).rstrip("\n"))
