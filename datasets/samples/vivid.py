"""ViViD++ bags from the town: a fisheye camera, an OS1 mounted backwards and a GPS receiver near Daejeon.

Written with other means than the preparer reads with: rays are bent by root finding, positions become degrees by
iteration, points are packed as C++ does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_typestore
from scipy.optimize import brentq

from datasets.town import Town
from datasets.town.camera import PinholeCamera
from datasets.town.drives import Drive
from datasets.town.lidar import SpinningLidar, evenly
from datasets.town.light import LIGHTS
from datasets.vivid.fisheye import Calibration

TYPES = get_typestore(Stores.ROS1_NOETIC)
FIX, IMAGE, CLOUD = "sensor_msgs/msg/NavSatFix", "sensor_msgs/msg/Image", "sensor_msgs/msg/PointCloud2"
ORIGIN_DEG = (36.36938311345352, 127.36541715557354)
"""Latitude and longitude of the campus origin, as PROJ gives them for the published point of EPSG:5178."""
BOOT_S = 1621837330.818392
"""When the clock of the LiDAR began."""

OUSTER = np.dtype(
    {
        "names": ["x", "y", "z", "intensity", "t", "reflectivity", "ring", "ambient", "range"],
        "formats": ["<f4", "<f4", "<f4", "<f4", "<u4", "<u2", "u1", "<u2", "<u4"],
        "offsets": [0, 4, 8, 16, 20, 24, 26, 28, 32],
        "itemsize": 48,
    }
)
"""ouster_ros' point: x, y, z, one unused float, the rest, padded to 48 bytes."""
NUMBERS = {"<f4": 7, "<f8": 8, "<u4": 6, "<u2": 4, "|u1": 2}

# --- single messages -----------------------------------------------------------------------------


def header(time_s: float, frame: str = "sensor") -> Any:
    """The header of a message."""
    ns = round(time_s * 1e9)
    stamp = TYPES.types["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)
    return TYPES.types["std_msgs/msg/Header"](seq=0, stamp=stamp, frame_id=frame)


def fix_message(time_s: float, latitude: float, longitude: float, altitude: float, status: int = 0) -> Any:
    """A fix of the GPS receiver, in degrees and metres."""
    kind = TYPES.types["sensor_msgs/msg/NavSatStatus"](status=status, service=1)
    return TYPES.types[FIX](
        header=header(time_s),
        status=kind,
        latitude=latitude,
        longitude=longitude,
        altitude=altitude,
        position_covariance=np.zeros(9),
        position_covariance_type=0,
    )


def image_message(time_s: float, pixels: np.ndarray, encoding: str = "rgb8", padding: int = 0) -> Any:
    """An image of ``pixels`` (h, w, bytes a pixel) as they are, with ``padding`` more bytes a row."""
    height, width = pixels.shape[:2]
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (0, padding)))
    return TYPES.types[IMAGE](
        header=header(time_s),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=np.ascontiguousarray(rows).ravel(),
    )


def cloud_message(time_s: float, points: np.ndarray, rows: int = 1, dtype: np.dtype = OUSTER) -> Any:
    """A cloud of ``points`` (n, 3) in that many ``rows``."""
    packed = np.zeros(len(points), dtype)
    for axis, values in zip("xyz", points.T, strict=True):
        packed[axis] = values
    if "range" in (dtype.names or ()):
        packed["range"] = np.nan_to_num(np.linalg.norm(points, axis=1)) * 1000
    field_type = TYPES.types["sensor_msgs/msg/PointField"]
    fields = [
        field_type(name=name, offset=offset, datatype=NUMBERS[kind.str], count=1)
        for name, (kind, offset, *_) in (dtype.fields or {}).items()
    ]
    return TYPES.types[CLOUD](
        header=header(time_s),
        height=rows,
        width=len(points) // rows,
        fields=fields,
        is_bigendian=False,
        point_step=dtype.itemsize,
        row_step=dtype.itemsize * (len(points) // rows),
        data=np.frombuffer(packed.tobytes(), dtype=np.uint8),
        is_dense=False,
    )


def write_bag(
    path: Path,
    messages: Iterable[tuple[str, str, float, Any]],
    compression: Writer.CompressionFormat | None = None,
    chunk_bytes: int = 1 << 20,
) -> None:
    """Write messages (topic, type, time of recording, message) in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = Writer(path)
    if compression:
        writer.set_compression(compression)
    writer.chunk_threshold = chunk_bytes
    connections: dict[str, Any] = {}
    writer.open()
    for topic, kind, time_s, message in messages:
        if topic not in connections:
            connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
        content = message if isinstance(message, bytes) else TYPES.serialize_ros1(message, kind)
        writer.write(connections[topic], round(time_s * 1e9), content)
    writer.close()


# --- the town's sensors --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FisheyeCamera(PinholeCamera):
    """The town's camera behind a Kannala-Brandt lens; ``intrinsics`` are those of the fisheye image."""

    calibration: Calibration

    def _rays(self, spot: tuple[float, float]) -> np.ndarray:
        k = self.intrinsics
        u, v = np.arange(k.width) + spot[0], np.arange(k.height) + spot[1]
        x, y = np.meshgrid((u - k.cx) / k.fx, (v - k.cy) / k.fy)
        radius = np.hypot(x, y).ravel()
        theta = self._angles(radius)
        away = np.sin(theta) / np.maximum(radius, 1e-12)
        rays = np.stack([x.ravel() * away, y.ravel() * away, np.cos(theta)], axis=1)
        return (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)

    def _angles(self, radius: np.ndarray) -> np.ndarray:
        """The angles off the axis of rays seen at ``radius`` focal lengths; those of no ray get the widest there is."""
        grid = np.linspace(0, radius.max(), 400)
        return np.interp(radius, grid, [self._angle(r) for r in grid])

    def _angle(self, radius: float) -> float:
        widest = 0.83
        k1, k2, k3, k4 = self.calibration.distortion

        def excess(t: float) -> float:
            return t + k1 * t**3 + k2 * t**5 + k3 * t**7 + k4 * t**9 - radius

        return float(brentq(excess, 0, widest)) if excess(widest) > 0 else widest


@dataclass(frozen=True, kw_only=True)
class Car:
    """The car of ViViD++ on a drive through the town, which lies near Daejeon."""

    drive: Drive
    calibration: Calibration = field(default_factory=Calibration)
    cast_share: float = 1.0
    """Share of the columns and rows of an image that are cast; the image is enlarged to its size from these."""
    lidar: SpinningLidar = field(
        default_factory=lambda: SpinningLidar(elevations_deg=evenly(-22.5, 22.5, 32), azimuths=256, max_range_m=120.0)
    )
    town_at_m: tuple[float, float, float] = (400.0, -250.0, 60.0)
    """East, north and up of the town's origin from that of the campus."""
    gps_hz: float = 20.0

    @cached_property
    def camera(self) -> FisheyeCamera:
        """The camera with the pixels that are cast."""
        raw = self.calibration.raw
        return FisheyeCamera(
            intrinsics=raw.resized(round(raw.width * self.cast_share), round(raw.height * self.cast_share)),
            camera_from_lidar=self.calibration.camera_from_lidar,
            calibration=self.calibration,
        )

    def pose_at(self, time_s: float) -> np.ndarray:
        """The pose of the LiDAR in the town's world."""
        return self.drive.pose_at(np.array([time_s]))[0]

    def image(self, time_s: float) -> np.ndarray:
        """What the camera sees, with the fisheye's distortion."""
        random = np.random.default_rng(round(time_s * 1e6))
        scene = self.drive.scene_at(time_s)
        pixels = self.camera.image(scene, self.pose_at(time_s), LIGHTS[self.drive.light], random)
        size = (self.calibration.raw.width, self.calibration.raw.height)
        return pixels if self.cast_share == 1 else np.asarray(Image.fromarray(pixels).resize(size))

    def scan(self, time_s: float) -> np.ndarray:
        """All points of a revolution in the town's LiDAR frame, ideal; zeros where nothing returned."""
        echoes = self.drive.cast(time_s, self.lidar.directions)
        distance = np.where(echoes.distance_m <= self.lidar.max_range_m, echoes.distance_m, 0)
        return (distance[:, None] * self.lidar.directions).astype(np.float32)

    def messages(self, times_s: Iterable[float], start_s: float = BOOT_S + 100.0, image_late_s: float = 0.01) -> Any:
        """One cloud at each time of the drive, an image a little later, and fixes throughout; times are sorted."""
        times = list(times_s)
        sent = []
        for time in np.arange(times[0] - 1.02, times[-1] + 1.1, 1 / self.gps_hz):
            east, north, up = self.pose_at(time)[:3, 3] + self.town_at_m
            fix = fix_message(start_s + time, *degrees_of(east, north, up))
            sent.append(("/gps", FIX, start_s + time + 0.002, fix))
        for time in times:
            # The OS1 looks backward: x is -forward, y is -left.
            points = self.scan(time) * np.array([-1, -1, 1], dtype=np.float32)
            points[::97] = np.nan
            cloud = cloud_message(start_s + time - BOOT_S, points, rows=self.lidar.azimuths)
            sent.append(("/os1_cloud_node/points", CLOUD, start_s + time + 0.005, cloud))
            image = image_message(start_s + time + image_late_s, self.image(time + image_late_s)[..., ::-1], "bgr8")
            sent.append(("/camera/image_color", IMAGE, start_s + time + image_late_s + 0.02, image))
        return sorted(sent, key=lambda message: message[2])


def degrees_of(east: float, north: float, up: float) -> tuple[float, float, float]:
    """Latitude, longitude (degrees) and height of a point of the plane at ``ORIGIN_DEG``, by WGS84's formulas."""
    a, f = 6378137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    lat, lon = np.deg2rad(ORIGIN_DEG)
    n = a / np.sqrt(1 - e2 * np.sin(lat) ** 2)
    origin = np.array([n * np.cos(lat) * np.cos(lon), n * np.cos(lat) * np.sin(lon), n * (1 - e2) * np.sin(lat)])
    axes = np.array(
        [
            [-np.sin(lon), np.cos(lon), 0],
            [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)],
            [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)],
        ]
    )
    x, y, z = origin + np.array([east, north, up]) @ axes
    latitude, height, across = np.arctan2(z, np.hypot(x, y) * (1 - e2)), 0.0, np.hypot(x, y)
    for _ in range(8):
        n = a / np.sqrt(1 - e2 * np.sin(latitude) ** 2)
        height = across / np.cos(latitude) - n
        latitude = np.arctan2(z, across * (1 - e2 * n / (n + height)))
    return float(np.rad2deg(latitude)), float(np.rad2deg(np.arctan2(y, x))), float(height)


# --- a sample ------------------------------------------------------------------------------------

FRAMES, APART_S = 24, 1.0
RUNS = {"campus_day1": "day", "campus_day2": "overcast", "campus_night": "night"}
"""Light by run."""


def write_sample(folder: Path) -> Iterator[str]:
    """Write three bags of one street, by day, on another day and by night; yields the name of each."""
    (drive,) = (drive for drive in Town(preset="tiny").drives() if drive.name == "test-day")
    for number, (run, light) in enumerate(RUNS.items(), start=1):
        car = Car(drive=replace(drive, light=light, occasion=number), cast_share=0.15)
        times = np.arange(FRAMES) * APART_S + 3.0 + 0.3 * number
        write_bag(folder / f"{run}.bag", car.messages(times))
        yield run
