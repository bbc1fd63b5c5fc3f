"""What an official checkpoint was trained with and a correct form does not have; constants as published."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from methods.layers.voxels import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class SwappedAffine:
    """The published way from the LiDAR's frame into the network's on KITTI and ViViD++.

    Coordinates are reversed before and after the rigid transform to the camera, then turned by quarter turns about
    z and x. Forward and up translations change places and 1.48° (KITTI) or 3.00° (ViViD++) of rotation go wrong.
    """

    rotation: tuple[Vector, Vector, Vector]
    """Rotation of ``camera_from_lidar``."""
    translation_m: Vector
    z_turn: int
    """Direction of the quarter turn about z: 1 or -1."""
    signs: Vector = (1.0, 1.0, 1.0)
    """From the axes of stored clouds (x forward, y left, z up) to those that the authors stored."""

    def network_from_lidar(self) -> Float[Tensor, "4 4"]:
        """The whole map, in double precision."""
        rotation = torch.tensor(self.rotation, dtype=torch.float64)
        translation = torch.tensor(self.translation_m, dtype=torch.float64)
        turn_z = torch.tensor([[0, -self.z_turn, 0], [self.z_turn, 0, 0], [0, 0, 1]], dtype=torch.float64)
        turn_x = torch.tensor([[1, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
        turns = turn_x @ turn_z
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] = turns @ rotation.flip(0, 1) * torch.tensor(self.signs, dtype=torch.float64)
        matrix[:3, 3] = turns @ translation.flip(0)
        return matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class AsPublished:
    """The authors' preprocessing where it differs from ours: one camera for all frames, file-order caps, padding.

    Voxels behind the camera stay in view if they project into the image. Voxel centres are a choice of their own,
    ``VxpConfig.stretched_centres``.
    """

    intrinsics: tuple[float, float, float, float]
    """fx, fy, cx, cy in units of image width and height; mirroring leaves cx as it is."""
    affine: SwappedAffine | None = None
    """Map from the LiDAR into the network's frame. None: the rigid transform of each frame's own calibration, which is
    what was published for Oxford."""
    slots: int = 35
    """Points of a voxel: the first in the file, padded with zeros that take part in maxima and batch statistics."""


OXFORD = AsPublished(intrinsics=(0.75377264, 1.00503019, 0.50295939, 0.50459166))
KITTI = AsPublished(
    intrinsics=(0.58141637, 1.9189833, 0.491184, 0.4597181),
    affine=SwappedAffine(
        rotation=(
            (0.000234773604, -0.999944129, -0.0105634776),
            (0.0104494081, 0.0105653538, -0.999889606),
            (0.999945368, 0.000124365346, 0.0104513032),
        ),
        translation_m=(0.0570524492, -0.0754667181, -0.269386924),
        z_turn=1,
    ),
)
VIVID = AsPublished(
    intrinsics=(0.5489086326472639, 0.6869669655135274, 0.5038512880742119, 0.5141183998696747),
    affine=SwappedAffine(
        rotation=(
            (-0.02706162, 0.99963206, -0.00184903),
            (0.01903198, -0.00133414, -0.99981799),
            (-0.99945258, -0.02709189, -0.01898888),
        ),
        translation_m=(-0.38352616, -0.38655251, -0.03873405),
        z_turn=-1,
        signs=(-1.0, -1.0, 1.0),  # the OS1 looks backward
    ),
)
