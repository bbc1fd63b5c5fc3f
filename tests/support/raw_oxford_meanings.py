"""Changes of a RobotCar run's files that leave them whole: poses, sweeps, images, their times, and the camera model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy import ndarray
from raw_kitti_meanings import each, images, order
from raw_meanings import (
    FOOT_M,
    ORDERS,
    PIXELS,
    Change,
    OfArray,
    Random,
    inverted,
    kept,
    named,
    of_translations,
    scaled,
    size,
    turned_by,
)

from datasets.oxford.camera import MODEL, TABLE

SECOND_US, HOUR_US = 10**6, 3600 * 10**6

# --- poses -----------------------------------------------------------------------------------------


def columns(names: str, function: OfArray) -> Change:
    """Some columns of ``ins.csv`` as numbers, a row a pose."""

    def edit(path: Path, random: Random) -> None:
        header, *lines = path.read_text().splitlines()
        cells, places = [line.split(",") for line in lines], [header.split(",").index(name) for name in names.split()]
        values = function(np.array([[row[at] for at in places] for row in cells], dtype=np.float64), random)
        for row, changed in zip(cells, values, strict=True):
            for at, value in zip(places, changed, strict=True):
                row[at] = f"{value:.9f}"
        path.write_text("\n".join([header, *map(",".join, cells)]) + "\n")

    return each("ins.csv", edit)


def stamped(function: Callable[[int], int]) -> Change:
    """The times of poses, in microseconds."""

    def edit(path: Path, random: Random) -> None:
        header, *lines = path.read_text().splitlines()
        rows = [line.split(",", 1) for line in lines]
        path.write_text("\n".join([header, *(f"{function(int(time))},{rest}" for time, rest in rows)]) + "\n")

    return each("ins.csv", edit)


def lines(function: OfArray) -> Change:
    """The lines of poses in another order."""

    def edit(path: Path, random: Random) -> None:
        header, *rows = path.read_text().splitlines()
        chosen = function(np.arange(len(rows)), random)
        path.write_text("\n".join([header, *(rows[int(i)] for i in chosen)]) + "\n")

    return each("ins.csv", edit)


def renamed_columns(**names: str) -> Change:
    def edit(path: Path, random: Random) -> None:
        header, rest = path.read_text().split("\n", 1)
        path.write_text(",".join(names.get(name, name) for name in header.split(",")) + "\n" + rest)

    return each("ins.csv", edit)


def late(n: int) -> OfArray:
    """Values of ``n`` rows before."""
    return lambda x, _: np.concatenate([np.tile(x[:1], (n, 1)), x[:-n]])


# --- sweeps and images -----------------------------------------------------------------------------


def sweeps(function: OfArray) -> Change:
    """Every sweep, (n, 3): x, y and reflectance."""
    return each("*.bin", lambda path, random: _edit_sweep(path, function, random))


def _edit_sweep(path: Path, function: OfArray, random: Random) -> None:
    if path.name != TABLE:
        function(np.fromfile(path, "<f8").reshape(-1, 3), random).astype("<f8").tofile(path)


def stored_as(dtype: str, n_columns: int, factor: float = 1.0) -> Change:
    def edit(path: Path, random: Random) -> None:
        if path.name != TABLE:
            points = np.fromfile(path, "<f8").reshape(-1, 3)
            points = np.column_stack([points, points[:, :2]])[: len(points) // 12 * 12, :n_columns]
            (points * factor).astype(dtype).tofile(path)

    return each("*.bin", edit)


def on_the_plane(function: OfArray) -> OfArray:
    def change(points: ndarray, random: Random) -> ndarray:
        return np.column_stack([function(points[:, :2], random), points[:, 2]])

    return change


def rotated(points: ndarray, random: Random) -> ndarray:
    angle_rad = np.radians(random.uniform(10, 180))
    turn = np.array([[np.cos(angle_rad), -np.sin(angle_rad)], [np.sin(angle_rad), np.cos(angle_rad)]])
    return points @ turn.T


SWEEPS: dict[str, OfArray] = {
    "in millimetres": size(1000),
    "in kilometres": size(0.001),
    "in feet": size(1 / FOOT_M),
    "too large": scaled(1.3, 10),
    "too small": scaled(0.1, 0.75),
    "with x and y exchanged": lambda xy, _: xy[:, ::-1],
    "with x negated": lambda xy, _: xy * [-1, 1],
    "with y negated": lambda xy, _: xy * [1, -1],
    "turned by half": lambda xy, _: -xy,
    "turned in their plane": rotated,
    "noisy": lambda xy, random: xy + random.normal(scale=0.05, size=xy.shape),
    "flat": lambda xy, _: xy * [0, 1],
    "all zero": lambda xy, _: xy * 0,
}


def moved(folder_name: str, list_name: str, function: Callable[[int, Random], int]) -> Change:
    """Files named by other times, in microseconds, and the list of times alike."""

    def change(folder: Path, random: Random) -> None:
        for run in (path for path in sorted(folder.iterdir()) if (path / "gps").is_dir()):
            times = {int(path.stem): path for path in sorted((run / folder_name).iterdir())}
            to = {time: function(time, random) for time in times}
            contents = {to[time]: path.read_bytes() for time, path in times.items()}
            suffix = next(iter(times.values())).suffix
            for path in times.values():
                path.unlink()
            for time, content in contents.items():
                (run / folder_name / f"{time}{suffix}").write_bytes(content)
            (run / list_name).write_text("".join(f"{time} 1\n" for time in sorted(contents)))

    return change


def images_moved(function: Callable[[int, Random], int]) -> Change:
    return moved("stereo/centre", "stereo.timestamps", function)


def sweeps_moved(function: Callable[[int, Random], int]) -> Change:
    return moved("lms_front", "lms_front.timestamps", function)


def listed(name: str, function: Callable[[int], int]) -> Change:
    """Another unit in the list of times alone."""

    def edit(path: Path, random: Random) -> None:
        rows = [line.split() for line in path.read_text().splitlines()]
        path.write_text("".join(f"{function(int(time))} {chunk}\n" for time, chunk in rows))

    return each(name, edit)


# --- the camera ------------------------------------------------------------------------------------


def model(function: Callable[[ndarray, Random], ndarray]) -> Change:
    """fx, fy, cx, cy and the four rows of the transform, as (5, 4)."""

    def edit(path: Path, random: Random) -> None:
        np.savetxt(path, function(np.loadtxt(path), random), fmt="%.9f")

    return each(MODEL, edit)


def numbers(function: OfArray) -> Change:
    return model(lambda rows, random: np.concatenate([function(rows[:1], random), rows[1:]]))


def axes(function: OfArray) -> Change:
    return model(lambda rows, random: np.concatenate([rows[:1], function(rows[None, 1:], random)[0]]))


def lut(function: OfArray) -> Change:
    """The table as (2, n): columns, then rows, in the distorted image."""

    def edit(path: Path, random: Random) -> None:
        np.ascontiguousarray(function(np.fromfile(path, "<f8").reshape(2, -1), random)).astype("<f8").tofile(path)

    return each(TABLE, edit)


WIDTH, HEIGHT = 80, 60


def by_columns(table: ndarray, _: Random) -> ndarray:
    return table.reshape(2, HEIGHT, WIDTH).swapaxes(1, 2).reshape(2, -1)


def undistorting_nothing(table: ndarray, _: Random) -> ndarray:
    return np.mgrid[:HEIGHT, :WIDTH][::-1].reshape(2, -1)


OXFORD: dict[str, Change] = {
    # poses
    "northing and easting exchanged": renamed_columns(northing="easting", easting="northing"),
    "northing and down exchanged": renamed_columns(northing="down", down="northing"),
    "latitude and longitude as northing and easting": renamed_columns(
        latitude="northing", longitude="easting", northing="latitude", easting="longitude"
    ),
    "positions in millimetres": columns("northing easting down", size(1000)),
    "positions in kilometres": columns("northing easting down", size(0.001)),
    "positions in feet": columns("northing easting down", size(1 / FOOT_M)),
    "positions in degrees": columns("northing easting", size(1 / 111_320)),
    "positions south": columns("northing", size(-1)),
    "positions rounded to metres": columns("northing easting down", lambda x, _: np.round(x)),
    "positions with jumps": columns(
        "northing easting", lambda x, r: x + (r.random((len(x), 1)) < 0.02) * r.uniform(100, 900)
    ),
    "positions all equal": columns("northing easting down", lambda x, _: np.tile(x[:1], (len(x), 1))),
    "height upwards": columns("down", size(-1)),
    "yaw in degrees": columns("yaw", lambda x, _: np.degrees(x)),
    "yaw counter-clockwise": columns("yaw", size(-1)),
    "yaw of RTK": columns("yaw", lambda x, _: x - 3 * np.pi / 2),
    "yaw turned": columns("yaw", lambda x, r: x + r.uniform(0.3, 0.75) * r.choice([-1, 1])),
    "yaw zero": columns("yaw", size(0)),
    "yaw of half a second before": columns("yaw", late(25)),
    "roll and pitch exchanged": renamed_columns(roll="pitch", pitch="roll"),
    "roll and yaw exchanged": renamed_columns(roll="yaw", yaw="roll"),
    "roll upside down": columns("roll", lambda x, _: x + np.pi),
    "pitch negated": columns("pitch", size(-1)),
    "poses of five seconds before": columns("northing easting down roll pitch yaw", late(250)),
    "lines of poses shuffled": lines(ORDERS["of other frames"]),
    "lines of poses with a gap": lines(lambda rows, _: np.delete(rows, slice(len(rows) // 3, len(rows) // 2))),
    "times of poses in milliseconds": stamped(lambda t: t // 1000),
    "times of poses an hour late": stamped(lambda t: t + HOUR_US),
    "times of poses five seconds late": stamped(lambda t: t + 5 * SECOND_US),
    # sweeps
    **named("sweeps", SWEEPS, lambda function: sweeps(on_the_plane(function))),
    "sweeps with reflectance first": sweeps(lambda points, _: points[:, [2, 0, 1]]),
    "sweeps thinned": sweeps(kept(0.3, 0.8)),
    "sweeps empty": sweeps(lambda points, _: points[:0]),
    "sweeps of the left side alone": sweeps(lambda points, _: points[points[:, 1] > 0]),
    "sweeps of float32": stored_as("<f4", 3),
    "sweeps of four columns": stored_as("<f8", 4),
    "sweeps of 16 bits in centimetres": stored_as("<i2", 3, factor=100),
    **named("sweeps", ORDERS, order("lms_front/*.bin")),
    "sweeps a second late": sweeps_moved(lambda t, _: t + SECOND_US),
    "sweeps an hour late": sweeps_moved(lambda t, _: t + HOUR_US),
    "sweeps named in milliseconds": sweeps_moved(lambda t, _: t // 1000),
    # images
    **named("images", PIXELS, images),
    "images of 16 bits": images(lambda image, _: image.astype(np.uint16) * 256),
    **named("images", ORDERS, order("stereo/centre/*.png")),
    "images three seconds late": images_moved(lambda t, _: t + 3 * SECOND_US),
    "images five seconds early": images_moved(lambda t, _: t - 5 * SECOND_US),
    "images an hour late": images_moved(lambda t, _: t + HOUR_US),
    "images named in milliseconds": images_moved(lambda t, _: t // 1000),
    "list of images in milliseconds": listed("stereo.timestamps", lambda t: t // 1000),
    "list of sweeps in nanoseconds": listed("lms_front.timestamps", lambda t: t * 1000),
    # camera
    "lens of an image of half the size": numbers(size(0.5)),
    "lens of the published size": numbers(size(1280 / WIDTH)),
    "lens normalised": numbers(lambda row, _: row / [WIDTH, HEIGHT, WIDTH, HEIGHT]),
    "lens with a focal length in millimetres": numbers(lambda row, _: row * [0, 0, 1, 1] + [4.0, 4, 0, 0]),
    "lens of the wide camera": numbers(lambda row, _: row * [0.4, 0.4, 1, 1]),
    "lens with its centre at zero": numbers(lambda row, _: row * [1, 1, 0, 0]),
    "axes of the camera inverted": axes(inverted),
    "axes of the camera identity": axes(lambda m, _: np.eye(4)[None]),
    "axes of the camera looking back": axes(turned_by("z", 180, 180)),
    "axes of the camera looking sideways": axes(turned_by("z", 65, 115)),
    "axes of the camera turned a little": axes(turned_by("z", 0.5, 3)),
    "axes of the camera in millimetres": axes(of_translations(lambda x, _: np.add(x, [0, 240.0, 0]))),
    "axes of the right camera": axes(of_translations(lambda x, _: np.add(x, [0, 0.24, 0]))),
    "table with columns and rows exchanged": lut(lambda table, _: table[::-1]),
    "table in pairs": lut(lambda table, _: table.T),
    "table column by column": lut(by_columns),
    "table of one size more": lut(lambda table, _: table * 2),
    "table of the published size": lut(lambda table, _: table * 1280 / WIDTH),
    "table of the rectified image": lut(undistorting_nothing),
    "table in 32 bits": each(TABLE, lambda path, _: np.fromfile(path, "<f8").astype("<f4").tofile(path)),
}
"""Changes of every run of a folder and of its camera, by name."""
