"""A run of Boreas of some seconds, small enough to work out by hand: a vehicle that drives north at 10 m/s."""

from pathlib import Path

import numpy as np
from PIL import Image

from datasets.boreas.boreas import Boreas
from datasets.prepared import PreparedDataset
from datasets.samples.boreas import (
    APPLANIX_FROM_VEHICLE,
    HEADER,
    VEHICLE_FROM_LIDAR,
    about_z,
    table_lines,
    write_matrix,
)
from datasets.town.camera import forward_camera

RUN = "2021-04-29-15-55"
START_US = 1_619_726_114_000_000
CAMERA = forward_camera(32, 24, horizontal_fov_deg=78.0)
SPEED_M_S = 10.0


def world_from_vehicle(times_us: np.ndarray) -> np.ndarray:
    poses = np.tile(about_z(np.pi / 2), (len(times_us), 1, 1))
    poses[:, 1, 3] = (times_us - START_US) / 1e6 * SPEED_M_S
    poses[:, :3, 3] += (-300.0, 20.0, 1.0)
    return poses


def write_run(source: Path, n: int = 12, name: str = RUN, *, n_points: int = 40, image_late_us: int = 20_000) -> Path:
    """Sweeps ten times a second with an image a little later each; tables reach half a second beyond both ends."""
    folder, random = source / f"boreas-{name}", np.random.default_rng(len(name) + n)
    for part in ("applanix", "calib", "camera", "lidar"):
        (folder / part).mkdir(parents=True)
    ticks = START_US + 100_000 * np.arange(-5, n + 5)
    for sensor, late_us, mount in (
        ("lidar", 0, VEHICLE_FROM_LIDAR),
        ("camera", image_late_us, np.linalg.inv(CAMERA.camera_from_lidar)),
    ):
        stamps = ticks + late_us
        lines = table_lines(stamps, world_from_vehicle(stamps) @ mount)
        (folder / "applanix" / f"{sensor}_poses.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    k = CAMERA.intrinsics
    write_matrix(
        folder / "calib" / "P_camera.txt",
        np.array([[k.fx, 0, k.cx - 0.5, 0], [0, k.fy, k.cy - 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    )
    write_matrix(folder / "calib" / "T_applanix_lidar.txt", APPLANIX_FROM_VEHICLE @ VEHICLE_FROM_LIDAR)
    write_matrix(folder / "calib" / "T_camera_lidar.txt", CAMERA.camera_from_lidar @ VEHICLE_FROM_LIDAR)
    for stamp in (START_US + 100_000 * np.arange(n)).tolist():
        points = np.column_stack(
            [
                random.normal(scale=15, size=(n_points, 3)),
                random.integers(0, 256, n_points),
                random.integers(0, 128, n_points),
                random.uniform(-0.05, 0.05, n_points),
            ]
        )
        points.astype("<f4").tofile(folder / "lidar" / f"{stamp}.bin")
        pixels = random.integers(0, 256, (k.height, k.width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "camera" / f"{stamp + image_late_us}.png")
    return folder


def prepared(dataset: Boreas, raw: Path, out: Path) -> PreparedDataset:
    """What is prepared of the runs in ``raw``, in the new folder ``out``."""
    out.mkdir()
    list(dataset.prepare(raw, out, workers=1))
    return PreparedDataset.read(out)
