"""``crossplace data``: list, fetch, sample, prepare, make, check and look at data."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, subcommand

from benchmark.cli.fetching import Fetch, ListData, Sample
from benchmark.console import say, track
from benchmark.request import RawOptions

if TYPE_CHECKING:
    from datasets.prepared import PreparedDataset


@dataclass(frozen=True, kw_only=True)
class _OfDataset:
    """Which raw data."""

    dataset: Positional[str]
    """Registered dataset (crossplace list datasets)."""
    raw: OmitArgPrefixes[RawOptions] = field(default_factory=RawOptions)


@dataclass(frozen=True, kw_only=True)
class Prepare(_OfDataset):
    """Bring a raw download (or the town) into the prepared form below $CROSSPLACE_DATA (default: data)."""

    workers: int | None = None
    """Processes; default: one per processor, at most 16."""

    def __call__(self) -> None:
        """Prepare, or find it prepared, and say what was kept and what was dropped for which reason."""
        from benchmark.frames.preparing import locate, prepare
        from datasets.summary import in_a_line

        dataset = prepare(locate(self.dataset, self.raw.source, self.raw.dataset_options), self.workers)
        say(f"{dataset.folder}: {in_a_line(dataset)}")


@dataclass(frozen=True, kw_only=True)
class TrueDepth:
    """Write the true depth of every image of the town, as files for --depth: a bound for methods that compare depth.

    Example: crossplace data true-depth depth/town
    """

    folder: Positional[Path]
    """Folder to write into; files that are there already are kept."""
    dataset_options: tuple[str, ...] = ()
    """Options of the town as key=value, such as preset=tiny; give the same ones to crossplace bench."""
    workers: int | None = None
    """Processes; default: one per processor, at most 16."""

    def __call__(self) -> None:
        """Write the files, and say which command takes them."""
        from benchmark.frames.preparing import command, make_dataset
        from datasets.town.depth import write_depth
        from datasets.town.town import Town, frames_of

        town = make_dataset(Town.card.name, self.dataset_options)
        assert isinstance(town, Town)
        n_frames = len(frames_of(town.drives()))
        for _ in track(write_depth(town, self.folder, self.workers), "true depth", n_frames):
            pass
        bench = command("bench", town.card.name, None, self.dataset_options)
        say(f"{self.folder}: depth of {n_frames:,} images; next: {bench} --depth {self.folder} --method NAME")


@dataclass(frozen=True, kw_only=True)
class Check:
    """Look at data: what a raw download lacks, and whether prepared data means what it says; fails if it does not.

    Example: crossplace data check oxford --source DIR
    """

    dataset: Positional[str]
    """Registered dataset (crossplace list datasets), or a folder in the prepared form."""
    raw: OmitArgPrefixes[RawOptions] = field(default_factory=RawOptions)
    json: Path | None = None
    """File to write the facts of the prepared data into, as JSON."""

    def __call__(self) -> None:
        """Print what is found: files of a download, then facts of the prepared data where it is prepared."""
        from benchmark.frames.preparing import command, locate_whatever, prepare
        from benchmark.registry import DATASETS
        from datasets.errors import CrossplaceError

        location, findings = locate_whatever(self.dataset, self.raw.source, self.raw.dataset_options)
        for finding in findings:
            say(f"{'ok     ' if finding.ok else 'MISSING'} {finding.what}")
        if not all(finding.ok for finding in findings):
            where = DATASETS.get(self.dataset).card.source
            raise CrossplaceError(f"{self.dataset} cannot be prepared; where to get the data: {where}")
        prepare_it = command("prepare", self.dataset, self.raw.source, self.raw.dataset_options)
        if location is not None and location.is_prepared:
            self._show(prepare(location))
            say(f"next: {command('bench', self.dataset, self.raw.source, self.raw.dataset_options)}")
        elif self.json:
            raise CrossplaceError(f"--json {self.json}: facts are those of prepared data; first: {prepare_it}")
        else:
            say(f"next: {prepare_it}")

    def _show(self, dataset: "PreparedDataset") -> None:
        from benchmark.frames.preparing import look_at
        from benchmark.report.data import facts_table
        from benchmark.report.screen import screen
        from datasets.errors import CrossplaceError
        from datasets.files import write_atomically

        found = look_at(dataset)
        if self.json:
            write_atomically(self.json, found.as_json())
        say(screen(facts_table(found, dataset)).rstrip("\n"))
        if faults := found.faults():
            raise CrossplaceError(f"{dataset.folder}: this data does not mean what it says; faults: {len(faults)}")


@dataclass(frozen=True, kw_only=True)
class Stats(_OfDataset):
    """Frames, metres and minutes per traversal, and a contact sheet of images beside clouds."""

    figure: str = "contact-sheet"
    """Drawing of the data (crossplace list figures)."""
    sheet: Path | None = None
    """PNG or JPEG file to draw into; default: FIGURE.png in the prepared folder."""

    def __call__(self) -> None:
        """Print the table and draw the figure."""
        from benchmark.frames.preparing import locate, prepare
        from benchmark.report.data import summary_table
        from benchmark.report.figures import check_picture, draw_picture
        from benchmark.report.figures.saving import check_ending
        from benchmark.report.screen import screen
        from datasets.files import writing

        check_picture(self.figure)
        if self.sheet:
            check_ending(self.sheet)
        dataset = prepare(locate(self.dataset, self.raw.source, self.raw.dataset_options))
        say(screen(summary_table(dataset)))
        path = self.sheet or dataset.folder / f"{self.figure}.png"
        with writing(path):
            draw_picture(self.figure, dataset, path)
        say(f"{self.figure}: {path}")


@dataclass(frozen=True, kw_only=True)
class DriveOptions:
    """Where the files of one drive are, and which of them become frames."""

    trajectory: Path
    """Poses: TUM (time x y z qx qy qz qw a line) or KITTI (12 numbers a line, with --times)."""
    calibration: Path
    """YAML file: the sensor that the trajectory is of, intrinsics, transforms (docs/your-data.md)."""
    traversal: str
    """Name of the drive."""
    world: str = ""
    """Name of the map that the poses belong to; drives of one map share places. Default: a map of its own."""
    condition: str = "unstated"
    """Light and weather in a word: day, dusk, snow."""
    images: Path | None = None
    """Folder of undistorted images, each named by its time, or with times.txt."""
    clouds: Path | None = None
    """Folder of clouds, each named by its time, or with times.txt; there is one frame a cloud."""
    times: Path | None = None
    """Times of the poses of a KITTI trajectory, one a line."""
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of the times of images and clouds; default: recognised by magnitude."""
    trajectory_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of the times of the trajectory; default: recognised by magnitude, else s."""
    max_apart_ms: float = 50.0
    """A cloud without an image this near in time is left out."""
    longest_gap_s: float = 1.0
    """A frame in a longer gap between two poses is left out."""


@dataclass(frozen=True, kw_only=True)
class FromTrajectory:
    """Make a prepared folder from a trajectory (TUM or KITTI) and folders of images and clouds named by their times.

    A further drive goes into the same folder by another --traversal. Images and clouds stay where they are.

    Example: crossplace data from-trajectory own --trajectory t.txt --calibration c.yaml --clouds lidar --traversal mon
    """

    folder: Positional[Path]
    """The prepared folder, new or written by this command before."""
    drive: OmitArgPrefixes[DriveOptions]
    name: str | None = None
    """Name of the dataset; default: that of the folder."""
    replace: bool = False
    """Write a traversal of this name anew if it is there."""

    def __call__(self) -> None:
        """Write the folder; say what was found, kept and dropped for which reason."""
        from benchmark.registry import DATASETS
        from datasets.errors import CrossplaceError
        from datasets.summary import in_a_line
        from datasets.trajectory.building import add_traversal
        from datasets.trajectory.drive import Drive

        name = self.name or self.folder.absolute().name
        if name in DATASETS.names():
            raise CrossplaceError(f"the name {name!r} belongs to a registered dataset; choose another one with --name")
        drive = Drive(**{f.name: getattr(self.drive, f.name) for f in fields(self.drive)})
        dataset, told = add_traversal(self.folder, drive, name=self.name, replace=self.replace)
        for line in told:
            say(line)
        say(f"{dataset.folder}: {in_a_line(dataset)}")


@dataclass(frozen=True, kw_only=True)
class Data:
    """List, fetch, sample, prepare, make, check and look at data."""

    command: OmitArgPrefixes[
        Annotated[Prepare, subcommand("prepare", prefix_name=False)]
        | Annotated[TrueDepth, subcommand("true-depth", prefix_name=False)]
        | Annotated[FromTrajectory, subcommand("from-trajectory", prefix_name=False)]
        | Annotated[Check, subcommand("check", prefix_name=False)]
        | Annotated[Stats, subcommand("stats", prefix_name=False)]
        | Annotated[ListData, subcommand("list", prefix_name=False)]
        | Annotated[Fetch, subcommand("fetch", prefix_name=False)]
        | Annotated[Sample, subcommand("sample", prefix_name=False)]
    ]

    def __call__(self) -> None:
        """Run the subcommand."""
        self.command()
