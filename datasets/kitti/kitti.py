"""KITTI as a dataset: which recordings are taken, with which poses, and their prepared form."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from datasets.base import Dataset, DatasetCard, Finding, Frames
from datasets.errors import CrossplaceError, leave_out, refuse
from datasets.files import check_name, name_fault
from datasets.jobs import clear_jobs, run_jobs
from datasets.kitti.clouds import FrameFiles, Job, Outcome, clean_frames
from datasets.kitti.layout import DRIVES, LAYOUT, N_FRAMES, RAW_LAYOUT, RAW_SOURCE, SOURCE
from datasets.kitti.odometry import OdometrySequence
from datasets.kitti.raw import RawDrive
from datasets.kitti.recording import Poses, Recording
from datasets.prepared import make_fingerprint, write_prepared

DRIVE_NAME = re.compile(r"\d{4}_\d\d_\d\d_drive_\d{4}")
FRAMES_PER_JOB = 200
FRAMES_PER_GROUND_JOB = 4
"""Frames of a job that finds the ground, which takes seconds a frame; looking for broken points takes milliseconds."""

STRANGE_M = 20.0
"""Poses and OXTS that differ by more than this are not of the same drive."""


@dataclass(frozen=True, kw_only=True)
class Kitti(Dataset):
    """Preparer of the KITTI odometry layout, with any names of sequences, and of raw drives.

    Every sequence is a world of its own, unless ``poses`` says otherwise: the axes are those of its first camera,
    turned to x forward. They are called east, north and up only because the harness has these names.

    A frame needs image, cloud, pose and time; frames without image or without cloud are dropped and counted. A cloud
    that loses its ground, or points that are not finite, gets a clean ``.npy`` copy in the prepared folder. It is named
    relative to that folder, which can be moved; the original files are named by their absolute paths.

    Deviation: VXP takes poses from the raw drives' OXTS, and one calibration for all sequences. Here the default is the
    odometry ground truth, which needs no raw drives and has all frames, and each sequence has its own ``calib.txt``.
    """

    sequences: tuple[str, ...] = ()
    """Sequences to prepare, such as 00 05, or raw drives, such as 2011_09_26_drive_0009. Without any name: all
    sequences that have poses, and all raw drives from which no such sequence was cut."""
    oxts: Path | None = None
    """Folder of the raw drives with the OXTS packets of the sequences; by default the source itself."""
    poses: Poses = "odometry"
    """Where poses come from. ``odometry``: the benchmark's ground truth, each sequence in its first camera. ``oxts``:
    in UTM, all sequences in one world. ``oxts-mercator``: as VXP published, position and heading of the IMU on the
    drive's own Mercator map. A sequence whose drive is not there keeps its odometry poses."""
    camera: int = 2
    """Number of the camera: 0 left grey, 1 right grey, 2 left colour (as published), 3 right colour."""
    remove_ground: bool = False
    """Leave out the points of the ground plane; as published they stay."""
    seed: int = 0
    """Seed of the random numbers that find the ground."""

    card: ClassVar[DatasetCard] = DatasetCard(
        name="kitti",
        title="KITTI odometry",
        paper="Geiger, Lenz, Urtasun: Are we ready for Autonomous Driving? The KITTI Vision Benchmark Suite, CVPR 2012",
        year=2012,
        licence="CC BY-NC-SA 3.0",
        modalities="rectified left colour camera (image_2), Velodyne HDL-64E scans",
        is_real=True,
        source=f"{SOURCE}: colour images, Velodyne data, calibration files and ground truth poses (free, by request); "
        f"for OXTS, synced+rectified drives and calibration of {RAW_SOURCE}",
        layout=f"{LAYOUT}; raw drives: {RAW_LAYOUT}",
        notes="Each sequence is a world of its own; with the option poses=oxts those whose raw drive is there share "
        "one, in UTM zone 32 north. With poses=oxts-mercator poses are the IMU's.",
    )
    version: ClassVar[int] = 3
    default_protocol: ClassVar[str] = "kitti-synchronous-10m"
    resumable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a camera that the car does not have and a seed that no generator takes."""
        if self.camera not in range(4):
            raise CrossplaceError(f"kitti: camera must be 0, 1, 2 or 3, found {self.camera}")
        if self.seed < 0:
            raise CrossplaceError(f"kitti: seed must be 0 or more, found {self.seed}")

    def options(self) -> dict[str, Any]:
        """The values of the options. For ``oxts`` it is whether it was given: the files there are listed anyway."""
        return super().options() | {"oxts": self.oxts is not None}

    def check(self, source: Path | None) -> Sequence[Finding]:
        """One line per sequence with what is there, one per fault, and one for all that is left out or not here."""
        try:
            wanted, left_out = self._select(source)
        except CrossplaceError as error:
            return [Finding(ok=False, what=str(error))]
        findings, faults_of = [], {recording.name: recording.faults() for recording in wanted}
        for recording in wanted:
            faults = faults_of[recording.name]
            findings.append(_inventory(recording, ok=not faults))
            findings += [Finding(ok=False, what=fault) for fault in faults]
            if not faults and isinstance(recording, OdometrySequence) and recording.disagreement_m() > STRANGE_M:
                findings.append(Finding(ok=True, what=_strange(recording)))
        if offer := leave_out("sequences", faults_of):
            findings.append(Finding(ok=False, what=offer))
        findings += [_inventory(recording, ok=True, words="; left out") for recording in left_out]
        findings += [Finding(ok=True, what=note) for note in self._notes(wanted)]
        return list(dict.fromkeys(findings))

    def fingerprint(self, source: Path | None) -> str:
        """Hash of version, options, the sizes of images and clouds and the content of the text files."""
        listing = [line for recording in self._select(source)[0] for line in recording.listing()]
        return make_fingerprint(self.card.name, self.version, self.options(), listing, source)

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Read every image and cloud once and write the prepared form; yields (frames done, frames in all).

        Goes on where an interrupted run ended.
        """
        wanted, _ = self._select(source)
        refuse(self.card.name, "sequences", {recording.name: recording.faults() for recording in wanted})
        files = [_files(recording, stem, destination) for recording in wanted for stem in recording.stems]
        jobs, outcomes = self._jobs(files), dict[str, Outcome]()
        for job, finished in zip(jobs, run_jobs(clean_frames, jobs, destination, workers=workers), strict=True):
            outcomes |= {frame.frame_id: outcome for frame, outcome in zip(job.frames, finished, strict=True)}
            yield len(outcomes), len(files)
        counts = Counter[str](kept=0)
        parts = [_taken(recording, outcomes, destination, counts) for recording in wanted]
        if self._asks_for_oxts(wanted):
            counts["sequences_without_oxts"] = sum(recording.oxts is None for recording in wanted)
        clear_jobs(destination)
        write_prepared(
            destination,
            name=self.card.name,
            version=self.version,
            options=self.options(),
            fingerprint=self.fingerprint(source),
            traversals=[recording.traversal() for recording in wanted],
            frames=Frames.concatenate(parts),
            counts=dict(counts),
            source=source,
        )

    def _jobs(self, files: list[FrameFiles]) -> list[Job]:
        size = FRAMES_PER_GROUND_JOB if self.remove_ground else FRAMES_PER_JOB
        chunks = [tuple(files[i : i + size]) for i in range(0, len(files), size)]
        return [Job(frames=chunk, remove_ground=self.remove_ground, seed=self.seed) for chunk in chunks]

    def _asks_for_oxts(self, wanted: Sequence[Recording]) -> bool:
        return self.oxts is not None or self.poses != "odometry" or any(recording.oxts for recording in wanted)

    def _notes(self, wanted: Sequence[Recording]) -> list[str]:
        """Sentences about things that a person should know before preparing, although nothing is wrong."""
        notes = []
        here = {recording.name for recording in wanted}
        absent = [name for name in N_FRAMES if name not in here]
        if not self.sequences and absent and here & N_FRAMES.keys():
            notes.append(f"not here or without poses: {' '.join(absent)} (protocols that use them will be partial)")
        without = [recording.name for recording in wanted if recording.oxts is None]
        if self._asks_for_oxts(wanted) and without:
            drives = [DRIVES[name][0].name for name in without if name in DRIVES]
            looked_for = f" (looked for {', '.join(drives)}; from {RAW_SOURCE})" if drives else ""
            notes.append(f"no OXTS for {' '.join(without)}: each stays a world of its own{looked_for}")
        return notes

    def _select(self, source: Path | None) -> tuple[list[Recording], list[Recording]]:
        """The recordings to prepare, and those left out: not named, and without poses or part of another already."""
        if source is None:
            raise CrossplaceError(f"kitti: --source is needed: the folder with {LAYOUT}; from {SOURCE}")
        if self.oxts is not None and not self.oxts.is_dir():
            raise CrossplaceError(f"kitti: oxts={self.oxts}: no such folder; expected {RAW_LAYOUT}; from {RAW_SOURCE}")
        found = sorted(
            path.name for path in (source / "sequences").glob("*") if path.is_dir() and not name_fault(path.name)
        )
        drives = sorted(
            path.name.removesuffix("_sync")
            for path in source.glob("*/*_drive_*_sync")
            if DRIVE_NAME.fullmatch(path.name.removesuffix("_sync")) and (path / "velodyne_points").is_dir()
        )
        if not found and not drives:
            raise CrossplaceError(
                f"{source}: no folder sequences/ with sequences, and no raw drives; expected {LAYOUT}; from {SOURCE}; "
                f"or {RAW_LAYOUT}; from {RAW_SOURCE}"
            )
        recordings = [self._recording(source, name) for name in dict.fromkeys(self.sequences or found + drives)]
        wanted = [recording for recording in recordings if self.sequences or _has_poses(recording)]
        if not wanted:
            raise CrossplaceError(f"{source}: none of {', '.join(found)} has poses; expected {LAYOUT}; from {SOURCE}")
        if not self.sequences:
            cut_up = {DRIVES[r.name][0].name for r in wanted if r.name in DRIVES}
            wanted = [recording for recording in wanted if recording.name not in cut_up]
        return wanted, [recording for recording in recordings if recording not in wanted]

    def _recording(self, source: Path, name: str) -> Recording:
        check_name(name, "kitti: sequences", f"name folders in {source / 'sequences'}, or drives")
        if DRIVE_NAME.fullmatch(name):
            return RawDrive(name=name, source=source, camera=self.camera, poses=self.poses)
        return OdometrySequence(
            name=name, source=source, camera=self.camera, poses=self.poses, drives=self.oxts or source
        )


def _strange(sequence: OdometrySequence) -> str:
    return (
        f"sequence {sequence.name}: distances by its poses and by the OXTS packets of {DRIVES[sequence.name][0].name} "
        f"differ by up to {sequence.disagreement_m():.0f} m: are these its frames and packets, numbered as published?"
    )


def _inventory(recording: Recording, *, ok: bool, words: str = "") -> Finding:
    """What is there of a recording; files that contradict each other are a fault of their own."""
    try:
        return Finding(ok=ok, what=recording.inventory() + words)
    except CrossplaceError as error:
        return Finding(ok=ok, what=str(error))


def _has_poses(recording: Recording) -> bool:
    return not isinstance(recording, OdometrySequence) or recording.poses_path.is_file()


def _files(recording: Recording, stem: str, destination: Path) -> FrameFiles:
    copy = destination / "clouds" / recording.name / f"{stem}.npy"
    return FrameFiles(
        frame_id=f"{recording.name}/{stem}", image=recording.images[stem], cloud=recording.clouds[stem], copy=copy
    )


def _taken(recording: Recording, outcomes: dict[str, Outcome], destination: Path, counts: Counter[str]) -> Frames:
    """The frames of a recording that have a cloud, as columns; adds to ``counts`` what has become of all frames."""
    clouds = {}
    counts.update(recording.counts() | {"dropped_no_points": 0, "dropped_no_ground": 0})
    for stem in recording.stems:
        files, outcome = _files(recording, stem, destination), outcomes[f"{recording.name}/{stem}"]
        counts.update({what: outcome[what] for what in ("points_not_finite", "points_on_ground")})
        if outcome["cloud"] == "original":
            clouds[stem] = recording.original(files.cloud)
        elif outcome["cloud"] == "copy":
            clouds[stem] = files.copy.relative_to(destination).as_posix()
        else:
            counts[outcome["cloud"]] += 1
    if not clouds:
        raise CrossplaceError(
            f"{recording.cloud_folder}: no cloud has any finite point"
            + (" off a level ground plane" if counts["points_on_ground"] or counts["dropped_no_ground"] else "")
            + "; fetch them again"
        )
    counts["kept"] += len(clouds)
    return recording.frames(clouds)
