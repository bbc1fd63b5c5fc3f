"""A person's own drive on disk: a trajectory, images and clouds named by their times, and a calibration in YAML."""

import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from datasets.prepared import PreparedDataset
from datasets.transforms import WORLD_FROM_FIRST_CAMERA

NS_IN = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def poses_of(dataset: PreparedDataset, traversal: str) -> tuple[ndarray, Float[ndarray, "n 4 4"]]:
    """Times in nanoseconds and ``world_from_lidar`` of the frames of a traversal."""
    frames = dataset.frames.take(dataset.frames.traversal == traversal)
    poses = np.tile(np.eye(4), (len(frames), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(frames.quaternion_wxyz, scalar_first=True).as_matrix()
    poses[:, :3, 3] = frames.position_m
    return frames.timestamp_ns, poses


def tum(times_ns: ndarray, poses: Float[ndarray, "n 4 4"]) -> str:
    """A TUM file with a header as evo writes it."""
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for time, pose, q in zip(times_ns.tolist(), poses, Rotation.from_matrix(poses[:, :3, :3]).as_quat(), strict=True):
        lines.append(" ".join([f"{time // 10**9}.{time % 10**9:09d}", *(f"{v:.9f}" for v in (*pose[:3, 3], *q))]))
    return "\n".join(lines) + "\n"


def kitti(poses: Float[ndarray, "n 4 4"]) -> str:
    """A KITTI file of poses: twelve numbers a line."""
    return "".join(" ".join(f"{v:.12e}" for v in pose[:3].ravel()) + "\n" for pose in poses)


def write_drive(
    dataset: PreparedDataset,
    traversal: str,
    folder: Path,
    *,
    of: Literal["lidar", "camera"] = "lidar",
    unit: Literal["s", "ms", "us", "ns"] = "ns",
) -> Path:
    """Write a traversal of a prepared dataset as a person has it: a TUM file of poses of the LiDAR, or a KITTI file of
    poses of the camera with its times; returns ``folder``.
    """
    times_ns, world_from_lidar = poses_of(dataset, traversal)
    described = dataset.traversals[traversal]
    assert described.camera_from_lidar is not None
    folder.mkdir(parents=True)
    if of == "lidar":
        (folder / "poses.txt").write_text(tum(times_ns, world_from_lidar))
    else:
        world_from_camera = world_from_lidar @ np.linalg.inv(described.camera_from_lidar)
        (folder / "poses.txt").write_text(kitti(np.linalg.inv(WORLD_FROM_FIRST_CAMERA) @ world_from_camera))
        (folder / "times.txt").write_text("".join(f"{t // 10**9}.{t % 10**9:09d}\n" for t in times_ns.tolist()))
    frames = dataset.frames.take(dataset.frames.traversal == traversal)
    for part, paths in (("camera", frames.image), ("lidar", frames.cloud)):
        (folder / part).mkdir()
        for time, path in zip(times_ns.tolist(), paths, strict=True):
            shutil.copy(dataset.root / path, folder / part / f"{stem_of(time, unit)}{Path(path).suffix}")
    (folder / "calibration.yaml").write_text(yaml.safe_dump(calibration_of(dataset, traversal, of), sort_keys=False))
    return folder


def stem_of(time_ns: int, unit: Literal["s", "ms", "us", "ns"]) -> str:
    """A time as the name of a file, exact in any unit."""
    whole, rest = divmod(time_ns, NS_IN[unit])
    digits = len(str(NS_IN[unit])) - 1
    return f"{whole}.{rest:0{digits}d}" if digits else str(whole)


def calibration_of(dataset: PreparedDataset, traversal: str, of: Literal["lidar", "camera"]) -> dict[str, Any]:
    """The content of ``calibration.yaml``."""
    described = dataset.traversals[traversal]
    k, lidar = described.intrinsics, described.lidar
    assert k is not None
    assert described.camera_from_lidar is not None
    content: dict[str, Any] = {
        "trajectory_of": of,
        "camera": {
            **{name: getattr(k, name) for name in ("width", "height", "fx", "fy")},
            **{"cx": k.cx - 0.5, "cy": k.cy - 0.5},
        },
        "camera_from_lidar": described.camera_from_lidar.tolist(),
    }
    if of == "camera":
        content["world_axes"] = "camera"
    if lidar is not None:
        content["lidar"] = {
            "beams": lidar.beams,
            "vertical_fov_deg": list(lidar.vertical_fov_deg),
            "max_range_m": lidar.max_range_m,
            "form": lidar.form,
        }
    return content
