"""The content of the messages of the three topics: positions, pixels and points.

Other types than these are refused with a sentence; all are defined as in ROS Noetic:

- ``/gps`` is sensor_msgs/NavSatFix.
- ``/camera/image_color`` is sensor_msgs/Image with 8 bits a channel, in one of ``ENCODINGS``; or
  sensor_msgs/CompressedImage, there or on ``/camera/image_color/compressed``.
- ``/os1_cloud_node/points`` is sensor_msgs/PointCloud2 with x, y and z as float32 or float64.

Every time is that of a message's header, by the clock of the sensor. The authors of ViViD++ ask their readers not to
use the times of recording.
"""

import struct
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from datasets.errors import CrossplaceError
from datasets.pixels import BayerPattern, demosaic
from datasets.vivid.bags import Damage, Topic
from datasets.vivid.compressed import decompressed

GPS, CAMERA, LIDAR = "/gps", "/camera/image_color", "/os1_cloud_node/points"
TYPES = {GPS: "sensor_msgs/NavSatFix", CAMERA: "sensor_msgs/Image", LIDAR: "sensor_msgs/PointCloud2"}
COMPRESSED, COMPRESSED_CAMERA = "sensor_msgs/CompressedImage", f"{CAMERA}/compressed"
"""The other type that images may have, and the topic on which ``image_transport`` sends it."""
STAMP_BYTES = 12
"""First bytes of a message with a header: a counter, then seconds and nanoseconds."""

ENCODINGS: dict[str, tuple[int, ...] | BayerPattern] = {
    "rgb8": (0, 1, 2),
    "bgr8": (2, 1, 0),
    "rgba8": (0, 1, 2, 3),
    "bgra8": (2, 1, 0, 3),
    "mono8": (0,),
    "bayer_rggb8": "rggb",
    "bayer_bggr8": "bggr",
    "bayer_gbrg8": "gbrg",
    "bayer_grbg8": "grbg",
}
"""By encoding: the positions of red, green and blue among the bytes of a pixel, or the pattern of a Bayer image."""

POINT_FIELD_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""The numbers of types in sensor_msgs/PointField, as types of numpy."""


@cache
def _types() -> Any:
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS1_NOETIC)


def check_types(topics: dict[str, Topic]) -> list[str]:
    """What is wrong with the topics of a bag, one sentence for each that is missing, empty or of another type."""
    faults = []
    for name, expected in TYPES.items():
        topic = topics.get(name)
        either = expected
        if name == CAMERA:
            either = f"{expected} or {COMPRESSED}"
            expected = COMPRESSED if topic is not None and topic.message_type == COMPRESSED else expected
        if topic is None:
            faults.append(f"no topic {name} ({either}); it has {', '.join(sorted(topics)) or 'none at all'}")
        elif topic.message_type != expected:
            faults.append(f"{name}: expected messages of type {either}, found {topic.message_type}")
        elif topic.definition_md5 != _types().generate_msgdef(expected.replace("/", "/msg/"))[1]:
            faults.append(f"{name}: {expected} is defined otherwise than in ROS Noetic (md5 {topic.definition_md5})")
        elif not topic.places:
            faults.append(f"{name}: no messages")
    return faults


def stamp_ns(message: bytes) -> int:
    """The time in the header of a serialized message, in nanoseconds; its first ``STAMP_BYTES`` are enough."""
    seconds, nanoseconds = struct.unpack_from("<II", message, 4)
    if nanoseconds >= 1_000_000_000:
        raise Damage(f"the header's time has {nanoseconds} nanoseconds in a second")
    return int(seconds * 1_000_000_000 + nanoseconds)


def decoded(message: bytes, message_type: str) -> Any:
    """The fields of a serialized message."""
    return _types().deserialize_ros1(message, message_type.replace("/", "/msg/"))


def position_of(message: Any) -> tuple[float, float, float] | None:
    """Latitude and longitude in degrees and altitude in metres of a NavSatFix, or None if it states to have no fix."""
    position = (float(message.latitude), float(message.longitude), float(message.altitude))
    is_on_earth = abs(position[0]) <= 90 and abs(position[1]) <= 180 and bool(np.isfinite(position).all())
    return position if is_on_earth and message.status.status >= 0 else None


def pixels_of(message: Any) -> UInt8[ndarray, "h w 3"]:
    """The pixels of an Image or CompressedImage as RGB.

    Raises:
        CrossplaceError: the encoding is not in ``ENCODINGS``, or the bytes do not fit it.
    """
    if hasattr(message, "format"):
        return _uncompressed(message)
    layout = ENCODINGS.get(message.encoding)
    if layout is None:
        raise CrossplaceError(
            f"encoding {message.encoding!r}; expected one of {', '.join(ENCODINGS)}: convert the images"
        )
    channels = 1 if isinstance(layout, str) else len(layout)
    if message.step < message.width * channels or message.step * message.height != len(message.data):
        raise CrossplaceError(
            f"{len(message.data)} bytes are no {message.width}×{message.height} image with {channels} byte(s) a pixel "
            f"and {message.step} a row"
        )
    rows = message.data.reshape(message.height, message.step)[:, : message.width * channels]
    raw = rows.reshape(message.height, message.width, channels)
    if isinstance(layout, str):
        return demosaic(np.ascontiguousarray(raw[..., 0]), layout)
    return np.ascontiguousarray(raw[..., (layout * 3)[:3]])


def _uncompressed(message: Any) -> UInt8[ndarray, "h w 3"]:
    encoding, pixels = decompressed(message)
    layout = ENCODINGS.get(encoding)
    if pixels.ndim == 2 and isinstance(layout, str):
        return demosaic(pixels, layout)
    return np.ascontiguousarray(np.broadcast_to(pixels.reshape(*pixels.shape[:2], -1), (*pixels.shape[:2], 3)))


def points_of(message: Any) -> Float[ndarray, "n 3"]:
    """All x, y, z of a PointCloud2 as float32, in order, including points that are no returns.

    ``row_step`` counts only where rows are padded: some drivers leave it 0, or write the size of the cloud there.

    Raises:
        CrossplaceError: fields x, y, z of floating point are missing, or the bytes do not fit the fields.
    """
    order = ">" if message.is_bigendian else "<"
    fields = {field.name: field for field in message.fields}
    formats = {name: POINT_FIELD_TYPES.get(field.datatype, "") for name, field in fields.items()}
    if any(formats.get(axis) not in ("f4", "f8") or fields[axis].count != 1 for axis in "xyz"):
        found = ", ".join(f"{field.name}: {formats[field.name]}×{field.count}" for field in message.fields)
        raise CrossplaceError(f"expected fields x, y and z of one float32 or float64 each, found {found or 'none'}")
    row_bytes = message.row_step
    if len(message.data) == message.height * message.width * message.point_step:
        row_bytes = message.width * message.point_step
    last = max(fields[axis].offset + int(formats[axis][1]) for axis in "xyz")
    is_grid = 0 < last <= message.point_step and row_bytes // message.point_step == message.width
    if not is_grid or row_bytes * message.height != len(message.data):
        raise CrossplaceError(
            f"{len(message.data)} bytes are no {message.height} rows of {message.width} points with {message.row_step} "
            f"bytes a row and {message.point_step} a point, {last} of them up to z"
        )
    point = np.dtype(
        {
            "names": list("xyz"),
            "formats": [order + formats[axis] for axis in "xyz"],
            "offsets": [fields[axis].offset for axis in "xyz"],
            "itemsize": message.point_step,
        }
    )
    size = (message.height, message.width)
    grid: ndarray = np.ndarray(size, point, np.ascontiguousarray(message.data), strides=(row_bytes, message.point_step))
    return np.stack([grid[axis].ravel().astype(np.float32) for axis in "xyz"], axis=1)
