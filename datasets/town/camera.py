"""A pinhole camera that sees the same surfaces as the LiDAR."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from datasets.base import Intrinsics
from datasets.town import light as lights
from datasets.town.light import Light
from datasets.town.rendering import seen
from datasets.town.scene import Scene


@dataclass(frozen=True, kw_only=True)
class PinholeCamera:
    """An ideal camera without distortion. Its axes are x right, y down, z forward; pixels are as in ``Intrinsics``."""

    intrinsics: Intrinsics
    camera_from_lidar: Float[ndarray, "4 4"]
    spots: tuple[tuple[float, float], ...] = ((0.25, 0.75), (0.75, 0.25))
    """Where rays pass through a pixel, measured from its left upper corner; the light of a pixel's rays is averaged."""

    @cached_property
    def directions(self) -> Float[ndarray, "n 3"]:
        """Unit vectors in the camera's axes: all pixels row by row, once for each of the ``spots``."""
        return np.concatenate([self._rays(spot) for spot in self.spots])

    def _rays(self, spot: tuple[float, float]) -> Float[ndarray, "n 3"]:
        k = self.intrinsics
        u, v = np.arange(k.width) + spot[0], np.arange(k.height) + spot[1]
        x, y = np.meshgrid((u - k.cx) / k.fx, (v - k.cy) / k.fy)
        rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
        return (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)

    @cached_property
    def _lidar_from_camera(self) -> Float[ndarray, "4 4"]:
        return np.linalg.inv(self.camera_from_lidar)

    def world_from_camera(self, world_from_lidar: Float[ndarray, "4 4"]) -> Float[ndarray, "4 4"]:
        """The pose of the camera when the LiDAR has the pose ``world_from_lidar``."""
        return world_from_lidar @ self._lidar_from_camera

    def depth(self, scene: Scene, world_from_lidar: Float[ndarray, "4 4"]) -> Float[ndarray, "h w"]:
        """Distance along the optical axis to the surface at each pixel's centre, metres; inf for the sky."""
        world_from_camera = self.world_from_camera(world_from_lidar)
        rays = self._rays((0.5, 0.5))
        world = np.einsum("ij,nj->ni", world_from_camera[:3, :3].astype(np.float32), rays)
        hits = scene.cast(world_from_camera[:3, 3], world)
        return (hits.distance_m * rays[:, 2]).reshape(self.intrinsics.height, self.intrinsics.width)

    def image(
        self, scene: Scene, world_from_lidar: Float[ndarray, "4 4"], light: Light, random: np.random.Generator
    ) -> UInt8[ndarray, "h w 3"]:
        """The image that the camera stores under ``light``."""
        world_from_camera = self.world_from_camera(world_from_lidar)
        rays = np.einsum("ij,nj->ni", world_from_camera[:3, :3].astype(np.float32), self.directions)
        radiance = seen(scene, world_from_camera[:3, 3], rays, light, world_from_camera[:3, 2])
        k = self.intrinsics
        return lights.developed(radiance.reshape(-1, k.height, k.width, 3).mean(0), light, random)


def forward_camera(width: int, height: int, horizontal_fov_deg: float) -> PinholeCamera:
    """The town's camera: 0.3 m ahead of and 0.3 m below the LiDAR, turned about a degree away from straight ahead."""
    from scipy.spatial.transform import Rotation  # here: a plan needs none of it

    focal = width / 2 / np.tan(np.deg2rad(horizontal_fov_deg) / 2)
    axes = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    tilt = Rotation.from_euler("xyz", [-3.0, -0.8, 0.6], degrees=True).as_matrix()
    camera_from_lidar = np.eye(4)
    camera_from_lidar[:3, :3] = tilt @ axes
    camera_from_lidar[:3, 3] = -camera_from_lidar[:3, :3] @ np.array([0.3, 0.06, -0.3])
    intrinsics = Intrinsics(fx=focal, fy=focal, cx=width / 2 + 0.7, cy=height / 2 - 1.1, width=width, height=height)
    return PinholeCamera(intrinsics=intrinsics, camera_from_lidar=camera_from_lidar)
