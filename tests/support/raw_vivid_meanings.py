"""Changes of the messages of ViViD++ bags that leave them whole: fixes, images, clouds, and the times of all three."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy import ndarray
from raw_meanings import FOOT_M, ORDERS, PIXELS, POINTS, Change, OfArray, Random, named

from datasets.samples.vivid import CLOUD, FIX, IMAGE, OUSTER, cloud_message, image_message

Message = tuple[str, str, float, Any]
"""Topic, type, time of recording in seconds, and what is sent."""

# A change edits a list of the messages of one bag. Bags share messages with their unchanged originals, so that a
# message is never edited but replaced.


def each(kind: str, function: Callable[[Any, Random], Any]) -> Change:
    """Every message of a type, through a function that draws the same for all of a bag."""

    def change(messages: list[Message], random: Random) -> None:
        seed = int(random.integers(2**31))
        for i, (topic, its_kind, time_s, sent) in enumerate(messages):
            if its_kind == kind:
                messages[i] = (topic, its_kind, time_s, function(sent, np.random.default_rng(seed)))

    return change


def seconds(sent: Any) -> float:
    return sent.header.stamp.sec + sent.header.stamp.nanosec / 1e9


def stamped(sent: Any, time_ns: int) -> Any:
    time_ns = min(max(time_ns, 0), 2**32 * 10**9 - 1)
    stamp = replace(sent.header.stamp, sec=time_ns // 10**9, nanosec=time_ns % 10**9)
    return replace(sent, header=replace(sent.header, stamp=stamp))


def headers(kind: str, function: Callable[[int], int]) -> Change:
    """The time in the header of every message, in nanoseconds."""
    return each(
        kind, lambda sent, _: stamped(sent, function(sent.header.stamp.sec * 10**9 + sent.header.stamp.nanosec))
    )


def late(kind: str, by_s: float) -> Change:
    return headers(kind, lambda t: t + round(by_s * 1e9))


def order(kind: str) -> Callable[[OfArray], Change]:
    """What messages hold is exchanged among them; their times stay."""

    def of(function: OfArray) -> Change:
        def change(messages: list[Message], random: Random) -> None:
            rows = [i for i, message in enumerate(messages) if message[1] == kind]
            before = [messages[i][3] for i in rows]
            for at, source in zip(rows, function(np.arange(len(rows)), random), strict=True):
                stamp = messages[at][3].header
                messages[at] = (*messages[at][:3], replace(before[int(source)], header=stamp))

        return change

    return of


# --- fixes -----------------------------------------------------------------------------------------


def fixes(function: OfArray) -> Change:
    """Latitude, longitude and altitude of a bag, a row a fix."""

    def change(messages: list[Message], random: Random) -> None:
        rows = [i for i, message in enumerate(messages) if message[1] == FIX]
        values = np.array([[messages[i][3].latitude, messages[i][3].longitude, messages[i][3].altitude] for i in rows])
        for i, (latitude, longitude, altitude) in zip(rows, function(values, random).tolist(), strict=True):
            fix = replace(messages[i][3], latitude=latitude, longitude=longitude, altitude=altitude)
            messages[i] = (*messages[i][:3], fix)

    return change


def without_fix(fix: Any, _: Random) -> Any:
    return replace(fix, status=replace(fix.status, status=-1))


# --- clouds ----------------------------------------------------------------------------------------


def points_of(cloud: Any) -> ndarray:
    """As the OS1 sends them, which is mounted backwards."""
    packed = np.frombuffer(bytes(cloud.data), OUSTER)
    return np.stack([packed[axis] for axis in "xyz"], axis=1)


def clouds(function: OfArray, *, rows: int = 1, dtype: np.dtype = OUSTER) -> Change:
    """Points of every cloud, in the axes x forward, y left, z up; zeros stay where nothing returned."""

    def edit(cloud: Any, random: Random) -> Any:
        xyz = points_of(cloud).astype(np.float64) * [-1, -1, 1]
        is_return = np.isfinite(xyz).all(1) & xyz.any(1)
        changed = function(xyz[is_return], random) * [-1, -1, 1]
        sent = cloud_message(0.0, changed.astype(np.float32), rows, dtype)
        return replace(sent, header=cloud.header)

    return each(CLOUD, edit)


def sent_points(function: OfArray) -> Change:
    """All points as they are sent, with those that are no returns."""

    def edit(cloud: Any, random: Random) -> Any:
        sent = cloud_message(0.0, function(points_of(cloud), random).astype(np.float32))
        return replace(sent, header=cloud.header)

    return each(CLOUD, edit)


def fields(**names: str) -> Change:
    """Fields of a cloud under other names."""

    def edit(cloud: Any, _: Random) -> Any:
        return replace(cloud, fields=[replace(field, name=names.get(field.name, field.name)) for field in cloud.fields])

    return each(CLOUD, edit)


def field_types(**datatypes: int) -> Change:
    def edit(cloud: Any, _: Random) -> Any:
        changed = [replace(field, datatype=datatypes.get(field.name, field.datatype)) for field in cloud.fields]
        return replace(cloud, fields=changed)

    return each(CLOUD, edit)


WIDE = np.dtype({"names": ["x", "y", "z"], "formats": ["<f8"] * 3, "offsets": [0, 8, 16], "itemsize": 32})

# --- images ----------------------------------------------------------------------------------------


def images(function: OfArray, encoding: str = "rgb8") -> Change:
    """Pixels of every image, as RGB before."""

    def edit(image: Any, random: Random) -> Any:
        pixels = image.data.reshape(image.height, image.width, 3)[..., ::-1]
        sent = image_message(0.0, np.atleast_3d(function(pixels, random)), encoding)
        return replace(sent, header=image.header)

    return each(IMAGE, edit)


def called(encoding: str) -> Change:
    return each(IMAGE, lambda image, _: replace(image, encoding=encoding))


def mosaic(image: ndarray, _: Random) -> ndarray:
    """Behind the filters RG, GB."""
    raw = image[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = image[::2, ::2, 0], image[1::2, 1::2, 2]
    return raw


def zoomed(image: ndarray, random: Random) -> ndarray:
    """A lens of another focal length: the middle of the picture in all of it."""
    h, w = image.shape[:2]
    factor = random.uniform(1.5, 3)
    rows = ((np.arange(h) - h / 2) / factor + h / 2).astype(int)
    return image[rows][:, ((np.arange(w) - w / 2) / factor + w / 2).astype(int)]


KINDS = {"images": IMAGE, "clouds": CLOUD, "fixes": FIX}
NS = 10**9
LATE_S = {"a twentieth of a second late": 0.05, "half a second late": 0.5, "three seconds early": -3.0}

VIVID: dict[str, Change] = {
    # fixes
    "latitude and longitude exchanged": fixes(lambda x, _: x[:, [1, 0, 2]]),
    "latitude and longitude in radians": fixes(lambda x, _: x * [np.pi / 180, np.pi / 180, 1]),
    "latitude and longitude in tenths of microdegrees": fixes(lambda x, _: x * [1e7, 1e7, 1]),
    "latitude south": fixes(lambda x, _: x * [-1, 1, 1]),
    "longitude west": fixes(lambda x, _: x * [1, -1, 1]),
    "latitude mirrored": fixes(lambda x, _: np.column_stack([2 * x[0, 0] - x[:, 0], x[:, 1:]])),
    "longitude mirrored": fixes(lambda x, _: np.column_stack([x[:, 0], 2 * x[0, 1] - x[:, 1], x[:, 2]])),
    "latitude and longitude in 32 bits": fixes(lambda x, _: np.float64(np.float32(x))),
    "latitude and longitude with four decimals": fixes(lambda x, _: np.round(x, 4)),
    "altitude in millimetres": fixes(lambda x, _: x * [1, 1, 1000]),
    "altitude in feet": fixes(lambda x, _: x * [1, 1, 1 / FOOT_M]),
    "altitude above the geoid": fixes(lambda x, _: x - [0, 0, 25.0]),
    "fixes all equal": fixes(lambda x, _: np.tile(x[:1], (len(x), 1))),
    "fixes all zero": fixes(lambda x, _: x * 0),
    "fixes with noise": fixes(lambda x, random: x + random.normal(scale=3e-6, size=x.shape)),
    "fixes with jumps": fixes(lambda x, random: x + (random.random((len(x), 1)) < 0.1) * [0.01, 0.01, 0]),
    "fixes that are none": each(FIX, without_fix),
    "fixes of another city": fixes(lambda x, _: np.add(x, [1.2, -0.4, 0])),
    "fixes a second in steps": fixes(lambda x, _: x[np.arange(len(x)) // 20 * 20]),
    # times
    **{f"{name} {when}": late(kind, by_s) for name, kind in KINDS.items() for when, by_s in LATE_S.items()},
    **{f"{name} an hour late": late(kind, 3600) for name, kind in KINDS.items()},
    **{f"{name} in another time zone": late(kind, 9 * 3600) for name, kind in KINDS.items()},
    **{f"{name} without times": headers(kind, lambda t: 0) for name, kind in KINDS.items()},
    **{f"times of {name} in microseconds": headers(kind, lambda t: t // 1000) for name, kind in KINDS.items()},
    **{
        f"times of {name} at whole seconds": headers(kind, lambda t: t // 10**9 * 10**9) for name, kind in KINDS.items()
    },
    **{f"{name} {how}": order(KINDS[name])(change) for name in KINDS for how, change in ORDERS.items()},
    # clouds
    **named("clouds", POINTS, clouds),
    "clouds of x, y, z of float64": clouds(lambda xyz, _: xyz, dtype=WIDE),
    "clouds with fields x and y exchanged": fields(x="y", y="x"),
    "clouds with fields x and z exchanged": fields(x="z", z="x"),
    "clouds with intensity as z": fields(intensity="z", z="intensity"),
    "clouds without z": fields(z="height"),
    "clouds of integers": field_types(x=5, y=5, z=5),
    "clouds of other bytes first": each(CLOUD, lambda cloud, _: replace(cloud, is_bigendian=True)),
    "clouds of a LiDAR that looks ahead": sent_points(lambda xyz, _: xyz * [-1, -1, 1]),
    "clouds with ranges in millimetres": sent_points(lambda xyz, _: xyz * 1000),
    "clouds with points that are no numbers": sent_points(
        lambda xyz, random: np.where(random.random((len(xyz), 1)) < 0.97, np.nan, xyz)
    ),
    "clouds with half of their points at zero": sent_points(
        lambda xyz, random: xyz * (random.random((len(xyz), 1)) < 0.5)
    ),
    # images
    **named("images", PIXELS, images),
    "images with red and blue exchanged": called("rgb8"),
    "images called grey": called("mono8"),
    "images called Bayer": called("bayer_rggb8"),
    "images called 16 bits": called("mono16"),
    "images grey": images(lambda image, _: image.mean(2).astype(np.uint8), "mono8"),
    "images of a Bayer pattern": images(mosaic, "bayer_rggb8"),
    "images of a wrong Bayer pattern": images(mosaic, "bayer_gbrg8"),
    "images of another lens": images(zoomed),
    "images of rows and columns exchanged": each(
        IMAGE, lambda image, _: replace(image, height=image.width, width=image.height, step=image.height * 3)
    ),
}
"""Changes of the messages of a bag, by name; clouds x forward, y left, z up."""
