"""Real trajectories as frames without files: PointNetVLAD's places of RobotCar, and KITTI's ground truth."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from brute_force_kitti import CALIBRATION, SEQUENCES
from numpy import ndarray

from datasets.base import Frames, Protocol
from datasets.prepared import quaternion_wxyz
from datasets.transforms import WORLD_FROM_FIRST_CAMERA


def frames_of(traversal: str, world: str, names: list[str], time_ns: ndarray, world_from_lidar: ndarray) -> Frames:
    """Frames of one traversal at these poses (n, 4, 4), without files."""

    def column(value: str) -> ndarray:
        return np.full(len(names), value, dtype=object)

    return Frames(
        frame_id=np.array([f"{traversal}/{name}" for name in names], dtype=object),
        traversal=column(traversal),
        world=column(world),
        timestamp_ns=time_ns,
        position_m=world_from_lidar[:, :3, 3],
        quaternion_wxyz=quaternion_wxyz(world_from_lidar[:, :3, :3]),
        yaw_rad=np.arctan2(world_from_lidar[:, 1, 0], world_from_lidar[:, 0, 0]),
        image=column("image"),
        cloud=column("cloud"),
    )


def pointnetvlad_places(folder: Path) -> tuple[Frames, ndarray]:
    """The places of PointNetVLAD's evaluation set, one every 20 m already, and which of them ask."""
    parts, is_query = [], []
    for path in sorted(folder.glob("*.csv")):
        stamp, north, east, flag = zip(*(line.split(",") for line in path.read_text().splitlines()[1:]), strict=True)
        poses = np.tile(np.eye(4), (len(stamp), 1, 1))
        poses[:, 0, 3], poses[:, 1, 3] = np.array(east, dtype=float), np.array(north, dtype=float)
        parts.append(frames_of(path.stem, "oxford", list(stamp), np.array(stamp, dtype=np.int64) * 1000, poses))
        is_query += [f == "1" for f in flag]
    return Frames.concatenate(parts), np.array(is_query)


def of_every_place(protocol: Protocol) -> Protocol:
    """The protocol on places that are thinned already: all else is its own."""
    query, database = (replace(part, spacing_m=None) for part in (protocol.query, protocol.database))
    return replace(protocol, query=query, database=database)


def kitti_frames(folder: Path, sequences: Sequence[str] = SEQUENCES) -> Frames:
    """All frames of some sequences, each a world of its own."""
    parts = []
    for name in sequences:
        calibration = (folder / f"{CALIBRATION.get(name, 'calib_04-10')}.txt").read_text()
        (tr,) = [line.split()[1:] for line in calibration.splitlines() if line.startswith("Tr:")]
        rows = np.concatenate([np.loadtxt(folder / f"{name}.txt"), np.array(tr, dtype=float)[None]])
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, :3] = rows.reshape(-1, 3, 4)
        time_ns = np.round(np.loadtxt(folder / f"times_{name}.txt") * 1e9).astype(np.int64)
        stems = [f"{i:06d}" for i in range(len(time_ns))]
        parts.append(frames_of(name, f"kitti-{name}", stems, time_ns, WORLD_FROM_FIRST_CAMERA @ poses[:-1] @ poses[-1]))
    return Frames.concatenate(parts)
