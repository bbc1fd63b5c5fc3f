"""From a trajectory and stamped files to a traversal of a prepared folder, which refers to the files where they are."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.base import Frames, Traversal
from datasets.errors import CrossplaceError
from datasets.files import locked, read_text, sha256_of, write_atomically
from datasets.interpolation import interpolate_poses, is_covered, is_inside, nearest_in
from datasets.prepared import DRIVES, PreparedDataset, frames_at, make_fingerprint, table_of, write_prepared
from datasets.readers import FORMATS, image_size, read_points
from datasets.trajectory.calibration import Calibration, read_calibration
from datasets.trajectory.drive import Drive
from datasets.trajectory.poses import OPTION, Poses, read_poses
from datasets.trajectory.stamped import StampedFiles, find_files
from datasets.trajectory.times import NS_IN, Times
from datasets.transforms import WORLD_FROM_FIRST_CAMERA

VERSION = 1
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
CLOUDS = (".bin", *FORMATS)
NAME = re.compile(r"[\w.+-]+")
TABLE, UNDO = "frames.csv", ".frames.csv.before-"
"""The table of frames, and the beginning of the name of what it was before: behind it, the hash of what is written."""
MOST_TILT_DEG = 45.0
"""Largest median angle between the LiDAR's z axis and the world's: roads are flatter."""


def add_traversal(
    folder: Path, drive: Drive, *, name: str | None = None, replace: bool = False
) -> tuple[PreparedDataset, list[str]]:
    """Write the drive into the prepared ``folder``, beside the traversals that an earlier call wrote there.

    No image and no cloud is copied: paths are relative to ``folder`` if they are below it, and absolute otherwise.
    ``name`` is that of the dataset, by default the folder's. With ``replace``, a traversal of this name may be there.

    Returns:
        The dataset as it is now, and what was found, in words.

    Raises:
        CrossplaceError: the first fault that was found; nothing is written then.
    """
    _check_options(drive)
    calibration = read_calibration(drive.calibration)
    poses = read_poses(drive.trajectory, drive.times, drive.trajectory_unit)
    clouds = find_files(drive.clouds, CLOUDS, drive.time_unit) if drive.clouds else None
    images = find_files(drive.images, IMAGES, drive.time_unit) if drive.images else None
    frames, counts = _frames(folder, drive, calibration, poses, clouds, images)
    told = [f"{drive.trajectory}: {poses.form}, {poses.times.told()}"]
    told += [f"{found.times.where}: {found.times.told()}" for found in (images, clouds) if found]
    traversal = Traversal(
        name=drive.traversal,
        condition=drive.condition,
        georeferenced=calibration.georeferenced,
        intrinsics=calibration.camera.intrinsics() if calibration.camera else None,
        camera_from_lidar=calibration.matrix_of_camera(),
        lidar=calibration.lidar,
        bin_layout=calibration.bin_layout,
    )
    with locked(folder):
        _write(folder, name, traversal, frames, _made(drive, counts), replace)
        return PreparedDataset.read(folder), told


def _check_options(drive: Drive) -> None:
    for option, value in (("traversal", drive.traversal), ("world", drive.world or drive.traversal)):
        if not NAME.fullmatch(value):
            raise CrossplaceError(f"--{option} {value!r}: expected letters, digits and . + - _ without spaces")
    for option, number in (("--max-apart-ms", drive.max_apart_ms), ("--longest-gap-s", drive.longest_gap_s)):
        if not 0 <= number < 1e9:
            raise CrossplaceError(f"{option} {number:g}: expected a number from 0")
    if drive.images is None and drive.clouds is None:
        raise CrossplaceError("neither images nor clouds; state --images FOLDER, --clouds FOLDER or both")


def _made(drive: Drive, counts: dict[str, int]) -> dict[str, Any]:
    """How a traversal was made, for the record."""
    paths = {key: getattr(drive, key) for key in ("trajectory", "calibration", "images", "clouds", "times")}
    return {
        **{key: str(path.absolute()) for key, path in paths.items() if path is not None},
        "max_apart_ms": drive.max_apart_ms,
        "longest_gap_s": drive.longest_gap_s,
        "counts": counts,
    }


# --- frames --------------------------------------------------------------------------------------


def _frames(
    folder: Path,
    drive: Drive,
    calibration: Calibration,
    poses: Poses,
    clouds: StampedFiles | None,
    images: StampedFiles | None,
) -> tuple[Frames, dict[str, int]]:
    """The frames of the drive, one a cloud (or one an image, without clouds), and how many were dropped and why."""
    leading = clouds or images
    assert leading is not None
    _check_overlap(leading.times, poses.times, ("--time-unit", OPTION))
    at_ns = leading.times.time_ns
    nearest, apart_ns = np.arange(len(at_ns)), np.zeros(len(at_ns), dtype=np.int64)
    if clouds and images:
        _check_overlap(images.times, clouds.times)
        nearest, apart_ns = nearest_in(images.times.time_ns, at_ns)
    rows, counts = _kept(at_ns, poses.times.time_ns, apart_ns, drive)
    if not len(rows):
        said = ", ".join(f"{reason.replace('_', ' ')} {n:,}" for reason, n in counts.items() if n)
        raise CrossplaceError(
            f"{leading.times.where}: no frame is left of {len(at_ns):,} ({said}); the trajectory is from "
            f"{poses.times.span()}; look at --longest-gap-s and --max-apart-ms"
        )
    image_paths = [images.paths[row] for row in nearest[rows]] if images else []
    cloud_paths = [clouds.paths[row] for row in rows] if clouds else []
    _check_files(image_paths, cloud_paths, calibration)
    world_from_lidar = _world_from_lidar(poses, calibration, at_ns[rows], drive)
    blank = [""] * len(rows)
    frames = frames_at(
        world_from_lidar,
        at_ns[rows],
        traversal=drive.traversal,
        world=drive.world or drive.traversal,
        frame_id=[f"{drive.traversal}/{leading.paths[row].stem}" for row in rows],
        image=[_path_from(folder, path) for path in image_paths] or blank,
        cloud=[_path_from(folder, path) for path in cloud_paths] or blank,
    )
    others = sum(found.n_others for found in (clouds, images) if found)
    return frames, {"kept": len(rows), **counts, "other_files": others}


def _kept(
    at_ns: Int[ndarray, " n"], known_ns: Int[ndarray, " p"], apart_ns: Int[ndarray, " n"], drive: Drive
) -> tuple[Int[ndarray, " k"], dict[str, int]]:
    """The rows of ``at_ns`` that become frames, and how many others there are by the first reason that applies."""
    near_pose = is_covered(known_ns, at_ns, round(drive.longest_gap_s * 1e9)) | np.isin(at_ns, known_ns)
    reasons: dict[str, Bool[ndarray, " n"]] = {
        "dropped_outside_trajectory": ~is_inside(known_ns, at_ns),
        "dropped_trajectory_gap": ~near_pose,
        "dropped_no_image": apart_ns > drive.max_apart_ms * 1e6,
    }
    kept, counts = np.ones(len(at_ns), dtype=bool), {}
    for reason, applies in reasons.items():
        counts[reason] = int((kept & applies).sum())
        kept &= ~applies
    return np.flatnonzero(kept), counts


def _check_overlap(one: Times, other: Times, options: Sequence[str] = ()) -> None:
    """Refuse two sources without a common moment; names a unit that gives them one, where ``options`` state units."""
    if _overlap(one.interval(), other.interval()):
        return
    hint = "write the times of both by one clock"
    for option, changed, fixed in zip(options, (one, other), (other, one), strict=False):
        for unit in NS_IN:
            if unit != changed.unit and _overlap(changed.interval(unit), fixed.interval()):
                hint = f"in {unit}, the times of {changed.where} would fit: {option} {unit}"
    raise CrossplaceError(
        f"{one.where}: {one.span()} (in {one.unit}, {one.because}), but {other.where}: {other.span()} (in "
        f"{other.unit}, {other.because}), which have no moment in common; {hint}"
    )


def _overlap(one: tuple[Decimal, Decimal], other: tuple[Decimal, Decimal]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _check_files(images: Sequence[Path], clouds: Sequence[Path], calibration: Calibration) -> None:
    """Read the first cloud, and the size of the first image, so that a wrong calibration is told at once."""
    if clouds:
        read_points(clouds[0], calibration.bin_layout)
    if images and calibration.camera:
        size, stated = image_size(images[0]), (calibration.camera.width, calibration.camera.height)
        if size != stated:
            raise CrossplaceError(
                f"{images[0]}: {size[0]}×{size[1]} pixels, but the calibration is of {stated[0]}×{stated[1]}; correct "
                "camera in the calibration, with fx, fy, cx and cy of images of this size"
            )


def _world_from_lidar(
    poses: Poses, calibration: Calibration, at_ns: Int[ndarray, " n"], drive: Drive
) -> Float[ndarray, "n 4 4"]:
    sensor_from_lidar = calibration.sensor_from_lidar()
    assert sensor_from_lidar is not None, "the calibration was checked"
    found = interpolate_poses(poses.times.time_ns, poses.world_from_sensor, at_ns) @ sensor_from_lidar
    turned = WORLD_FROM_FIRST_CAMERA @ found
    chosen, other = (turned, found) if calibration.world_axes == "camera" else (found, turned)
    if (tilt_deg := _tilt_deg(chosen)) > MOST_TILT_DEG:
        axes = "z_up" if calibration.world_axes == "camera" else "camera"
        fits = _tilt_deg(other) <= MOST_TILT_DEG
        cure = (
            f"with world_axes: {axes} in {drive.calibration} it does"
            if fits
            else f"look at trajectory_of and the transforms in {drive.calibration}, at the order qx qy qz qw, and "
            "whether the clouds have z up"
        )
        raise CrossplaceError(
            f"{drive.trajectory}: the LiDAR's up is {tilt_deg:.0f}° off the world's (median); expected z up for both; "
            f"{cure}"
        )
    return chosen


def _tilt_deg(world_from_lidar: Float[ndarray, "n 4 4"]) -> float:
    return float(np.degrees(np.arccos(np.clip(np.median(world_from_lidar[:, 2, 2]), -1, 1))))


def _path_from(folder: Path, path: Path) -> str:
    """``path`` relative to ``folder`` if it is below it, else absolute."""
    absolute, base = Path(os.path.normpath(path.absolute())), Path(os.path.normpath(folder.absolute()))
    return (absolute.relative_to(base) if absolute.is_relative_to(base) else absolute).as_posix()


# --- the folder ----------------------------------------------------------------------------------


def _write(
    folder: Path, name: str | None, traversal: Traversal, frames: Frames, made: dict[str, Any], replace: bool
) -> None:
    """Write the folder anew, with the traversal after those that are there already."""
    traversals: list[Traversal] = []
    parts: list[Frames] = []
    how: dict[str, Any] = {}
    if is_further := (folder / "dataset.json").is_file():
        _undo_interrupted(folder)
        before = PreparedDataset.read(folder)
        how = before.options.get(DRIVES, {})
        if not isinstance(how, dict) or set(how) != set(before.traversals):
            raise CrossplaceError(f"{folder}: a prepared folder of another maker; choose another folder")
        if traversal.name in how and not replace:
            raise CrossplaceError(
                f"{folder}: traversal {traversal.name!r} is there already; choose another --traversal, or write it "
                "anew with --replace"
            )
        name = name or before.name
        traversals = [t for t in before.traversals.values() if t.name != traversal.name]
        parts = [before.frames.take(before.frames.traversal != traversal.name)]
    how = {key: value for key, value in how.items() if key != traversal.name} | {traversal.name: made}
    counts: Counter[str] = Counter()
    for one in how.values():
        counts.update(one["counts"])
    name, options = name or folder.absolute().name, {DRIVES: how}
    everything = Frames.concatenate([*parts, frames])
    if is_further:
        written = hashlib.sha256(table_of(everything).encode()).hexdigest()
        undo = folder / f"{UNDO}{written}"
        write_atomically(undo, (folder / TABLE).read_bytes())
    write_prepared(
        folder,
        name=name,
        version=VERSION,
        options=options,
        fingerprint=make_fingerprint(name, VERSION, options, [*everything.image.tolist(), *everything.cloud.tolist()]),
        traversals=[*traversals, traversal],
        frames=everything,
        counts=dict(counts),
    )
    if is_further:
        undo.unlink()


def _undo_interrupted(folder: Path) -> None:
    """Put the table back that ``dataset.json`` describes, if an earlier call replaced that table and then died.

    A table that this call did not write, such as one that a person has edited since, stays as it is.
    """
    table, described = folder / TABLE, read_text(folder / "dataset.json")
    for undo in folder.glob(f"{UNDO}*"):
        found = sha256_of(table) if table.is_file() else ""
        if undo.name == f"{UNDO}{found}" and found not in described:
            undo.replace(table)
        undo.unlink(missing_ok=True)
