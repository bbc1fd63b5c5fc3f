"""A look at a prepared dataset: facts of its table and of a seeded sample of its frames, to be judged by the rules."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from datasets.base import Frame, Traversal
from datasets.doctor.cameras import NEXT_M, NEXT_RAD, of_calibration, of_image, of_view, shares_less_alike, thumbnail
from datasets.doctor.clouds import of_cloud, of_sensor
from datasets.doctor.examination import Examination
from datasets.doctor.motion import AS_GIVEN, FARTHEST_M, NEAREST_M, overlap
from datasets.doctor.rules import RULES
from datasets.doctor.tables import Facts, of_places, of_table
from datasets.errors import CrossplaceError
from datasets.places import heading_difference_rad
from datasets.prepared import PreparedDataset, world_from_lidar
from datasets.randomness import generator
from datasets.readers import image_orientation, is_return

VERSION = 2
"""Raised whenever the same data would give other facts."""
FRAMES_IN_ALL, FEWEST_EACH, MOST_EACH, MOST_TRAVERSALS = 96, 2, 12, 48
"""How many frames are read: about, of each traversal at least and at most, and of how many traversals."""
PAIRS_EACH, PAIRS_IN_ALL = 4, 32
"""So many pairs of neighbouring clouds are laid upon each other, of each traversal and in all."""
FEWEST_IMAGES = 8
"""Fewer images say nothing about their order."""
MOST_SENTENCES = 10


def examine(dataset: PreparedDataset) -> Examination:
    """Facts of the whole table, and of about 96 frames drawn with a fixed seed; damaged files become sentences."""
    names = dataset.frames.traversal_names()
    looked_at = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, MOST_TRAVERSALS).astype(int))]
    each = int(np.clip(FRAMES_IN_ALL // max(len(looked_at), 1), FEWEST_EACH, MOST_EACH))
    pairs = int(np.clip(PAIRS_IN_ALL // max(len(looked_at), 1), 1, PAIRS_EACH))
    facts: dict[str, dict[str, float]] = defaultdict(dict)
    sample = _Sample(dataset=dataset)
    for name in names:
        rows = np.flatnonzero(dataset.frames.traversal == name)
        found = of_table(dataset.frames.take(rows)) | _of_description(dataset.traversals[name])
        found["missing-files"] = float(_count_missing(dataset, rows))
        if name in looked_at:
            found |= sample.facts(rows, each, pairs)
        enter(facts, name, found)
    enter(facts, "", of_places(dataset.frames) | {"image-order": sample.image_order()})
    return Examination(
        version=VERSION,
        fingerprint=dataset.fingerprint,
        n_sampled=sample.n_read,
        facts=dict(facts),
        unreadable=sample.sentences()[:MOST_SENTENCES],
        reading=sample.best_reading(),
    )


def enter(facts: dict[str, dict[str, float]], where: str, found: Facts) -> None:
    """Enter values under their rules; shares become percent where the rule says so."""
    for name, value in found.items():
        if value is not None:
            facts[name][where] = float(value) * (100 if RULES[name].unit == " %" else 1)


def _of_description(traversal: Traversal) -> Facts:
    sensor = of_sensor(traversal.lidar) if traversal.lidar else {}
    return sensor | of_calibration(traversal.intrinsics, traversal.camera_from_lidar)


def _count_missing(dataset: PreparedDataset, rows: Int[ndarray, " n"]) -> int:
    frames = dataset.frames.take(rows)
    paths = {path for path in (*frames.image.tolist(), *frames.cloud.tolist()) if path}
    return sum(not dataset.has_file(path) for path in paths)


class _Look(NamedTuple):
    """What one frame shows; a hash is empty, and the picture None, for what is not there."""

    row: int
    facts: Facts
    picture: Float[ndarray, " n"] | None
    picture_hash: str
    cloud_hash: str


@dataclass(kw_only=True)
class _Sample:
    """What is read of sampled frames, and what cannot be read."""

    dataset: PreparedDataset
    n_read: int = 0
    unreadable: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Sentences about files, by what they say without names and numbers."""
    overlaps: list[dict[str, float]] = field(default_factory=list)
    less_alike: list[float] = field(default_factory=list)

    def facts(self, rows: Int[ndarray, " n"], each: int, pairs: int) -> Facts:
        """Facts of ``each`` frames of one traversal, and of ``pairs`` pairs of clouds."""
        rng = generator(0, "doctor", str(self.dataset.frames.traversal[rows[0]]))
        chosen = [int(rng.choice(part)) for part in np.array_split(rows, each) if len(part)]
        looks = [self._look(row) for row in chosen]
        self.n_read += sum(look.picture is not None or bool(look.cloud_hash) for look in looks)
        found: Facts = {}
        for name in {name for look in looks for name in look.facts}:
            values = [value for look in looks if (value := look.facts.get(name)) is not None]
            reduce = np.median if RULES[name].over == "median" else np.mean
            found[name] = float(reduce(values)) if values else None
        found["frozen-images"] = _repeated([look.picture_hash for look in looks])
        found["frozen-clouds"] = _repeated([look.cloud_hash for look in looks])
        self._compare_images(rows, looks)
        return found | self._motion(rows, chosen[:: max(len(chosen) // pairs, 1)][:pairs])

    def _look(self, row: int) -> _Look:
        frame = self.dataset.frame(row)
        pixels, points = self._image(frame), self._cloud(frame)
        facts: Facts = {}
        if pixels is not None:
            facts |= of_image(pixels)
            facts["turned-images"] = float(image_orientation(self.dataset.root / frame.image) != 1)
        if points is not None:
            stored = self.dataset.stored_cloud(frame)
            facts |= of_cloud(points, frame.lidar)
            facts["at-origin"] = float(np.mean(~is_return(stored))) if len(stored) else None
        if points is not None and frame.intrinsics and frame.camera_from_lidar is not None:
            facts |= of_view(points, frame.intrinsics, frame.camera_from_lidar)
        return _Look(row, facts, pixels if pixels is None else thumbnail(pixels), _hash(pixels), _hash(points))

    def _compare_images(self, rows: Int[ndarray, " n"], looks: Sequence[_Look]) -> None:
        """Note how much more an image resembles that of the next frame than those of far frames."""
        pictures, nexts, places = [], [], []
        for look in looks:
            after = rows[rows > look.row][:1]
            is_alike = len(after) > 0 and self._are_alike(look.row, int(after[0]))
            following = self._image(self.dataset.frame(int(after[0]))) if is_alike else None
            if look.picture is not None and following is not None:
                pictures.append(look.picture)
                nexts.append(thumbnail(following))
                places.append(look.row)
        self.less_alike += shares_less_alike(pictures, nexts, self.dataset.frames.position_m[places])

    def _are_alike(self, a: int, b: int) -> bool:
        """Whether two frames are so near to each other, and look in nearly one direction, that they see the same."""
        position_m, yaw_rad = self.dataset.frames.position_m, self.dataset.frames.yaw_rad
        is_near = float(np.linalg.norm(position_m[a] - position_m[b])) < NEXT_M
        return is_near and bool(heading_difference_rad(yaw_rad[[a]], yaw_rad[[b]])[0] < NEXT_RAD)

    def _image(self, frame: Frame) -> UInt8[ndarray, "h w 3"] | None:
        return self._read(self.dataset.load_image, frame) if self._is_there(frame.image) else None

    def _cloud(self, frame: Frame) -> Float[ndarray, "n 3"] | None:
        return self._read(self.dataset.load_cloud, frame) if self._is_there(frame.cloud) else None

    def _is_there(self, path: str) -> bool:
        return bool(path) and self.dataset.has_file(path)

    def _read(self, load: Callable[[Frame], ndarray], frame: Frame) -> ndarray | None:
        try:
            return load(frame)
        except CrossplaceError as error:
            named = {str(self.dataset.root / path) for path in (frame.image, frame.cloud) if path}
            kind = re.sub("|".join([*map(re.escape, named), r"\d+"]), "", str(error))
            if str(error) not in self.unreadable[kind]:
                self.unreadable[kind].append(str(error))
            return None

    def sentences(self) -> list[str]:
        """A sentence for each kind of unreadable files: about the first, and how many more are so."""
        return [
            first + (f" ({len(more)} more sampled files are so)" if more else "")
            for first, *more in self.unreadable.values()
        ]

    def _motion(self, rows: Int[ndarray, " n"], chosen: Sequence[int]) -> Facts:
        """How much better the clouds of neighbouring frames overlap if they are read in another way."""
        found = []
        for row in chosen:
            position_m = self.dataset.frames.position_m
            away_m = np.linalg.norm(position_m[rows] - position_m[row], axis=1)
            near = rows[(rows > row) & (away_m > NEAREST_M) & (away_m < FARTHEST_M)]
            clouds = [self._cloud(self.dataset.frame(int(r))) for r in (row, *near[:1])]
            if len(near) and clouds[0] is not None and clouds[1] is not None:
                world_from_a, world_from_b = world_from_lidar(self.dataset.frames.take(np.array([row, near[0]])))
                found.append(overlap(clouds[0], clouds[1], np.linalg.inv(world_from_a) @ world_from_b))
        shares = [share for share in found if share is not None]
        self.overlaps += shares
        if not shares:
            return {}
        means = {name: float(np.mean([share[name] for share in shares])) for name in shares[0]}
        return {"clouds-and-poses": max(means.values()) - means[AS_GIVEN], "overlap": max(means.values())}

    def image_order(self) -> float | None:
        """The mean over all images; None for so few that chance decides."""
        return float(np.mean(self.less_alike)) if len(self.less_alike) >= FEWEST_IMAGES else None

    def best_reading(self) -> str:
        """The way to read clouds under which neighbours overlap best, over all traversals."""
        if not self.overlaps:
            return AS_GIVEN
        return max(self.overlaps[0], key=lambda name: float(np.mean([share[name] for share in self.overlaps])))


def _hash(array: ndarray | None) -> str:
    return "" if array is None or not array.size else hashlib.sha256(array.tobytes()).hexdigest()


def _repeated(hashes: Sequence[str]) -> float | None:
    there = [h for h in hashes if h]
    return sum(there.count(h) > 1 for h in there) / len(there) if len(there) > 1 else None
