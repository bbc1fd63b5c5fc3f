"""Oxford RobotCar: one car, one route through Oxford, more than a hundred times in a year and a half.

Both layouts can be read: the one of the official archives, and the one that VXP rearranges them to. The prepared form
holds undistorted images of the centre stereo camera, one every few metres, and for each image a submap of the road
ahead. Submaps are made of the sweeps of a push-broom LiDAR; their origin is the camera.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.base import Dataset, DatasetCard, Finding, Frames, Lidar, Traversal
from datasets.errors import CrossplaceError, leave_out, refuse
from datasets.files import sha256_of
from datasets.jobs import clear_jobs, run_jobs
from datasets.oxford.camera import MODEL, TABLE, read_camera
from datasets.oxford.checking import complete, describe, faults_of
from datasets.oxford.frames import Places, Recipe, cloud_path, find_places, image_path, jobs_of, make_frames
from datasets.oxford.layout import NS_PER_US, OFFICIAL, REARRANGED, Run, find_runs
from datasets.oxford.poses import PoseSource
from datasets.oxford.runs import TEST_RUNS, condition_of
from datasets.oxford.submap import Crop
from datasets.prepared import frames_at, make_fingerprint, write_prepared
from datasets.readers import image_size

LAYOUT = f"{OFFICIAL}; or {REARRANGED}; models/{{{MODEL}, {TABLE}}}"
SOURCE = "https://robotcar-dataset.robots.ox.ac.uk"
SUBMAP = Lidar(beams=1, vertical_fov_deg=(-90.0, 90.0), max_range_m=50.0, form="submap")
REASONS = (
    "no_image", "outside_poses", "no_sweeps", "sweeps_outside_poses",
    "empty_submap", "too_shallow", "no_ground_plane", "only_ground",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Oxford(Dataset):
    """Preparer of Oxford RobotCar.

    A frame's pose is that of its cloud: the stereo camera, turned to x forward, y left, z up, on UTM zone 30.

    Deviation: VXP annotates the position of the INS, 1.7 m behind the camera and 0.1 m beside it. Between frames of the
    same driving direction the difference cancels, except in turns; between opposite directions it adds up to 3.4 m.

    Deviation: poses are interpolated. VXP takes an earlier sample and names the frame before (``as_published``).

    Deviation: the INS measures yaw from true north, and here it is turned to grid north. VXP takes yaw as it is
    (``as_published``), which turns everything ahead aside by 1.37°.

    Deviation: the ground is found with seeded random numbers.
    """

    runs: tuple[str, ...] = ()
    """Runs to prepare; by default all runs that have images, sweeps and poses."""
    models: str = ""
    """Folder with the SDK's camera model and distortion table; by default ``models`` in the source."""
    poses: PoseSource = "ins"
    """Where poses come from: ``gps/ins.csv``, or the later ``gps/rtk.csv``."""
    bridge_bad_ins: bool = False
    """Leave out poses that the INS does not call good, and interpolate across them."""
    as_published: bool = False
    """Take poses of places and sweeps as VXP does: those of the INS one camera frame (or one sweep) later. They are
    not interpolated, and their yaw is from true north."""
    spacing_m: float = 5.0
    """Length of path between the images that are tried."""
    ahead_s: float = 20.0
    """Time between an image and the last sweep of its submap."""
    crop_m: tuple[float, float, float] = (50.0, 25.0, 25.0)
    """How much of a submap is kept: ahead, to each side, and above as well as below the camera."""
    depth_at_least_m: float = 30.0
    """How far ahead a submap must reach; a shorter one is rejected."""
    image_size: tuple[int, int] = (320, 240)
    """Width and height of the stored images."""
    seed: int = 0

    card = DatasetCard(
        name="oxford",
        title="Oxford RobotCar",
        paper="Maddern, Pascoe, Linegar, Newman: 1 Year, 1000 km: The Oxford RobotCar Dataset, IJRR 2017",
        year=2017,
        licence="CC BY-NC-SA 4.0",
        modalities="image (stereo centre), 2-D push-broom LiDAR",
        is_real=True,
        source=f"{SOURCE} (free registration; runs, SDK camera models)",
        layout=LAYOUT,
        pose_of="stereo camera, turned to x forward, y left, z up; the clouds are in that frame",
        notes="Clouds are submaps of the road ahead, driven later: they hold what the camera was yet to pass.",
    )
    version = 1
    default_protocol = "oxford-vxp"
    resumable = True

    def __post_init__(self) -> None:
        """Refuse options that no frame can be made with."""
        positive = {
            "spacing_m": (self.spacing_m,),
            "ahead_s": (self.ahead_s,),
            "crop_m": self.crop_m,
            "image_size": self.image_size,
        }
        for name, values in positive.items():
            if not all(0 < value < float("inf") for value in values):
                raise CrossplaceError(f"oxford: {name} must be positive, found {getattr(self, name)}")
        if self.poses == "rtk" and self.bridge_bad_ins:
            raise CrossplaceError("oxford: bridge_bad_ins is about poses=ins; rtk.csv has no status")
        if self.seed < 0:
            raise CrossplaceError(f"oxford: seed must be 0 or more, found {self.seed}")

    def check(self, source: Path | None) -> Sequence[Finding]:
        """Findings about the models, about each run and its faults, and about test runs that are not there."""
        try:
            wanted, incomplete = self._select(source)
        except CrossplaceError as error:
            return [Finding(ok=False, what=str(error))]
        recipe = self._recipe(source)
        findings = [_models_finding(recipe)]
        if not wanted:
            wanted, incomplete = incomplete, []
        found = {run.name: faults_of(run, recipe) for run in wanted}
        for run in wanted:
            findings.append(Finding(ok=not found[run.name], what=describe(run, recipe)))
            findings += [Finding(ok=False, what=fault) for fault in found[run.name]]
        if offer := leave_out("runs", found):
            findings.append(Finding(ok=False, what=offer))
        findings += [Finding(ok=True, what=f"{describe(run, recipe)}; left out") for run in incomplete]
        absent = TEST_RUNS.keys() - {run.name for run in wanted}
        if absent and not self.runs:
            what = f"of the {len(TEST_RUNS)} published test runs not here: {', '.join(sorted(absent))}"
            findings.append(Finding(ok=True, what=f"{what} (rows will be partial; runs are from {SOURCE})"))
        return findings

    def fingerprint(self, source: Path | None) -> str:
        """Hash of version, options, the content of text files and tables, and the names of images and sweeps."""
        wanted = self._wanted(source)
        models = self._recipe(source).models
        texts = [models / name for name in (MODEL, TABLE) if (models / name).is_file()]
        listing = [f"{path.name} {sha256_of(path)}" for path in texts]
        for run in wanted:
            listing += [f"{run.name} {path.name} {sha256_of(path)}" for path in run.texts()]
            for stamps_ns in (run.image_stamps, run.sweep_stamps):
                listing.append(f"{run.name} {len(stamps_ns)} {hashlib.sha256(stamps_ns.tobytes()).hexdigest()}")
        return make_fingerprint(self.card.name, self.version, self.options(), listing, source)

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Make images and submaps and write the prepared form; yields (places tried, places in all)."""
        wanted = self._wanted(source)
        recipe = self._recipe(source)
        refuse(self.card.name, "runs", {run.name: faults_of(run, recipe) for run in wanted})
        plan = [find_places(run, recipe) for run in wanted]
        jobs = [job for places in plan for job in jobs_of(places, recipe, destination)]
        done, total = 0, sum(len(places.stamps_ns) for places in plan)
        counts = Counter(dict.fromkeys(["kept", *(f"dropped_{reason}" for reason in REASONS)], 0))
        for places in plan:
            counts.update(places.counts)
        kept: dict[str, list[int]] = {run.name: [] for run in wanted}
        for job, outcome in zip(jobs, run_jobs(make_frames, jobs, destination, workers=workers), strict=True):
            kept[job.run.name] += outcome["kept"]
            counts.update(outcome["counts"], kept=len(outcome["kept"]))
            yield (done := done + len(job.stamps_ns)), total
        full = [places for places in plan if kept[places.run.name]]
        if not full:
            dropped = ", ".join(f"{name} {n}" for name, n in counts.items() if n)
            raise CrossplaceError(f"{source}: no frame is left of {total} places tried ({dropped})")
        clear_jobs(destination)
        write_prepared(
            destination,
            name=self.card.name,
            version=self.version,
            options=self.options(),
            fingerprint=self.fingerprint(source),
            traversals=[_traversal(places.run, recipe) for places in full],
            frames=Frames.concatenate([_frames(places, kept[places.run.name]) for places in full]),
            counts=dict(counts),
            source=source,
        )

    def _select(self, source: Path | None) -> tuple[list[Run], list[Run]]:
        """The runs to prepare, and those left out because they are not named and a part of them is missing."""
        if source is None:
            raise CrossplaceError(f"oxford: --source is needed: the folder with {LAYOUT}; from {SOURCE}")
        found = find_runs(source)
        if not found:
            raise CrossplaceError(f"{source}: no run found; expected {LAYOUT}; from {SOURCE}")
        unknown = [name for name in self.runs if name not in found]
        if unknown:
            raise CrossplaceError(f"{source}: no run {', '.join(unknown)}; found: {', '.join(found)}")
        runs = [found[name] for name in sorted(set(self.runs or found))]
        wanted = [run for run in runs if self.runs or complete(run, self.poses)]
        return wanted, [run for run in runs if run not in wanted]

    def _wanted(self, source: Path | None) -> list[Run]:
        wanted, incomplete = self._select(source)
        if not wanted:
            raise CrossplaceError(
                f"{source}: none of {', '.join(run.name for run in incomplete)} has images, sweeps and "
                f"gps/{self.poses}.csv; expected {LAYOUT}; from {SOURCE}"
            )
        return wanted

    def _recipe(self, source: Path | None) -> Recipe:
        assert source is not None, "checked by _select"
        ahead, aside, above = self.crop_m
        return Recipe(
            models=Path(self.models) if self.models else source / "models",
            poses=self.poses,
            bridge_bad_ins=self.bridge_bad_ins,
            as_published=self.as_published,
            spacing_m=self.spacing_m,
            ahead_s=self.ahead_s,
            crop=Crop(ahead_m=ahead, aside_m=aside, above_m=above, depth_at_least_m=self.depth_at_least_m),
            image_size=self.image_size,
            seed=self.seed,
        )


def _models_finding(recipe: Recipe) -> Finding:
    try:
        n_pixels = read_camera(recipe.models).table_px.shape[1]
    except CrossplaceError as error:
        return Finding(ok=False, what=str(error))
    return Finding(ok=True, what=f"{recipe.models}: camera model and distortion table of {n_pixels:,} pixels")


def _traversal(run: Run, recipe: Recipe) -> Traversal:
    camera, raw_size = read_camera(recipe.models), image_size(run.image(int(run.image_stamps[0])))
    return Traversal(
        name=run.name,
        condition=condition_of(run),
        georeferenced=True,
        intrinsics=camera.intrinsics(raw_size, recipe.image_size),
        camera_from_lidar=camera.camera_from_cloud,
        lidar=SUBMAP,
    )


def _frames(places: Places, kept_ns: list[int]) -> Frames:
    """The places that became frames, as columns."""
    rows = np.flatnonzero(np.isin(places.stamps_ns, kept_ns))
    name, poses, stamps = places.run.name, places.world_from_body[rows], places.stamps_ns[rows]

    return frames_at(
        poses,
        stamps,
        traversal=name,
        world="oxford",
        frame_id=[f"{name}/{stamp // NS_PER_US}" for stamp in stamps],
        image=[image_path(name, int(stamp)) for stamp in stamps],
        cloud=[cloud_path(name, int(stamp)) for stamp in stamps],
    )
