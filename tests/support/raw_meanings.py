"""What the numbers, points and pixels of any recording can mean instead, and what is asked of the data that results.

A change of a raw download takes what a writer wrote (a folder, or the messages of bags) and random numbers, and edits
it. The tables of raw_kitti_meanings.py, raw_oxford_meanings.py and raw_vivid_meanings.py hold them by name.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from meanings import Random, delayed, is_same, reversed_order, row_of, shuffled
from numpy import ndarray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from datasets.base import Dataset
from datasets.doctor.examine import examine
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

log = logging.getLogger(__name__)
Change = Callable[[Any, Random], None]
OfArray = Callable[[ndarray, Random], ndarray]

FOOT_M = 0.3048

# --- points (n, 3) ---------------------------------------------------------------------------------


def matrix(*rows: tuple[float, float, float]) -> OfArray:
    return lambda xyz, _: xyz @ np.array(rows, dtype=np.float64).T


def size(factor: float) -> OfArray:
    return lambda xyz, _: xyz * factor


def scaled(low: float, high: float) -> OfArray:
    return lambda xyz, random: xyz * np.exp(random.uniform(np.log(low), np.log(high)))


def turned(axis: str, low_deg: float, high_deg: float) -> OfArray:
    def turn(xyz: ndarray, random: Random) -> ndarray:
        angle_deg = random.uniform(low_deg, high_deg) * random.choice([-1, 1])
        return xyz @ Rotation.from_euler(axis, angle_deg, degrees=True).as_matrix().T

    return turn


def kept(low: float, high: float) -> OfArray:
    return lambda xyz, random: xyz[random.random(len(xyz)) < np.exp(random.uniform(np.log(low), np.log(high)))]


POINTS: dict[str, OfArray] = {
    "in millimetres": size(1000),
    "in kilometres": size(0.001),
    "in feet": size(1 / FOOT_M),
    "too large": scaled(1.3, 30),
    "too small": scaled(0.03, 0.75),
    "with x and y exchanged": matrix((0, 1, 0), (1, 0, 0), (0, 0, 1)),
    "x right, y ahead": matrix((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "in camera axes": matrix((0, -1, 0), (0, 0, -1), (1, 0, 0)),
    "mirrored": matrix((1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "turned by half": matrix((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "z down": matrix((1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "turned about z": turned("z", 15, 180),
    "tilted": turned("y", 12, 90),
    "turned a little": turned("z", 0.5, 4),
    "raised": lambda xyz, random: np.add(xyz, [0, 0, random.uniform(2.2, 30)]),
    "thinned": kept(0.3, 0.8),
    "nearly empty": kept(0.0003, 0.002),
    "empty": lambda xyz, _: xyz[:0],
    "flat": matrix((1, 0, 0), (0, 1, 0), (0, 0, 0)),
    "noisy": lambda xyz, random: xyz + random.normal(scale=random.uniform(0.02, 0.1), size=xyz.shape),
}
"""Of clouds x forward, y left, z up, metres."""

ALL_POINTS: dict[str, OfArray] = {
    **POINTS,
    "in centimetres": size(100),
    "in yards": size(1.094),
    "too large, again": scaled(1.3, 3),
    "with heights too large": lambda xyz, random: xyz * [1, 1, random.uniform(2, 10)],
    "with x and z exchanged": matrix((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    "with y and z exchanged": matrix((1, 0, 0), (0, 0, 1), (0, 1, 0)),
    "upside down": matrix((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "turned about z, again": turned("z", 15, 60),
    "rolled": turned("x", 12, 90),
    "on the ground's level": lambda xyz, _: np.add(xyz, [0, 0, 1.9]),
    "in the world's axes": lambda xyz, random: np.add(xyz, [*random.uniform(300, 3000, 2), 0]),
    "of the left side alone": lambda xyz, _: xyz[xyz[:, 1] > 0],
    "of what lies behind alone": lambda xyz, _: xyz[xyz[:, 0] < 0],
    "of the ground alone": lambda xyz, _: xyz[xyz[:, 2] < -1.7],
    "without their ground": lambda xyz, _: xyz[xyz[:, 2] > -1.5],
    "normalised": lambda xyz, _: xyz / np.maximum(np.linalg.norm(xyz, axis=1, keepdims=True), 1e-9),
}

# --- pixels (h, w) or (h, w, 3) of 8 bits ----------------------------------------------------------


def levels(function: OfArray) -> OfArray:
    return lambda image, random: np.clip(function(image.astype(np.float64), random), 0, 255).astype(np.uint8)


def blurred(image: ndarray, random: Random) -> ndarray:
    return gaussian_filter(image, (random.uniform(0.5, 1.5),) * 2 + (0,) * (image.ndim - 2))


PIXELS: dict[str, OfArray] = {
    "mirrored": lambda image, _: image[:, ::-1],
    "upside down": lambda image, _: image[::-1, ::-1],
    "turned by a right angle": lambda image, _: np.rot90(image),
    "black": levels(lambda image, random: image * random.uniform(0, 0.02)),
    "white": levels(lambda image, random: image * random.uniform(30, 256) + 1),
    "of 12 bits as 16": levels(lambda image, _: image / 16),
    "negative": levels(lambda image, _: 255 - image),
    "brighter": levels(lambda image, random: image * random.uniform(1.05, 1.2)),
    "shifted": lambda image, random: np.roll(image, int(random.integers(2, 6)), axis=1),
    "of half the size": lambda image, _: image[::2, ::2],
    "cut to the middle": lambda image, _: image[image.shape[0] // 4 : -image.shape[0] // 4],
}

ALL_PIXELS: dict[str, OfArray] = {
    **PIXELS,
    "flipped": lambda image, _: image[::-1],
    "transposed": lambda image, _: np.swapaxes(image, 0, 1),
    "of one grey": levels(lambda image, random: image * 0 + random.uniform(0, 255)),
    "blurred": levels(blurred),
    "of half the size in one corner": lambda image, _: np.pad(
        image[::2, ::2], [(0, n - (n + 1) // 2) for n in image.shape[:2]] + [(0, 0)] * (image.ndim - 2)
    ),
    "row by row from the other side": lambda image, _: (
        image.reshape(image.shape[1], image.shape[0], -1).swapaxes(0, 1).reshape(image.shape)
    ),
}

# --- rows ------------------------------------------------------------------------------------------

ORDERS: dict[str, OfArray] = {
    "of other frames": shuffled,
    "in reversed order": reversed_order,
    "late by a frame": delayed(1, 1),
    "late by many frames": delayed(4, 9),
    "frozen": lambda rows, random: rows // int(random.integers(5, 9)) * 3 % len(rows),
}
"""Which row is taken for each row."""


def named(kind: str, table: dict[str, OfArray], change: Callable[[OfArray], Change]) -> dict[str, Change]:
    """A table of changes of ``kind`` (clouds, images) made of one of arrays."""
    return {f"{kind} {name}": change(function) for name, function in table.items()}


# --- poses (n, 4, 4) -------------------------------------------------------------------------------


def of_rotations(function: OfArray) -> OfArray:
    def change(poses: ndarray, random: Random) -> ndarray:
        poses[:, :3, :3] = function(poses[:, :3, :3], random)
        return poses

    return change


def of_translations(function: OfArray) -> OfArray:
    def change(poses: ndarray, random: Random) -> ndarray:
        poses[:, :3, 3] = function(poses[:, :3, 3], random)
        return poses

    return change


def inverted(poses: ndarray, _: Random) -> ndarray:
    return np.linalg.inv(poses)


def transposed(rotations: ndarray, _: Random) -> ndarray:
    return rotations.swapaxes(-1, -2)


def turned_by(axes: str, *low_high_deg: float) -> OfArray:
    """Poses in axes that are turned from those of the sensor, by an angle between two limits about the last axis."""

    def change(poses: ndarray, random: Random) -> ndarray:
        angle_deg = random.uniform(*low_high_deg) * random.choice([-1, 1])
        turn = np.eye(4)
        turn[:3, :3] = Rotation.from_euler(axes, angle_deg, degrees=True).as_matrix()
        return turn @ poses

    return change


MOUNTS: dict[str, OfArray] = {
    "inverted": inverted,
    "with its rotation transposed": of_rotations(transposed),
    "in millimetres": of_translations(size(1000)),
    "in centimetres": of_translations(size(100)),
    "in feet": of_translations(size(1 / FOOT_M)),
    "without translation": of_translations(size(0)),
    "with its translation negated": of_translations(size(-1)),
    "identity": lambda poses, _: np.tile(np.eye(4), (len(poses), 1, 1)),
    "on its side": turned_by("z", 90, 90),
    "upside down": turned_by("z", 180, 180),
    "looking back": turned_by("y", 180, 180),
    "looking sideways": turned_by("y", 65, 115),
    "looking up": turned_by("x", 40, 80),
    "turned a little": turned_by("y", 0.5, 3),
    "mirrored": lambda poses, _: np.diag([-1.0, 1, 1, 1]) @ poses,
}
"""Of transforms into the axes of a camera, as (1, 4, 4)."""

# --- what is asked ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Good raw data of one dataset: how it is written with a change, prepared, and what comes out without one."""

    write: Callable[[Path, Change | None, Random], None]
    dataset: Dataset
    expected: dict[str, Any]

    def outcome(self, name: str, change: Change, seed: int, folder: Path) -> str:
        """What becomes of the changed data: the sentence that finds it, ``same``, or ``unseen``."""
        random = np.random.default_rng([seed, *name.encode()])
        self.write(folder / "raw", change, random)
        try:
            found = sentences_about(self.dataset, folder / "raw", folder / "out")
            if found:
                return f"found: {found[0]}"
            row = row_of(PreparedDataset.read(folder / "out"))
            return "same" if is_same(row, self.expected) else "unseen"
        except CrossplaceError as error:
            return f"found: {error}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sentences_about(dataset: Dataset, source: Path, out: Path) -> list[str]:
    """What the check of the download, its preparation or the doctor says against the data; it is prepared in ``out``.

    Raises:
        CrossplaceError: it cannot be prepared.
    """
    if wrong := [finding.what for finding in dataset.check(source) if not finding.ok]:
        return wrong
    out.mkdir(parents=True)
    list(dataset.prepare(source, out, workers=1))
    found = examine(PreparedDataset.read(out))
    return [*found.faults(), *found.doubts().values()]


def layout(folder: Path, dataset: Dataset, write: Callable[[Path, Change | None, Random], None]) -> Layout:
    """The layout that ``write`` writes; without a change it must be good data, and its row must say something."""
    write(folder / "raw", None, np.random.default_rng(0))
    assert sentences_about(dataset, folder / "raw", folder / "out") == []
    expected = row_of(PreparedDataset.read(folder / "out"))
    for record in expected.values():
        assert record.intervals["R@1"] is not None, "every recall would be the same"
    return Layout(write=write, dataset=dataset, expected=expected)


def copying(original: Path) -> Callable[[Path, Change | None, Random], None]:
    """The writer of a folder that is a copy of ``original`` with a change."""

    def write(folder: Path, change: Change | None, random: Random) -> None:
        shutil.copytree(original, folder)
        if change is not None:
            change(folder, random)

    return write


# --- the promise -----------------------------------------------------------------------------------

FEWER = "a sensor with fewer returns, or with more noise, is a sensor too"
NEAR = "a mount some decimetres or degrees elsewhere is that of another car"
PICTURE = "pictures are compared with each other alone, and all were changed alike"
TIMED = "what one sensor saw moves along the drive, and no header or file says by which clock it was timed"
MADE = "clouds are made of sweeps and poses, and lie upon each other whatever both say"


def assert_found_or_same(
    good: Layout, changes: Mapping[str, Change], unseen: Mapping[str, str], most_unseen: float, folder: Path
) -> None:
    """Try every change: those that alter results unseen are ``unseen``, and a share of at most ``most_unseen``."""
    outcomes = {}
    for number, (name, change) in enumerate(changes.items()):
        outcomes[name] = good.outcome(name, change, 0, folder / f"changed-{number}")
        log.info("%s: %s", name, outcomes[name])
    counts = Counter(outcome.partition(":")[0] for outcome in outcomes.values())
    log.info("%s", dict(counts))
    assert {name for name, outcome in outcomes.items() if outcome == "unseen"} == set(unseen)
    assert counts["unseen"] <= most_unseen * len(outcomes)
    assert len(outcomes) >= 40
