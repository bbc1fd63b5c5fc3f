"""Changes of KITTI's files that leave them whole: of the odometry layout, and of raw drives with their OXTS packets."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from meanings import by_column
from numpy import ndarray
from PIL import Image
from raw_meanings import (
    ALL_PIXELS,
    ALL_POINTS,
    FOOT_M,
    MOUNTS,
    ORDERS,
    Change,
    OfArray,
    Random,
    inverted,
    named,
    of_rotations,
    of_translations,
    size,
    transposed,
    turned_by,
)
from scipy.spatial.transform import Rotation

from datasets.samples.kitti import RawKitti, words

# --- good data -------------------------------------------------------------------------------------

PAUSE_S = 60.0


def write_two_laps(source: Path, lap: RawKitti, next_lap: RawKitti | None = None, name: str = "04") -> None:
    """A sequence of two laps through the same streets; by default the second has frames at places in between."""
    next_lap = next_lap or replace(lap, late_s=0.6)
    first, second = lap.write_odometry(source, name), next_lap.write_odometry(source / "lap", name)
    for path in sorted(second.glob("*/*")):
        path.rename(first / path.parent.name / f"{int(path.stem) + len(lap.times_s):06d}{path.suffix}")
    times = np.concatenate([lap.times_s, lap.times_s[-1] + PAUSE_S + next_lap.times_s])
    (first / "times.txt").write_text("".join(f"{time:.9e}\n" for time in times))
    world_from_camera = np.concatenate([lap.world_from_camera, next_lap.world_from_camera])
    relative = np.linalg.inv(world_from_camera[0]) @ world_from_camera
    (source / "poses" / f"{name}.txt").write_text("".join(f"{words(pose[:3])}\n" for pose in relative))
    shutil.rmtree(source / "lap")


# --- files -----------------------------------------------------------------------------------------


def each(pattern: str, function: Callable[[Path, Random], None]) -> Change:
    """Every file through ``function``, which draws the same for all files."""

    def change(folder: Path, random: Random) -> None:
        seed = int(random.integers(2**31))
        paths = sorted(folder.rglob(pattern))
        assert paths, pattern
        for path in paths:
            function(path, np.random.default_rng(seed))

    return change


def clouds(function: OfArray) -> Change:
    """Points of every cloud, which keep their intensities, or get none if they are fewer."""

    def edit(path: Path, random: Random) -> None:
        stored = np.fromfile(path, "<f4").reshape(-1, 4)
        points = function(stored[:, :3].astype(np.float64), random)
        intensity = stored[:, 3] if len(points) == len(stored) else np.zeros(len(points))
        np.column_stack([points, intensity]).astype("<f4").tofile(path)

    return each("*.bin", edit)


def stored_as(dtype: str, columns: int, *, factor: float = 1.0, first: int = 0) -> Change:
    """Clouds of so many columns of another type, of which x, y, z begin at column ``first``."""

    def edit(path: Path, random: Random) -> None:
        points = np.fromfile(path, "<f4").reshape(-1, 4)[:, :3] * factor
        others = random.random((len(points), columns - 3))
        points = points[: len(points) // 4 * 4]
        np.column_stack([others[: len(points), :first], points, others[: len(points), first:]]).astype(dtype).tofile(
            path
        )

    return each("*.bin", edit)


def columnwise(path: Path, random: Random) -> None:
    points = by_column(np.fromfile(path, "<f4").reshape(-1, 4)[:, :3], random)
    np.column_stack([points, np.zeros(len(points))]).astype("<f4").tofile(path)


def images(function: OfArray) -> Change:
    def edit(path: Path, random: Random) -> None:
        Image.fromarray(np.ascontiguousarray(function(np.asarray(Image.open(path)), random))).save(path)

    return each("*.png", edit)


def order(pattern: str) -> Callable[[OfArray], Change]:
    """Files of a folder (``parent/*.suffix``) that take each other's names."""

    def of(function: OfArray) -> Change:
        def change(folder: Path, random: Random) -> None:
            for parent in sorted({path.parent for path in folder.rglob(pattern)}):
                paths = sorted(parent.glob(Path(pattern).name))
                contents = [path.read_bytes() for path in paths]
                for path, row in zip(paths, function(np.arange(len(paths)), random), strict=True):
                    path.write_bytes(contents[int(row)])

        return change

    return of


def table(pattern: str, function: OfArray) -> Change:
    """The numbers of a text, a row a line."""

    def edit(path: Path, random: Random) -> None:
        rows = function(np.loadtxt(path, ndmin=2), random)
        path.write_text("".join(f"{words(row)}\n" for row in rows))

    return each(pattern, edit)


def poses(function: OfArray) -> Change:
    def of_rows(rows: ndarray, random: Random) -> ndarray:
        matrices = np.tile(np.eye(4), (len(rows), 1, 1))
        matrices[:, :3] = rows.reshape(-1, 3, 4)
        return function(matrices, random)[:, :3].reshape(-1, 12)

    return table("poses/*.txt", of_rows)


def times(function: OfArray) -> Change:
    return table("times.txt", function)


def entry(pattern: str, key: str, function: OfArray) -> Change:
    """The numbers behind ``key:`` of a calibration."""

    def edit(path: Path, random: Random) -> None:
        lines = dict(line.split(": ", 1) for line in path.read_text().splitlines())
        lines[key] = words(function(np.array(lines[key].split(), dtype=np.float64), random))
        path.write_text("".join(f"{name}: {text}\n" for name, text in lines.items()))

    return each(pattern, edit)


def mount(function: OfArray) -> Change:
    """``Tr`` of the odometry layout."""

    def of_row(row: ndarray, random: Random) -> ndarray:
        return function(np.concatenate([row, [0, 0, 0, 1]]).reshape(1, 4, 4), random)[0, :3]

    return entry("calib.txt", "Tr", of_row)


def lens(function: OfArray) -> Callable[[str, str], Change]:
    """A projection as 3×4, in the file and under the key given."""
    return lambda pattern, key: entry(pattern, key, lambda row, random: function(row.reshape(3, 4), random))


def focal(factor: float, row: slice = slice(0, 2)) -> OfArray:
    """Rows of a projection multiplied: fx, cx and the baseline, or fy and cy."""

    def change(p: ndarray, _: Random) -> ndarray:
        p[row] *= factor
        return p

    return change


def replaced(**cells: float) -> OfArray:
    places = {"fx": (0, 0), "fy": (1, 1), "cx": (0, 2), "cy": (1, 2), "tx": (0, 3)}

    def change(p: ndarray, _: Random) -> ndarray:
        for name, value in cells.items():
            p[places[name]] = value
        return p

    return change


def zoomed(p: ndarray, random: Random) -> ndarray:
    factor = random.uniform(8, 30)
    p[0, 0], p[1, 1] = p[0, 0] * factor, p[1, 1] * factor
    return p


def exchanged(p: ndarray, _: Random) -> ndarray:
    p[:2, :3] = p[:2, :3][::-1, [1, 0, 2]]
    return p


LENSES: dict[str, OfArray] = {
    "of an image of half the size": focal(0.5),
    "of an image of double the size": focal(2),
    "normalised": focal(1 / 160),
    "with another focal length": zoomed,
    "with a focal length in millimetres": replaced(fx=4.0, fy=4.0),
    "with its centre at zero": replaced(cx=0.0, cy=0.0),
    "with x and y exchanged": exchanged,
    "transposed": lambda p, _: p.T,
    "with its baseline in millimetres": lambda p, _: p * [1, 1, 1, 1000],
    "without its baseline": replaced(tx=0.0),
}

# --- the odometry layout ---------------------------------------------------------------------------


def steps(matrices: ndarray, _: Random) -> ndarray:
    return np.concatenate([matrices[:1], np.linalg.inv(matrices[:-1]) @ matrices[1:]])


def in_lidar_axes(matrices: ndarray, _: Random) -> ndarray:
    """As odometry of the LiDAR writes them: x forward, y left, z up."""
    turn = np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    return turn @ matrices @ turn.T


def jumping(xyz: ndarray, random: Random) -> ndarray:
    return xyz + (random.random((len(xyz), 1)) < 0.1) * random.uniform(500, 5000)


def drifting(xyz: ndarray, random: Random) -> ndarray:
    return xyz + np.cumsum(random.normal(scale=0.2, size=xyz.shape), axis=0)


ODOMETRY_POSES: dict[str, OfArray] = {
    **ORDERS,
    "inverted": inverted,
    "with rotations transposed": of_rotations(transposed),
    "in millimetres": of_translations(size(1000)),
    "in kilometres": of_translations(size(0.001)),
    "in feet": of_translations(size(1 / FOOT_M)),
    "of an unknown scale": of_translations(size(0.05)),
    "with x and y exchanged": of_translations(lambda xyz, _: xyz[:, [1, 0, 2]]),
    "with x and z exchanged": of_translations(lambda xyz, _: xyz[:, [2, 1, 0]]),
    "with y and z exchanged": of_translations(lambda xyz, _: xyz[:, [0, 2, 1]]),
    "with x negated": of_translations(lambda xyz, _: xyz * [-1, 1, 1]),
    "mirrored with their rotations": lambda matrices, _: np.diag([-1.0, 1, 1, 1]) @ matrices @ np.diag([-1.0, 1, 1, 1]),
    "in axes of a LiDAR": in_lidar_axes,
    "from frame to frame": steps,
    "all equal": lambda matrices, _: np.tile(matrices[:1], (len(matrices), 1, 1)),
    "read by columns": lambda matrices, _: np.concatenate(
        [matrices[:, :3].swapaxes(1, 2).reshape(-1, 3, 4), matrices[:, 3:]], axis=1
    ),
    "rounded to metres": of_translations(lambda xyz, _: np.round(xyz)),
    "with noise": of_translations(lambda xyz, random: xyz + random.normal(scale=0.2, size=xyz.shape)),
    "elsewhere": of_translations(lambda xyz, random: xyz + random.uniform(-1e6, 1e6, 3)),
    "of the first camera looking aside": turned_by("y", 30, 90),
}

ODOMETRY: dict[str, Change] = {
    **named("clouds", ALL_POINTS, clouds),
    "clouds of float64": stored_as("<f8", 4),
    "clouds of three columns": stored_as("<f4", 3),
    "clouds of five columns": stored_as("<f4", 5),
    "clouds of 16 bits in centimetres": stored_as("<i2", 4, factor=100),
    "clouds of other bytes first": stored_as(">f4", 4),
    "clouds with their intensity first": stored_as("<f4", 4, first=1),
    "clouds column by column": each("*.bin", columnwise),
    **named("clouds", ORDERS, order("velodyne/*.bin")),
    **named("images", ALL_PIXELS, images),
    "images with red and blue exchanged": images(lambda image, _: image[..., ::-1]),
    "images grey": images(lambda image, _: image.mean(2).astype(np.uint8)),
    "images of 16 bits": images(lambda image, _: (image.mean(2) * 256).astype(np.uint16)),
    **named("images", ORDERS, order("image_2/*.png")),
    **named("Tr", MOUNTS, mount),
    "Tr read by columns": entry("calib.txt", "Tr", lambda row, _: row.reshape(3, 4).T),
    **{f"P2 {name}": lens(function)("calib.txt", "P2") for name, function in LENSES.items()},
    **named("poses", ODOMETRY_POSES, poses),
    "times in milliseconds": times(lambda t, _: t * 1e3),
    "times in microseconds": times(lambda t, _: t * 1e6),
    "times in nanoseconds": times(lambda t, _: t * 1e9),
    "times as numbers of frames": times(lambda t, _: np.arange(len(t), dtype=float)[:, None]),
    "times since 1970": times(lambda t, _: t + 1.317e9),
    "times an hour late": times(lambda t, _: t + 3600),
    "times reversed": times(lambda t, _: t[::-1]),
    "times shuffled": times(lambda t, random: random.permutation(t)),
    "times a frame late": times(lambda t, _: np.concatenate([t[1:], t[-1:] + 1])),
}
"""Changes of ``sequences/04`` and ``poses/04.txt``, by name."""

# --- raw drives ------------------------------------------------------------------------------------


def packets(function: OfArray) -> Change:
    """The packets of each drive, as one array with a row a packet."""

    def change(folder: Path, random: Random) -> None:
        for data in sorted(folder.rglob("oxts/data")):
            paths = sorted(data.glob("*.txt"))
            rows = function(np.array([path.read_text().split() for path in paths], dtype=np.float64), random)
            for path, row in zip(paths, rows, strict=True):
                path.write_text(" ".join(f"{value:.13g}" for value in row) + "\n")

    return change


def fields(places: list[int], function: OfArray) -> Change:
    def of_rows(rows: ndarray, random: Random) -> ndarray:
        rows[:, places] = function(rows[:, places], random)
        return rows

    return packets(of_rows)


def stamps(sensor: str, function: Callable[[list[str], Random], list[str]]) -> Change:
    def edit(path: Path, random: Random) -> None:
        path.write_text("".join(f"{line}\n" for line in function(path.read_text().splitlines(), random)))

    return each(f"{sensor}/timestamps.txt", edit)


def later(nanoseconds: int) -> Callable[[list[str], Random], list[str]]:
    moved = np.timedelta64(nanoseconds, "ns")
    return lambda lines, _: [
        str(np.datetime64(line.replace(" ", "T"), "ns") + moved).replace("T", " ") for line in lines
    ]


def day_mount(pattern: str, function: OfArray) -> Change:
    """``R`` and ``T`` of a calibration of the day."""

    def edit(path: Path, random: Random) -> None:
        lines = dict(line.split(": ", 1) for line in path.read_text().splitlines())
        matrix = np.eye(4)[None]
        matrix[0, :3, :3] = np.array(lines["R"].split(), dtype=np.float64).reshape(3, 3)
        matrix[0, :3, 3] = np.array(lines["T"].split(), dtype=np.float64)
        (changed,) = function(matrix, random)
        path.write_text(f"R: {words(changed[:3, :3])}\nT: {words(changed[:3, 3])}\n")

    return each(pattern, edit)


def as_angles(rows: ndarray, _: Random) -> ndarray:
    """Roll, pitch, yaw of the inverse rotation."""
    return Rotation.from_euler("xyz", rows).inv().as_euler("xyz")


SOME_MOUNTS = (
    "inverted",
    "with its rotation transposed",
    "in millimetres",
    "without translation",
    "looking back",
    "mirrored",
)
CAM = "calib_cam_to_cam.txt"
SECOND, HOUR = 10**9, 3600 * 10**9
RAW: dict[str, Change] = {
    "latitude and longitude exchanged": fields([0, 1], lambda x, _: x[:, ::-1]),
    "latitude and longitude in radians": fields([0, 1], lambda x, _: np.radians(x)),
    "latitude and longitude in UTM": fields([0, 1], lambda x, _: x * 0 + [5.428e6, 4.58e5]),
    "latitude south": fields([0], lambda x, _: -x),
    "longitude west": fields([1], lambda x, _: -x),
    "longitude mirrored": fields([1], lambda x, _: 2 * x[0] - x),
    "latitude in 32 bits": fields([0, 1], lambda x, _: np.float64(np.float32(x))),
    "latitude with four decimals": fields([0, 1], lambda x, _: np.round(x, 4)),
    "altitude in millimetres": fields([2], lambda x, _: x * 1000),
    "altitude above the geoid": fields([2], lambda x, _: x - 48.0),
    "yaw clockwise from north": fields([5], lambda x, _: np.pi / 2 - x),
    "yaw clockwise from east": fields([5], lambda x, _: -x),
    "yaw turned": fields([5], lambda x, random: x + random.uniform(0.5, 3)),
    "yaw turned a little": fields([5], lambda x, random: x + random.uniform(-0.03, 0.03)),
    "yaw zero": fields([5], lambda x, _: x * 0),
    "yaw of another frame": fields([5], lambda x, random: random.permutation(x)),
    "angles in degrees": fields([3, 4, 5], lambda x, _: np.degrees(x)),
    "angles as yaw, pitch, roll": fields([3, 4, 5], lambda x, _: x[:, ::-1]),
    "angles of the inverse": fields([3, 4, 5], as_angles),
    "roll and pitch exchanged": fields([3, 4], lambda x, _: x[:, ::-1]),
    "roll upside down": fields([3], lambda x, _: x + np.pi),
    "roll and pitch zero": fields([3, 4], lambda x, _: x * 0),
    **named("packets", ORDERS, lambda function: packets(lambda x, r: x[function(np.arange(len(x)), r)])),
    "scans late by a frame": order("velodyne_points/data/*.bin")(ORDERS["late by a frame"]),
    "scans of other frames": order("velodyne_points/data/*.bin")(ORDERS["of other frames"]),
    "images late by a frame": order("image_02/data/*.png")(ORDERS["late by a frame"]),
    "images of other frames": order("image_02/data/*.png")(ORDERS["of other frames"]),
    "images an hour later": stamps("image_02", later(HOUR)),
    "images two seconds later": stamps("image_02", later(2 * SECOND)),
    "images at whole seconds": stamps("image_02", lambda lines, _: [line[:19] + ".0" for line in lines]),
    "scans an hour later": stamps("velodyne_points", later(HOUR)),
    "image times reversed": stamps("image_02", lambda lines, _: lines[::-1]),
    **{f"IMU's place {name}": day_mount("calib_imu_to_velo.txt", MOUNTS[name]) for name in SOME_MOUNTS},
    **{f"LiDAR's place {name}": day_mount("calib_velo_to_cam.txt", MOUNTS[name]) for name in SOME_MOUNTS},
    "R_rect_00 transposed": entry(CAM, "R_rect_00", lambda row, _: row.reshape(3, 3).T),
    "R_rect_00 identity": entry(CAM, "R_rect_00", lambda row, _: np.eye(3)),
    "S_rect_02 as rows and columns": entry(CAM, "S_rect_02", lambda row, _: row[::-1]),
    "P_rect_02 of an image of half the size": lens(focal(0.5))(CAM, "P_rect_02"),
    "P_rect_02 normalised": lens(focal(1 / 160))(CAM, "P_rect_02"),
    "P_rect_02 transposed": lens(LENSES["transposed"])(CAM, "P_rect_02"),
}
"""Changes of the drives of a day and of its calibration, prepared with ``poses=oxts``, by name."""
