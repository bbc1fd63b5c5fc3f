"""Boreas: options, check, and the way from the folders of the store to the prepared form."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from datasets.base import Dataset, DatasetCard, Finding, Frames, Lidar, Traversal
from datasets.boreas.checking import describe, faults_of
from datasets.boreas.choosing import Chosen, Recording, Rules, choose
from datasets.boreas.layout import CITATION, CONDITIONS, LAYOUT, LICENCE, SOURCE, WITHOUT_POSES, folder_of, name_of
from datasets.boreas.writing import Recipe, Written, cloud_path, image_path, jobs_of, write_frames
from datasets.errors import CrossplaceError, leave_out, refuse
from datasets.files import sha256_of
from datasets.jobs import clear_jobs, run_jobs
from datasets.prepared import frames_at, make_fingerprint, write_prepared
from datasets.readers import image_size

WORLD = "boreas"
VERTICAL_FOV_DEG = (-25.0, 15.0)
"""Elevations of the lowest and highest beam of the Velodyne Alpha Prime."""


@dataclass(frozen=True, kw_only=True)
class Boreas(Dataset):
    """Preparer of the runs of one route that have poses; all are in one world, metres east, north and up.

    A frame is one sweep with the nearest image. Its pose is that of the body at the moment of the image, as the
    camera's own poses say it. The cloud is placed there by the LiDAR's own poses. So points fall on the pixels that
    show them, although the sensors fire at different moments.
    """

    runs: tuple[str, ...] = ()
    """Runs to prepare, such as 2020-12-18-13-44; by default those whose folders are there."""
    spacing_m: float = 5.0
    """Keep a frame that is at least this far from the last kept one, as the crow flies; 0 keeps all."""
    image_width: int = 612
    """Width of stored images in pixels: a quarter of the published ones, some twice what any method looks at."""
    within_m: float = 80.0
    """Points further away than this, measured along the LiDAR's plane, are cut off."""
    image_within_ms: float = 50.0
    """Sweeps whose nearest image is further away in time are dropped; images are 100 ms apart."""
    camera_late_ms: float = 0.0
    """Milliseconds to add to an image's time before its pose is looked up; 30.5 as measured in pyboreas' issue 92."""
    correct_motion: bool = True
    """Place each point where the LiDAR was when that point was measured; else all where it was at the sweep's time."""

    card: ClassVar[DatasetCard] = DatasetCard(
        name="boreas",
        title="Boreas",
        paper=CITATION,
        year=2023,
        licence=LICENCE,
        modalities="image, Velodyne Alpha Prime LiDAR (128 beams)",
        is_real=True,
        source=f"{SOURCE} (no account)",
        layout=LAYOUT,
        pose_of="LiDAR, turned to the vehicle's forward, at the moment of the image",
        notes="One route of 8 km, driven out and back: the other lane is near every place.",
    )
    version: ClassVar[int] = 1
    default_protocol: ClassVar[str] = "boreas-5m"
    resumable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse options that nothing can be made of."""
        limits = {"spacing_m": 0, "image_width": 1, "within_m": 1, "image_within_ms": 0, "camera_late_ms": -1000}
        for name, least in limits.items():
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= least):
                raise CrossplaceError(f"boreas: {name} must be {least} or more, found {value}")

    # --- what is there -----------------------------------------------------------------------------

    def check(self, source: Path | None) -> Sequence[Finding]:
        """One line per run with what is in it, one per fault, and one for runs that are not taken or not there."""
        try:
            recordings = self._recordings(source)
        except CrossplaceError as error:
            return [Finding(ok=False, what=str(error))]
        findings = []
        faults = {recording.name: faults_of(recording, self._rules()) for recording in recordings}
        for recording in recordings:
            found = faults[recording.name]
            findings.append(Finding(ok=not found, what=describe(recording)))
            findings += [Finding(ok=False, what=fault) for fault in found]
        if offer := leave_out("runs", faults):
            findings.append(Finding(ok=False, what=offer))
        absent = [run for run in CONDITIONS if run not in faults]
        if absent and not self.runs:
            findings.append(Finding(ok=True, what=f"{len(absent)} of {len(CONDITIONS)} runs not here; from {SOURCE}"))
        return findings

    def fingerprint(self, source: Path | None) -> str:
        """Hash of version, options, the content of tables and calibration, and the names of images and sweeps."""
        listing = []
        for recording in self._recordings(source):
            texts = [path for path in recording.texts() if path.is_file()]
            listing += [f"{recording.name} {path.name} {sha256_of(path)}" for path in texts]
            for stamps_us in (recording.images_us, recording.sweeps_us):
                digest = hashlib.sha256(stamps_us.tobytes()).hexdigest()
                listing.append(f"{recording.name} {len(stamps_us)} {digest}")
        return make_fingerprint(self.card.name, self.version, self.options(), listing, source)

    # --- the way to the prepared form --------------------------------------------------------------

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Write frames; yields (frames done, frames in all). After an interruption, work goes on where it stopped."""
        recordings = self._recordings(source)
        refuse(self.card.name, "runs", {one.name: faults_of(one, self._rules()) for one in recordings})
        chosen = [choose(recording, self._rules()) for recording in recordings]
        recipes = [self._recipe(recording, one) for recording, one in zip(recordings, chosen, strict=True)]
        plan = list(zip(recordings, chosen, recipes, strict=True))
        jobs = [job for recording, one, recipe in plan for job in jobs_of(recording, one, recipe, destination)]
        total, written = sum(len(one.lidar_us) for one in chosen), list[Written]()
        for outcome in run_jobs(write_frames, jobs, destination, workers=workers):
            written += [Written(*one) for one in outcome]
            yield len(written), total
        self._finish(source, destination, plan, written)
        yield total, total

    def _finish(
        self,
        source: Path | None,
        destination: Path,
        plan: list[tuple[Recording, Chosen, Recipe]],
        written: list[Written],
    ) -> None:
        counts, parts, traversals = Counter[str](kept=0), [], []
        for recording, chosen, recipe in plan:
            own, written = written[: len(chosen.lidar_us)], written[len(chosen.lidar_us) :]
            has_points = np.array([one.points > 0 for one in own], dtype=bool)
            counts.update(chosen.counts)
            counts.update(
                kept=int(has_points.sum()),
                dropped_no_points=int((~has_points).sum()),
                points_not_finite=sum(one.not_finite for one in own),
                points_without_return=sum(one.no_return for one in own),
                points_beyond=sum(one.beyond for one in own),
            )
            if not has_points.any():
                raise CrossplaceError(
                    f"{recording.folder}: no frame is left, because no sweep has a point within {self.within_m:g} m; "
                    "allow more (within_m), or leave the run out (runs)"
                )
            parts.append(_frames(recording.name, chosen, np.flatnonzero(has_points)))
            traversals.append(self._traversal(recording, recipe))
        clear_jobs(destination)
        write_prepared(
            destination,
            name=self.card.name,
            version=self.version,
            options=self.options(),
            fingerprint=self.fingerprint(source),
            traversals=traversals,
            frames=Frames.concatenate(parts),
            counts=dict(counts),
            source=source,
        )

    def _recordings(self, source: Path | None) -> list[Recording]:
        """The runs to prepare, ordered by name; a run without poses, or one that is not there, is refused."""
        if source is None:
            raise CrossplaceError(f"boreas: --source is needed: the folder with {LAYOUT}; from {SOURCE}")
        there = sorted(path.name for path in source.iterdir() if path.is_dir()) if source.is_dir() else []
        wanted = sorted({name_of(run) for run in self.runs} or {name_of(name) for name in there} & _KNOWN)
        if not wanted:
            raise CrossplaceError(f"{source}: no run found; expected {LAYOUT}; from {SOURCE}")
        whole = [run for run in wanted if run not in WITHOUT_POSES]
        for run in wanted:
            if run in WITHOUT_POSES:
                others = f"; prepare others: runs={_quoted(whole)}" if whole else "; choose another run"
                raise CrossplaceError(
                    f"{source / folder_of(run)}: this run has no poses: its authors keep them back for their own "
                    f"benchmark, so that nothing can be asked of it{others}"
                )
            if run not in CONDITIONS:
                raise CrossplaceError(
                    f"boreas: unknown run {run}; expected one of the {len(CONDITIONS)} runs with poses on the one "
                    f"route, such as {', '.join(list(CONDITIONS)[:3])} (docs/boreas.md has all)"
                )
            if folder_of(run) not in there:
                raise CrossplaceError(f"{source / folder_of(run)}: no such folder; expected {LAYOUT}; from {SOURCE}")
        return [Recording(source / folder_of(run)) for run in wanted]

    def _rules(self) -> Rules:
        return Rules(
            image_within_ms=self.image_within_ms,
            camera_late_ms=self.camera_late_ms,
            spacing_m=self.spacing_m,
            correct_motion=self.correct_motion,
        )

    def _recipe(self, recording: Recording, chosen: Chosen) -> Recipe:
        width, height = image_size(recording.image(int(chosen.camera_us[0])))
        stored = min(self.image_width, width)
        return Recipe((stored, round(height * stored / width)), (width, height), self.within_m, self.correct_motion)

    def _traversal(self, recording: Recording, recipe: Recipe) -> Traversal:
        return Traversal(
            name=recording.name,
            condition=CONDITIONS[recording.name],
            georeferenced=True,
            intrinsics=recording.calibration.intrinsics(recipe.raw_size).resized(*recipe.image_size),
            camera_from_lidar=recording.calibration.camera_from_body,
            lidar=Lidar(beams=128, vertical_fov_deg=VERTICAL_FOV_DEG, max_range_m=self.within_m, form="scan"),
        )


_KNOWN = {*CONDITIONS, *WITHOUT_POSES}


def _quoted(runs: list[str]) -> str:
    return "[" + ", ".join(f'"{run}"' for run in runs) + "]"


def _frames(run: str, chosen: Chosen, rows: np.ndarray) -> Frames:
    """The frames at ``rows`` as columns; a frame has the time of its sweep, which is its own alone."""
    stamps = chosen.lidar_us[rows].tolist()
    return frames_at(
        chosen.world_from_body[rows],
        chosen.lidar_us[rows] * 1000,
        traversal=run,
        world=WORLD,
        frame_id=[f"{run}/{stamp}" for stamp in stamps],
        image=[image_path(run, stamp) for stamp in stamps],
        cloud=[cloud_path(run, stamp) for stamp in stamps],
    )
