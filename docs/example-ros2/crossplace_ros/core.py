"""From messages of ROS 2 to poses, without ROS: anything with the fields of the messages will do."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from benchmark.deploy.localizer import Localizer, Place
from datasets.errors import CrossplaceError

CHANNELS = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "rgba8": (0, 1, 2), "bgra8": (2, 1, 0), "mono8": (0, 0, 0)}
"""Encodings of ``sensor_msgs/Image``: which stored channels are red, green and blue."""
DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""Numbers of ``sensor_msgs/PointField`` as types of numpy."""
UNSEEN_VARIANCE = (4.0, 0.01, 0.01)
"""Variances of height (m²), roll and pitch (rad²), of which retrieval says nothing beyond the place itself."""


@dataclass(frozen=True, kw_only=True)
class Pose:
    """The fields of a ``geometry_msgs/PoseWithCovarianceStamped``, and how probable the pose is."""

    frame_id: str
    """World of the place."""
    position: tuple[float, float, float]
    quaternion_xyzw: tuple[float, float, float, float]
    """Rotation in the order of ROS: scalar last."""
    covariance: tuple[float, ...]
    """36 numbers row by row: x, y, z, then rotations about x, y and z, in the axes of the world."""
    probability: float


def image_array(message: Any) -> ndarray:
    """The RGB image (height, width, 3) of a ``sensor_msgs/Image``, whose rows may be padded.

    Raises:
        CrossplaceError: an encoding that is no 8-bit image, or data that is too short.
    """
    if message.encoding not in CHANNELS:
        raise CrossplaceError(
            f"image encoding {message.encoding!r} is not supported; publish one of {', '.join(CHANNELS)}, for "
            "example with image_proc"
        )
    n_channels = {"mono8": 1, "rgba8": 4, "bgra8": 4}.get(message.encoding, 3)
    data = np.frombuffer(bytes(message.data), dtype=np.uint8)
    if len(data) < message.height * message.step or message.step < message.width * n_channels:
        raise CrossplaceError(
            f"the image has {len(data)} bytes for {message.height} rows of {message.step}; look at the driver of "
            "the camera"
        )
    rows = data[: message.height * message.step].reshape(message.height, message.step)
    pixels = rows[:, : message.width * n_channels].reshape(message.height, message.width, n_channels)
    return np.ascontiguousarray(pixels[..., CHANNELS[message.encoding]])


def cloud_array(message: Any) -> ndarray:
    """The points (n, 3) of a ``sensor_msgs/PointCloud2`` as float32, without those that are not finite.

    Raises:
        CrossplaceError: the message has no x, y or z.
    """
    fields = {field.name: field for field in message.fields}
    missing = [axis for axis in "xyz" if axis not in fields]
    if missing:
        raise CrossplaceError(
            f"the cloud has no field {missing[0]!r} among {', '.join(fields) or 'none'}; publish points with x, y and z"
        )
    order = ">" if message.is_bigendian else "<"
    formats = [order + DATATYPES[fields[axis].datatype] for axis in "xyz"]
    offsets = [fields[axis].offset for axis in "xyz"]
    point = np.dtype({"names": [*"xyz"], "formats": formats, "offsets": offsets, "itemsize": message.point_step})
    data = bytes(message.data)
    rows = [
        np.frombuffer(data, dtype=point, count=message.width, offset=row * message.row_step)
        for row in range(message.height)
    ]
    points = np.concatenate([np.column_stack([row[axis] for axis in "xyz"]) for row in rows]).astype(np.float32)
    return points[np.isfinite(points).all(axis=1)]


class Core:
    """What the node does with a message."""

    def __init__(self, localizer: Localizer, min_probability: float = 0.7) -> None:
        """A calibrated localizer, and the probability below which nothing is said."""
        self.localizer, self.min_probability = localizer, min_probability

    def on_image(self, message: Any) -> Pose | None:
        """The pose of an image, or nothing if no place is probable enough."""
        return self._pose(self.localizer.query(image=image_array(message), top=1), "image")

    def on_cloud(self, message: Any) -> Pose | None:
        """The pose of a cloud, or nothing if no place is probable enough."""
        return self._pose(self.localizer.query(cloud=cloud_array(message), top=1), "cloud")

    def _pose(self, places: list[Place], asks: str) -> Pose | None:
        if not places or places[0].probability is None or places[0].probability < self.min_probability:
            return None
        (place,) = places
        w, x, y, z = place.quaternion_wxyz
        return Pose(
            frame_id=place.world,
            position=place.position_m,
            quaternion_xyzw=(x, y, z, w),
            covariance=in_world(self.localizer.calibrations[asks].covariance, place.yaw_rad),
            probability=place.probability,
        )


def in_world(planar: tuple[tuple[float, ...], ...], yaw_rad: float) -> tuple[float, ...]:
    """A covariance of metres forward, metres to the left and heading, as the 36 numbers of ROS in the world's axes."""
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(yaw_rad), -np.sin(yaw_rad)], [np.sin(yaw_rad), np.cos(yaw_rad)]]
    covariance = np.diag([0, 0, *UNSEEN_VARIANCE, 0.0])
    x_y_yaw = np.ix_([0, 1, 5], [0, 1, 5])
    covariance[x_y_yaw] = turn @ np.array(planar) @ turn.T
    return tuple(covariance.ravel().tolist())
