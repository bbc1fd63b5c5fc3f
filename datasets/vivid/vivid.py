"""ViViD++ driving: options, check, and the way from bags to the prepared form."""

import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from datasets.base import Dataset, DatasetCard, Finding, Frames, Lidar, Traversal
from datasets.errors import CrossplaceError, leave_out
from datasets.files import check_name
from datasets.jobs import clear_jobs, run_jobs
from datasets.prepared import frames_at, make_fingerprint, write_prepared
from datasets.vivid.bags import Place, index_sha256
from datasets.vivid.choosing import Chosen, Rules, choose
from datasets.vivid.clocks import Clocks, clocks_of, cure_in_words, fault_of, suspect
from datasets.vivid.fisheye import Calibration
from datasets.vivid.messages import CAMERA, GPS, LIDAR, TYPES, points_of, position_of
from datasets.vivid.survey import Survey, inspect, survey
from datasets.vivid.writing import Job, Written, image_of, write_frames

log = logging.getLogger(__name__)

RUNS = tuple(f"{place}_{when}" for place in ("campus", "city") for when in ("day1", "day2", "evening", "night"))
LAYOUT = f"RUN.bag for the runs {', '.join(RUNS)} (folder driving_full)"
SOURCE = "https://visibilitydataset.github.io"
OS1_64 = Lidar(beams=64, vertical_fov_deg=(-22.5, 22.5), max_range_m=120.0, form="scan")
WORLD = "vivid"
FRAMES_PER_JOB = 40
SURVEYS = ".surveys"
"""Folder inside the prepared folder, with what was found in the bags; it is there only while frames are prepared."""


@dataclass(frozen=True, kw_only=True)
class Vivid(Dataset):
    """Preparer of the ViViD++ driving_full bags; each cloud is one frame, with the nearest image.

    All runs are in one world: metres east, north and up of a point of the campus. The position of a frame is that of
    the GPS receiver at the time of the cloud, interpolated linearly between the fix before and the fix after.

    Deviation: VXP's heading is 0 for every frame; here it is the direction of travel (``heading``).

    Deviation: VXP has a gap rule for one run only, about the time since the fix before. Here one rule, about the fixes
    before and after, is for all runs (``gps_gap_s``).

    Deviation: VXP has no limit on how far in time the nearest image is (``image_within_s``).

    Deviation: VXP stores images of 1280×1024 pixels (``image_width``).
    """

    runs: tuple[str, ...] = ()
    """Runs to prepare, such as campus_day1 campus_day2; by default those of the eight runs whose bags are there."""
    image_width: int = 640
    """Width of stored images in pixels; 1280 as published. The default is twice the width that any method looks at."""
    image_within_s: float = 0.1
    """Clouds whose nearest image is further away in time are dropped; at 15 m/s, 0.1 s are 1.5 m of road."""
    gps_gap_s: float = 1.5
    """Clouds between two fixes further apart in time are dropped. At 3 m/s², a straight line errs by less than 1 m."""
    heading: Literal["track", "constant"] = "track"
    """Heading of frames: ``track`` is the direction of travel; ``constant`` is 0 for every frame, as published."""
    heading_over_m: float = 6.0
    """Length of the chord whose direction is the direction of travel."""
    lidar_offset_s: float = 1621837330.818392
    """Seconds to add to the clouds' times, which count from the start of the LiDAR. As published, one for all runs."""
    lidar_offset_of: tuple[str, ...] = ()
    """Runs with another offset, as RUN=SECONDS; the offset is 0 where clouds and images have the same clock."""
    recorded_times_of: tuple[str, ...] = ()
    """Sensors of runs whose headers have no usable times, as RUN=camera, RUN=lidar or RUN=gps. The times at which their
    messages were recorded are taken, which are late by the way from the sensor to the disk."""
    every: int = 1
    """Keep every n-th frame of a run."""
    spacing_m: float = 0.0
    """Keep a frame once this much path has been driven since the last kept frame; 0 keeps all, as published."""

    card: ClassVar[DatasetCard] = DatasetCard(
        name="vivid",
        title="ViViD++ driving",
        paper="Lee, Cho, Shin, Kim, Myung: ViViD++: Vision for Visibility Dataset, RA-L 2022",
        year=2022,
        licence="non-commercial; see the project page",
        modalities="image, Ouster OS1-64 LiDAR",
        is_real=True,
        source=f"{SOURCE} (request form)",
        layout=LAYOUT,
        pose_of="GPS receiver (where it is on the car is not published), heading along the track, level",
        notes="VXP trains on campus_day1 and city_day1 and queries them too.",
    )
    version: ClassVar[int] = 1
    default_protocol: ClassVar[str] = "vivid-vxp"
    resumable: ClassVar[bool] = True
    calibration: ClassVar[Calibration] = Calibration()

    def __post_init__(self) -> None:
        """Refuse options that nothing can be made of."""
        limits = {"image_width": 1, "image_within_s": 0, "gps_gap_s": 0, "heading_over_m": 1e-3}
        for name, least in {**limits, "every": 1, "spacing_m": 0}.items():
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= least):
                raise CrossplaceError(f"vivid: {name} must be {least} or more, found {value}")
        if self.image_width > self.calibration.raw.width:
            raise CrossplaceError(f"vivid: image_width must be {self.calibration.raw.width} or less (the raw images')")
        self._clocks("")  # raises if an entry cannot be read

    def options(self) -> dict[str, Any]:
        """The values of the options; one that came later is left out while it is not used."""
        values = super().options()
        return values if self.recorded_times_of else {k: v for k, v in values.items() if k != "recorded_times_of"}

    def check(self, source: Path | None) -> Sequence[Finding]:
        """One line per bag with what is in it, one per fault, and one for the runs that are not there."""
        try:
            bags = self._bags(source)
        except CrossplaceError as error:
            return [Finding(ok=False, what=str(error))]
        findings, faults_by_run = [], dict[str, list[str]]()
        for bag in bags:
            try:
                what, faults = self._inspected(bag)
            except CrossplaceError as error:
                findings.append(Finding(ok=False, what=str(error)))
                faults_by_run[bag.stem] = [str(error)]
                continue
            findings.append(Finding(ok=not faults, what=what))
            faults_by_run[bag.stem] = faults
            findings += [Finding(ok=False, what=fault) for fault in faults]
        if offer := leave_out("runs", faults_by_run):
            findings.append(Finding(ok=False, what=offer))
        there = {bag.stem for bag in bags}
        absent = [run for run in RUNS if run not in there]
        if absent and not self.runs:
            findings.append(Finding(ok=True, what=f"not there: {', '.join(absent)}; from {SOURCE}"))
        return findings

    def fingerprint(self, source: Path | None) -> str:
        """Hash of version, options, and the size, header and index of each bag; messages are not read."""
        listing = [f"{bag.name} {bag.stat().st_size} {index_sha256(bag)}" for bag in self._bags(source)]
        return make_fingerprint(self.card.name, self.version, self.options(), listing, source)

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Look through the bags, then write frames; yields (frames done, frames in all).

        After an interruption, work goes on where it stopped.
        """
        bags = self._bags(source)
        for part in destination.glob("*/*/.*"):  # files that a killed process had begun to write
            part.unlink(missing_ok=True)
        runs = {}
        log.info("looking through %d bag(s)", len(bags))
        looks = [(bag, sorted(self._clocks(bag.stem).recorded)) for bag in bags]
        for bag, found in zip(
            bags, run_jobs(_look_through, looks, destination / SURVEYS, workers=workers), strict=True
        ):
            runs[bag] = choose(_survey(found), self._rules(bag.stem))
            log.info("%s: %d frames of %d clouds", bag, len(runs[bag].time_ns), len(found[1]))
        total, done = sum(len(run.time_ns) for run in runs.values()), 0
        jobs = [job for bag, run in runs.items() for job in self._jobs(bag, run, destination)]
        written = []
        for outcome in run_jobs(write_frames, jobs, destination, workers=workers):
            written += [Written(*one) for one in outcome]
            yield (done := len(written)), total
        fingerprint = self.fingerprint(source)
        self._finish(source, destination, runs, written, fingerprint)
        yield done, total

    def _finish(
        self,
        source: Path | None,
        destination: Path,
        runs: dict[Path, Chosen],
        written: list[Written],
        fingerprint: str,
    ) -> None:
        counts: Counter[str] = Counter(kept=0)
        parts = []
        for bag, run in runs.items():
            counts.update(run.counts)
            own, written = written[: len(run.time_ns)], written[len(run.time_ns) :]
            has_points = np.array([one.points > 0 for one in own], dtype=bool)
            counts.update(kept=int(has_points.sum()), dropped_no_points=int((~has_points).sum()))
            counts.update(points_not_finite=sum(one.not_finite for one in own))
            counts.update(points_without_return=sum(one.no_return for one in own))
            parts.append(_frames(bag.stem, run).take(np.flatnonzero(has_points)))
            if not len(parts[-1]):
                raise CrossplaceError(
                    f"{bag}: no frame is left: {_reasons(counts)}; see `crossplace data check vivid`, allow more "
                    "(image_within_s, gps_gap_s), or leave the run out (runs)"
                )
        shutil.rmtree(destination / SURVEYS, ignore_errors=True)
        clear_jobs(destination)
        write_prepared(
            destination,
            name=self.card.name,
            version=self.version,
            options=self.options(),
            fingerprint=fingerprint,
            traversals=[self._traversal(bag.stem) for bag in runs],
            frames=Frames.concatenate(parts),
            counts=dict(counts),
            source=source,
        )

    def _bags(self, source: Path | None) -> list[Path]:
        """The bags to prepare, ordered by name; raises if a wanted bag is not there, or if there is no bag at all."""
        if source is None:
            raise CrossplaceError(f"vivid: --source is needed: the folder with {LAYOUT}; from {SOURCE}")
        for run in self.runs:
            check_name(run, "vivid: runs", f"name bags in {source}, without .bag")
        bags = {run: source / f"{run}.bag" for run in sorted(set(self.runs)) or RUNS}
        there = [bag for bag in bags.values() if bag.is_file()]
        missing = [bag.name for bag in bags.values() if bag not in there]
        if not there or (self.runs and missing):
            raise CrossplaceError(f"{source}: {', '.join(missing)}: not there; expected {LAYOUT}; from {SOURCE}")
        return there

    def _inspected(self, bag: Path) -> tuple[str, list[str]]:
        """A line of text about the content of a bag, and the reasons why it cannot be prepared."""
        image = partial(image_of, calibration=self.calibration)
        found = inspect(bag, {LIDAR: points_of, CAMERA: image, GPS: position_of})
        clocks = self._clocks(bag.stem)
        spans = clocks.spans(found)
        what = ", ".join(
            f"{topic} {n:,} messages, {(spans[topic][1] - spans[topic][0]) / 1e9:,.0f} s"
            for topic, n in found.messages.items()
        )
        fault, cure = fault_of(found, clocks)
        if fault:
            given = (self.lidar_offset_of, self.recorded_times_of)
            return f"{bag}: {what}", [f"{bag}: {fault}; {cure_in_words(bag.stem, clocks, cure, *given)}"]
        odd, error_s = suspect(found, clocks)
        if odd:
            what += f"; the clock of {odd} differs from both others by {error_s:+,.1f} s: are all headers right?"
        return f"{bag}: {what}", []

    def _clocks(self, run: str) -> Clocks:
        """How the times of a run are taken."""
        return clocks_of(run, self.lidar_offset_s, self.lidar_offset_of, self.recorded_times_of)

    def _rules(self, run: str) -> Rules:
        clocks = self._clocks(run)
        return Rules(
            lidar_offset_ns=0 if LIDAR in clocks.recorded else clocks.lidar_offset_ns,
            image_within_s=self.image_within_s,
            gps_gap_s=self.gps_gap_s,
            heading_over_m=self.heading_over_m if self.heading == "track" else None,
            every=self.every,
            spacing_m=self.spacing_m,
        )

    def _jobs(self, bag: Path, run: Chosen, destination: Path) -> list[Job]:
        clouds = [f"clouds/{bag.stem}/{time}.npy" for time in run.time_ns.tolist()]
        images = [_image_path(bag.stem, time) for time in run.image_ns.tolist()]
        frames = list(zip(clouds, run.cloud_places, images, run.image_places, strict=True))
        return [
            Job(
                bag,
                destination,
                self.calibration,
                self.image_width,
                frames[start : start + FRAMES_PER_JOB],
                run.image_type,
            )
            for start in range(0, len(frames), FRAMES_PER_JOB)
        ]

    def _traversal(self, run: str) -> Traversal:
        return Traversal(
            name=run,
            condition=run.rpartition("_")[2].rstrip("0123456789"),
            georeferenced=True,
            intrinsics=self.calibration.at_width(self.image_width),
            camera_from_lidar=self.calibration.camera_from_lidar,
            lidar=OS1_64,
        )


def _look_through(look: tuple[Path, list[str]]) -> Survey:
    return survey(*look)


def _survey(found: list[Any]) -> Survey:
    """The survey that was stored as the JSON ``found``."""
    images, clouds, fixes, without_fix, *types = found
    return Survey(
        images=[(time, Place(*place)) for time, place in images],
        clouds=[(time, Place(*place)) for time, place in clouds],
        fixes=[(time, latitude, longitude, altitude) for time, latitude, longitude, altitude in fixes],
        without_fix=without_fix,
        image_type=types[0] if types else TYPES[CAMERA],  # an older version kept no type
    )


def _image_path(run: str, time_ns: int) -> str:
    return f"images/{run}/{time_ns}.png"


def _frames(run: str, chosen: Chosen) -> Frames:
    times = chosen.time_ns.tolist()

    world_from_lidar = np.tile(np.eye(4), (len(times), 1, 1))
    world_from_lidar[:, :3, :3] = Rotation.from_rotvec(chosen.yaw_rad[:, None] * [0, 0, 1]).as_matrix()
    world_from_lidar[:, :3, 3] = chosen.position_m
    return frames_at(
        world_from_lidar,
        chosen.time_ns,
        traversal=run,
        world=WORLD,
        frame_id=[f"{run}/{time}" for time in times],
        image=[_image_path(run, time) for time in chosen.image_ns.tolist()],
        cloud=[f"clouds/{run}/{time}.npy" for time in times],
    )


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in counts.items() if n)
