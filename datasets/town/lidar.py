"""A spinning LiDAR without noise: one return per beam and azimuth, where there is a surface in range."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.base import Lidar
from datasets.town.scene import Scene

HEIGHT_M = 1.9
"""Of the sensor above the ground."""


@dataclass(frozen=True, kw_only=True)
class SpinningLidar:
    """Beams evenly spaced in elevation, fired at evenly spaced azimuths. Frame: x forward, y left, z up."""

    beams: int = 32
    vertical_fov_deg: tuple[float, float] = (-22.5, 22.5)
    azimuths: int = 360
    max_range_m: float = 80.0

    def block(self) -> Lidar:
        """What the prepared form says about the sensor."""
        return Lidar(
            beams=self.beams, vertical_fov_deg=self.vertical_fov_deg, max_range_m=self.max_range_m, form="scan"
        )

    @cached_property
    def directions(self) -> Float[ndarray, "n 3"]:
        """Unit vectors in the LiDAR frame, azimuth by azimuth, each from the lowest beam up."""
        azimuth = 2 * np.pi * np.arange(self.azimuths) / self.azimuths
        elevation = np.deg2rad(np.linspace(*self.vertical_fov_deg, self.beams))
        a, e = (grid.ravel() for grid in np.meshgrid(azimuth, elevation, indexing="ij"))
        return np.stack([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)], axis=1).astype(np.float32)

    def scan(self, scene: Scene, world_from_lidar: Float[ndarray, "4 4"]) -> Float[ndarray, "n 3"]:
        """Points in the LiDAR frame, metres, float32; directions without a surface in range give none."""
        rays = np.einsum("ij,nj->ni", world_from_lidar[:3, :3].astype(np.float32), self.directions)
        distance = scene.cast(world_from_lidar[:3, 3], rays).distance_m
        returned = distance <= self.max_range_m
        return distance[returned, None] * self.directions[returned]
