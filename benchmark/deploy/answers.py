"""What a localizer answers with."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from benchmark.deploy.calibration import Calibration
from benchmark.deploy.places import Places
from benchmark.deploy.pose_graph import Covariance


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place of the map, as an answer."""

    name: str
    traversal: str
    """The drive on which it was added."""
    world: str
    """The map that the pose belongs to."""
    timestamp_ns: int
    position_m: tuple[float, float, float]
    """Position of the LiDAR: east, north, up."""
    yaw_rad: float
    """Heading, counter-clockwise from east."""
    quaternion_wxyz: tuple[float, float, float, float]
    """Rotation ``world_from_lidar``, scalar first."""
    distance: float
    """Distance between the descriptors: the smaller, the more alike."""
    probability: float | None
    """Probability that this is where the query is; None if the localizer is not calibrated for such queries."""

    @property
    def world_from_lidar(self) -> Float[ndarray, "4 4"]:
        """The pose as a transform."""
        from scipy.spatial.transform import Rotation  # here: it takes long to import

        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_quat(self.quaternion_wxyz, scalar_first=True).as_matrix()
        pose[:3, 3] = self.position_m
        return pose


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is known of where a query is, such as a position by satellite or by odometry."""

    position_m: tuple[float, float]
    """East and north."""
    radius_m: float
    """Only places within this distance are searched."""
    world: str
    """The map that the position is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopClosure:
    """A place that was seen before."""

    name: str
    """The later place."""
    earlier: Place
    """The place of the same map that it is, as an answer."""
    covariance: Covariance
    """Covariance of the later pose in the frame of the earlier one, if both are taken as the same: metres forward,
    metres to the left, radians."""


def near(places: Places, prior: Prior) -> Bool[ndarray, " n"]:
    """Places that a prior allows."""
    offset_m = places.frames.position_m[:, :2] - np.array(prior.position_m)
    return (np.hypot(*offset_m.T) <= prior.radius_m) & (places.frames.world == prior.world)


def answers(
    places: Places, rows: Int[ndarray, " k"], distance: Float[ndarray, " k"], calibration: Calibration | None
) -> list[Place]:
    """The places at ``rows``, as far as there are any: a row of -1 is none."""
    rows, distance = rows[rows >= 0], distance[rows >= 0]
    probability = [None] * len(rows) if calibration is None else calibration.probability(distance).tolist()
    frames = places.frames
    return [
        Place(
            name=frames.frame_id[row],
            traversal=frames.traversal[row],
            world=frames.world[row],
            timestamp_ns=int(frames.timestamp_ns[row]),
            position_m=tuple(frames.position_m[row].tolist()),
            yaw_rad=float(frames.yaw_rad[row]),
            quaternion_wxyz=tuple(frames.quaternion_wxyz[row].tolist()),
            distance=far,
            probability=likely,
        )
        for row, far, likely in zip(rows.tolist(), distance.tolist(), probability, strict=True)
    ]
