"""Data that is whole and means something else: seeded changes of units, axes, order and calibration.

A change acts on a dataset in memory: frames and descriptions are replaced, clouds and images are changed as they are
loaded. Every change is a name and a function of a dataset and random numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.evaluate import evaluate, from_descriptors
from benchmark.records.queries import Queries
from benchmark.records.recording import direction_records, rank_arrays
from datasets.base import Frame, Frames, Protocol, Traversal
from datasets.prepared import PreparedDataset
from datasets.resolving import own_data
from methods.batch import collate, load_sample
from methods.height_histogram import HeightHistogram

Random = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Meant(PreparedDataset):
    """A dataset whose files are read as something else."""

    of_points: Callable[[ndarray, Frame], ndarray] = field(default=lambda points, _: points)
    of_pixels: Callable[[ndarray, Frame], ndarray] = field(default=lambda pixels, _: pixels)

    def load_cloud(self, frame: Frame) -> ndarray:
        return np.ascontiguousarray(self.of_points(super().load_cloud(frame), frame), dtype=np.float32)

    def load_image(self, frame: Frame) -> ndarray:
        return np.ascontiguousarray(self.of_pixels(super().load_image(frame), frame))


Change = Callable[[Meant, Random], Meant]


def meant(dataset: PreparedDataset, **changed: Any) -> Meant:
    """``dataset`` as it is, or with some fields changed."""
    return Meant(**{f.name: getattr(dataset, f.name) for f in fields(dataset)} | changed)


# --- clouds ----------------------------------------------------------------------------------------


def points(function: Callable[[ndarray, Random], ndarray]) -> Change:
    """Every cloud through ``function``, which draws the same for all clouds."""

    def change(dataset: Meant, random: Random) -> Meant:
        seed = int(random.integers(2**31))
        return meant(dataset, of_points=lambda xyz, _: function(xyz, np.random.default_rng(seed)))

    return change


def matrix(*rows: Sequence[float]) -> Change:
    return points(lambda xyz, _: xyz @ np.array(rows, dtype=np.float64).T)


def scaled(low: float, high: float) -> Change:
    return points(lambda xyz, random: xyz * np.exp(random.uniform(np.log(low), np.log(high))))


def turned(axis: str, low_deg: float, high_deg: float) -> Change:
    def turn(xyz: ndarray, random: Random) -> ndarray:
        angle_deg = random.uniform(low_deg, high_deg) * random.choice([-1, 1])
        return xyz @ Rotation.from_euler(axis, angle_deg, degrees=True).as_matrix().T

    return points(turn)


def kept(low: float, high: float) -> Change:
    return points(lambda xyz, random: xyz[random.random(len(xyz)) < np.exp(random.uniform(np.log(low), np.log(high)))])


def reread(dtype: str, columns: int, to: str = "<f4", as_columns: int = 4) -> Change:
    """Points as they look if a ``.bin`` of another layout is taken for float32 quadruples."""

    def read(xyz: ndarray, random: Random) -> ndarray:
        stored = np.column_stack([xyz, *random.random((columns - 3, len(xyz)))]).astype(dtype)
        raw = stored.tobytes()
        size = np.dtype(to).itemsize * as_columns
        found = np.frombuffer(raw[: len(raw) // size * size], dtype=to).reshape(-1, as_columns)[:, :3]
        with np.errstate(all="ignore"):
            found = found.astype(np.float32)
        return found[np.isfinite(found).all(1)]

    return points(read)


def by_column(xyz: ndarray, _: Random) -> ndarray:
    """A ``.bin`` that holds all x, then all y, then all z, then all intensities, taken for quadruples."""
    return np.concatenate([xyz.T.reshape(-1), np.zeros(len(xyz), np.float32)]).reshape(-1, 4)[:, :3]


# --- order -----------------------------------------------------------------------------------------


def column(name: str, order: Callable[[ndarray, Random], ndarray]) -> Change:
    """A column of the table in another order within each traversal."""

    def change(dataset: Meant, random: Random) -> Meant:
        values = np.array(getattr(dataset.frames, name))
        for traversal in dataset.frames.traversal_names():
            rows = np.flatnonzero(dataset.frames.traversal == traversal)
            values[rows] = values[rows[order(np.arange(len(rows)), random)]]
        return meant(dataset, frames=replace(dataset.frames, **{name: values}))

    return change


def delayed(low: int, high: int) -> Callable[[ndarray, Random], ndarray]:
    return lambda rows, random: np.clip(rows - int(random.integers(low, high + 1)), 0, len(rows) - 1)


def shuffled(rows: ndarray, random: Random) -> ndarray:
    return random.permutation(rows)


def reversed_order(rows: ndarray, _: Random) -> ndarray:
    return rows[::-1]


def few(rows: ndarray, random: Random) -> ndarray:
    return rows // int(random.integers(5, 12)) * 3 % len(rows)


# --- images ----------------------------------------------------------------------------------------


def pixels(function: Callable[[ndarray, Random], ndarray]) -> Change:
    def change(dataset: Meant, random: Random) -> Meant:
        seed = int(random.integers(2**31))
        return meant(dataset, of_pixels=lambda image, _: function(image, np.random.default_rng(seed)))

    return change


def levels(function: Callable[[ndarray, Random], ndarray]) -> Change:
    return pixels(lambda image, random: np.clip(function(image.astype(np.float64), random), 0, 255).astype(np.uint8))


# --- poses, times, descriptions --------------------------------------------------------------------


def frames(function: Callable[[Frames, Random], dict[str, ndarray]]) -> Change:
    def change(dataset: Meant, random: Random) -> Meant:
        return meant(dataset, frames=replace(dataset.frames, **function(dataset.frames, random)))

    return change


def positions(function: Callable[[ndarray, Random], ndarray]) -> Change:
    return frames(lambda f, random: {"position_m": function(f.position_m, random)})


def rotations(function: Callable[[Rotation, Random], Rotation]) -> Change:
    """Quaternion and yaw of every frame, both changed alike."""

    def change(f: Frames, random: Random) -> dict[str, ndarray]:
        turned_to = function(Rotation.from_quat(f.quaternion_wxyz[:, [1, 2, 3, 0]]), random)
        forward = turned_to.apply([1.0, 0, 0])
        return {
            "quaternion_wxyz": turned_to.as_quat(canonical=True)[:, [3, 0, 1, 2]],
            "yaw_rad": np.arctan2(forward[:, 1], forward[:, 0]),
        }

    return frames(change)


def clock(function: Callable[[ndarray, Random], ndarray]) -> Change:
    return frames(lambda f, random: {"timestamp_ns": function(f.timestamp_ns, random).astype(np.int64)})


def described(function: Callable[[Traversal, Random], Traversal]) -> Change:
    """Every traversal described otherwise; a description that is refused is a sentence."""

    def change(dataset: Meant, random: Random) -> Meant:
        seed = int(random.integers(2**31))
        changed = {n: function(t, np.random.default_rng(seed)) for n, t in dataset.traversals.items()}
        return meant(dataset, traversals=changed)

    return change


def mount(function: Callable[[ndarray, Random], ndarray]) -> Change:
    return described(lambda t, random: replace(t, camera_from_lidar=function(t.camera_from_lidar, random)))


K = ("fx", "fy", "cx", "cy")


def lens(function: Callable[[Any, Random], dict[str, float]]) -> Change:
    return described(lambda t, random: replace(t, intrinsics=replace(t.intrinsics, **function(t.intrinsics, random))))


def sensor(function: Callable[[Any, Random], dict[str, Any]]) -> Change:
    return described(lambda t, random: replace(t, lidar=replace(t.lidar, **function(t.lidar, random))))


def with_rotation(turn: ndarray) -> Callable[[ndarray, Random], ndarray]:
    def change(camera_from_lidar: ndarray, _: Random) -> ndarray:
        changed = camera_from_lidar.copy()
        changed[:3] = turn @ changed[:3]
        return changed

    return change


def yawed(low_deg: float, high_deg: float) -> Callable[[ndarray, Random], ndarray]:
    """The camera looks elsewhere than calibration says, turned about the vertical."""

    def change(camera_from_lidar: ndarray, random: Random) -> ndarray:
        angle_deg = random.uniform(low_deg, high_deg) * random.choice([-1, 1])
        return with_rotation(Rotation.from_euler("y", angle_deg, degrees=True).as_matrix())(camera_from_lidar, random)

    return change


def transposed_rotation(camera_from_lidar: ndarray, _: Random) -> ndarray:
    changed = camera_from_lidar.copy()
    changed[:3, :3] = changed[:3, :3].T
    return changed


def translated(factor: float) -> Callable[[ndarray, Random], ndarray]:
    def change(camera_from_lidar: ndarray, _: Random) -> ndarray:
        changed = camera_from_lidar.copy()
        changed[:3, 3] *= factor
        return changed

    return change


OWN: dict[str, Change] = {
    # units and layout of clouds
    "clouds in millimetres": matrix((1000, 0, 0), (0, 1000, 0), (0, 0, 1000)),
    "clouds in centimetres": matrix((100, 0, 0), (0, 100, 0), (0, 0, 100)),
    "clouds in kilometres": matrix((0.001, 0, 0), (0, 0.001, 0), (0, 0, 0.001)),
    "clouds in feet": matrix((3.281, 0, 0), (0, 3.281, 0), (0, 0, 3.281)),
    "clouds in yards": matrix((1.094, 0, 0), (0, 1.094, 0), (0, 0, 1.094)),
    "clouds too large": scaled(1.3, 30),
    "clouds too small": scaled(0.03, 0.75),
    "clouds with heights too large": points(lambda xyz, r: xyz * [1, 1, r.uniform(2, 10)]),
    "clouds float64 read as float32": reread("<f8", 3),
    "clouds of five columns": reread("<f4", 5),
    "clouds of six columns": reread("<f4", 6),
    "clouds of three columns": reread("<f4", 3),
    "clouds column by column": points(by_column),
    "clouds in half precision read as float32": reread("<f2", 4),
    # axes of clouds
    "clouds x and y exchanged": matrix((0, 1, 0), (1, 0, 0), (0, 0, 1)),
    "clouds x and z exchanged": matrix((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    "clouds y and z exchanged": matrix((1, 0, 0), (0, 0, 1), (0, 1, 0)),
    "clouds x right, y ahead": matrix((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "clouds in camera axes": matrix((0, -1, 0), (0, 0, -1), (1, 0, 0)),
    "clouds mirrored": matrix((1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "clouds z down": matrix((1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "clouds upside down": matrix((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "clouds turned about z": turned("z", 15, 180),
    "clouds tilted": turned("y", 12, 90),
    "clouds rolled": turned("x", 12, 90),
    "clouds turned a little": turned("z", 0.5, 4),
    "clouds raised": points(lambda xyz, r: np.add(xyz, [0, 0, r.uniform(2.2, 30)])),
    "clouds on the ground's level": points(lambda xyz, _: np.add(xyz, [0, 0, 1.9])),
    "clouds in the world's axes": points(lambda xyz, r: np.add(xyz, [*r.uniform(300, 3000, 2), 0])),
    # returns
    "clouds thinned": kept(0.3, 0.8),
    "clouds nearly empty": kept(0.0003, 0.002),
    "clouds of the left side alone": points(lambda xyz, _: xyz[xyz[:, 1] > 0]),
    "clouds of what lies behind alone": points(lambda xyz, _: xyz[xyz[:, 0] < 0]),
    "clouds of the ground alone": points(lambda xyz, _: xyz[xyz[:, 2] < -1.7]),
    "clouds flat": points(lambda xyz, _: xyz * [1, 1, 0]),
    "clouds without their ground": points(lambda xyz, _: xyz[xyz[:, 2] > -1.5]),
    "clouds noisy": points(lambda xyz, r: xyz + r.normal(scale=r.uniform(0.02, 0.1), size=xyz.shape)),
    # order
    "clouds of other frames": column("cloud", shuffled),
    "clouds in reversed order": column("cloud", reversed_order),
    "clouds late by a frame": column("cloud", delayed(1, 1)),
    "clouds late by many frames": column("cloud", delayed(8, 30)),
    "clouds frozen": column("cloud", few),
    "images of other frames": column("image", shuffled),
    "images in reversed order": column("image", reversed_order),
    "images late by a frame": column("image", delayed(1, 1)),
    "images late by many frames": column("image", delayed(8, 30)),
    "images frozen": column("image", few),
    "poses late by a frame": column("position_m", delayed(1, 1)),
    "poses late by many frames": column("position_m", delayed(8, 30)),
    "poses of other frames": column("position_m", shuffled),
    "headings of other frames": column("yaw_rad", shuffled),
    "quaternions of other frames": column("quaternion_wxyz", shuffled),
    # images
    "images mirrored": pixels(lambda image, _: image[:, ::-1]),
    "images upside down": pixels(lambda image, _: image[::-1, ::-1]),
    "images with red and blue exchanged": pixels(lambda image, _: image[..., ::-1]),
    "images black": levels(lambda image, r: image * r.uniform(0, 0.02)),
    "images white": levels(lambda image, r: image * r.uniform(30, 256)),
    "images of one grey": levels(lambda image, r: image * 0 + r.uniform(0, 255)),
    "images of 12 bits as 16": levels(lambda image, _: image / 16),
    "images negative": levels(lambda image, _: 255 - image),
    "images brighter": levels(lambda image, r: image * r.uniform(1.05, 1.2)),
    "images blurred": levels(lambda image, r: gaussian_filter(image, (r.uniform(0.5, 1.5), r.uniform(0.5, 1.5), 0))),
    "images shifted": pixels(lambda image, r: np.roll(image, int(r.integers(2, 6)), axis=1)),
    # poses
    "positions in millimetres": positions(lambda p, _: p * 1000),
    "positions in kilometres": positions(lambda p, _: p / 1000),
    "positions in degrees": positions(lambda p, _: p / 111_320),
    "positions in feet": positions(lambda p, _: p * 3.281),
    "positions with east and north exchanged": positions(lambda p, _: p[:, [1, 0, 2]]),
    "positions with north and up exchanged": positions(lambda p, _: p[:, [0, 2, 1]]),
    "positions with east and up exchanged": positions(lambda p, _: p[:, [2, 1, 0]]),
    "positions south": positions(lambda p, _: p * [1, -1, 1]),
    "positions west": positions(lambda p, _: p * [-1, 1, 1]),
    "positions of 32 bits on UTM": positions(
        lambda p, _: np.add(p, [5e5, 5.7e6, 0]).astype(np.float32).astype(np.float64)
    ),
    "positions rounded to metres": positions(lambda p, _: np.round(p)),
    "positions elsewhere": positions(lambda p, r: p + r.uniform(-1e6, 1e6, 3)),
    "positions with noise": positions(lambda p, r: p + r.normal(scale=0.3, size=p.shape)),
    "positions with jumps": positions(lambda p, r: p + (r.random((len(p), 1)) < 0.05) * r.uniform(500, 5000)),
    "positions all equal": positions(lambda p, _: np.tile(p[:1], (len(p), 1))),
    "yaw in degrees": frames(lambda f, _: {"yaw_rad": np.degrees(f.yaw_rad)}),
    "yaw clockwise from north": frames(lambda f, _: {"yaw_rad": np.pi / 2 - f.yaw_rad}),
    "yaw turned": frames(lambda f, r: {"yaw_rad": f.yaw_rad + r.uniform(0.3, 3)}),
    "yaw zero": frames(lambda f, _: {"yaw_rad": np.zeros(len(f))}),
    "quaternions scalar last": frames(lambda f, _: {"quaternion_wxyz": f.quaternion_wxyz[:, [1, 2, 3, 0]]}),
    "quaternions inverted": frames(lambda f, _: {"quaternion_wxyz": f.quaternion_wxyz * [1, -1, -1, -1]}),
    "quaternions zero": frames(lambda f, _: {"quaternion_wxyz": np.tile([1.0, 0, 0, 0], (len(f), 1))}),
    "headings clockwise from north, quaternions too": rotations(
        lambda r, _: Rotation.from_euler("z", np.pi / 2 - r.as_euler("zyx")[:, :1])
    ),
    "rotations inverted": rotations(lambda r, _: r.inv()),
    "rotations of the camera": rotations(lambda r, _: r * Rotation.from_euler("zx", [-90, -90], degrees=True)),
    "rotations turned by a right angle": rotations(lambda r, _: r * Rotation.from_euler("z", 90, degrees=True)),
    "rotations turned a little": rotations(lambda r, x: r * Rotation.from_euler("z", x.uniform(-3, 3), degrees=True)),
    "rotations with north and east exchanged": rotations(lambda r, _: Rotation.from_euler("z", 90, degrees=True) * r),
    # times
    "times in microseconds": clock(lambda t, _: t // 1000),
    "times in seconds": clock(lambda t, _: (t - t.min()) / 1e9),
    "times in picoseconds": clock(lambda t, _: (t - t.min()) * 1000),
    "times another day": clock(lambda t, r: t + int(r.integers(10**12, 10**14))),
    # calibration
    "mount inverted": mount(lambda m, _: np.linalg.inv(m)),
    "mount identity": mount(lambda m, _: np.eye(4)),
    "mount with its rotation transposed": mount(transposed_rotation),
    "mount in millimetres": mount(translated(1000)),
    "mount without translation": mount(translated(0)),
    "mount with its translation negated": mount(translated(-1)),
    "mount in the axes of the LiDAR": mount(with_rotation(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]))),
    "mount on its side": mount(with_rotation(np.array([[0, 1.0, 0], [-1, 0, 0], [0, 0, 1]]))),
    "mount upside down": mount(with_rotation(np.diag([-1.0, -1, 1]))),
    "mount looking back": mount(with_rotation(np.diag([-1.0, 1, -1]))),
    "mount looking sideways": mount(yawed(65, 115)),
    "mount turned a little": mount(yawed(0.5, 3)),
    "lens of an image of half the size": lens(lambda k, _: {n: getattr(k, n) / 2 for n in K}),
    "lens of an image of double the size": lens(lambda k, _: {n: getattr(k, n) * 2 for n in K}),
    "lens normalised": lens(lambda k, _: {"fx": k.fx / k.width, "fy": k.fy / k.height, "cx": 0.5, "cy": 0.5}),
    "lens with a wrong focal length": lens(lambda k, r: {"fx": k.fx * 9, "fy": k.fy * r.uniform(8, 30)}),
    "lens in millimetres": lens(lambda k, _: {"fx": 4.0, "fy": 4.0}),
    "lens with its centre at zero": lens(lambda k, _: {"cx": 0.0, "cy": 0.0}),
    "lens with its centre half a pixel off": lens(lambda k, _: {"cx": k.cx - 0.5, "cy": k.cy - 0.5}),
    "lens transposed": lens(lambda k, _: {"fx": k.fy, "fy": k.fx, "cx": k.cy, "cy": k.cx}),
    # the LiDAR as described
    "field of view in radians": sensor(lambda s, _: {"vertical_fov_deg": tuple(np.radians(s.vertical_fov_deg))}),
    "field of view reversed": sensor(lambda s, _: {"vertical_fov_deg": s.vertical_fov_deg[::-1]}),
    "field of view zero": sensor(lambda s, _: {"vertical_fov_deg": (0.0, 0.0)}),
    "field of view of another sensor": sensor(lambda s, _: {"vertical_fov_deg": (-24.8, 2.0)}),
    "range in millimetres": sensor(lambda s, _: {"max_range_m": s.max_range_m * 1000}),
    "range in kilometres": sensor(lambda s, _: {"max_range_m": s.max_range_m / 1000}),
    "range of a longer sensor": sensor(lambda s, _: {"max_range_m": s.max_range_m * 1.5}),
}
"""Changes of a folder in the prepared form, by name."""


# --- what comes out --------------------------------------------------------------------------------


def row_of(dataset: PreparedDataset) -> dict[str, Any]:
    """The record of every direction of a method without training, which looks at images, clouds and calibration."""
    method, n = HeightHistogram().eval(), len(dataset.frames)
    found: dict[str, list[ndarray]] = {"image": [], "cloud": []}
    for start in range(0, n, 32):
        rows = range(start, min(start + 32, n))
        batch = collate([load_sample(dataset, dataset.frame(row), ("image", "cloud")) for row in rows])
        with torch.no_grad():
            found["image"].append(method.encode_images(method.image_inputs(batch))["main"].numpy())
            found["cloud"].append(method.encode_clouds(method.cloud_inputs(batch))["main"].numpy())
    ids = {frame_id: row for row, frame_id in enumerate(dataset.frames.frame_id.tolist())}
    descriptors = Descriptors(
        rows={"image": ids, "cloud": ids},
        arrays={modality: np.concatenate(arrays) for modality, arrays in found.items()},
        distance="l2",
        method="height_histogram",
    )
    protocol = own_data(dataset)
    scorers = {"row": from_descriptors(descriptors, dataset.frames)}
    evaluations = evaluate(dataset.frames, protocol, scorers)["row"]
    ranks = rank_arrays(evaluations, dataset)
    return {
        direction: record.model_copy(update={"intervals": {"R@1": strict_interval(ranks, direction, protocol)}})
        for direction, record in direction_records(evaluations, ranks, protocol).items()
    }


def strict_interval(ranks: Mapping[str, ndarray], direction: str, protocol: Protocol) -> tuple[float, float]:
    """Interval of recall@1 from a bootstrap over map cells of 50 m, which covers less than it promises.

    It is narrower than the interval of a result, so that fewer changes count as the same.
    """
    queries = Queries.of(ranks, direction, protocol.no_positive)
    hits, weights = queries.column("first_positive_rank") == 1, queries.weights(protocol.averaging)
    _, world = np.unique(queries.of_frame("world").astype(str), return_inverse=True)
    cell = np.floor(queries.position_m / 50.0).astype(np.int64)
    _, block = np.unique(np.column_stack([world, cell]), axis=0, return_inverse=True)
    total, weight = (np.bincount(block.reshape(-1), values) for values in (weights * hits, weights))
    drawn = np.random.default_rng(0).multinomial(len(total), np.full(len(total), 1 / len(total)), size=2000)
    low, high = np.quantile((drawn @ total) / (drawn @ weight), [0.025, 0.975])
    return float(low), float(high)


def is_same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether every recall@1 lies within the strict interval that it has without the change."""
    for direction, record in expected.items():
        low, high = record.intervals["R@1"] or (0.0, 100.0)
        value = found[direction].pooled.values["R@1"] if direction in found else None
        if value is None or not low <= value <= high:
            return False
    return True
