"""What a robot's sensors give, as the frames that methods take."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray

from datasets.base import Frame, Traversal
from datasets.errors import CrossplaceError
from datasets.readers import is_return
from methods.batch import Sample


def observation(
    drive: Traversal,
    image: UInt8[ndarray, "h w 3"] | None = None,
    cloud: Float[ndarray, "n c"] | None = None,
    *,
    name: str = "now",
) -> Sample:
    """One image or one cloud, or both, with the calibration of the robot's sensors.

    The image is RGB and undistorted. The cloud is in the axes of the LiDAR in metres; columns after the third are left
    out, and so are points at the origin, which are no returns.

    Raises:
        CrossplaceError: an image of another size than the intrinsics say, or points that are not finite.
    """
    k = drive.intrinsics
    if image is not None and k is not None and image.shape[:2] != (k.height, k.width):
        raise CrossplaceError(
            f"the image has {image.shape[1]}×{image.shape[0]} pixels, and the intrinsics are for {k.width}×{k.height}; "
            "resize the image, or give intrinsics.resized(width, height)"
        )
    points = None
    if cloud is not None:
        lost = int((~np.isfinite(cloud[:, :3])).any(axis=1).sum())
        if lost:
            raise CrossplaceError(f"{lost} of {len(cloud)} points are not finite; leave them out, they are no returns")
        points = np.ascontiguousarray(cloud[:, :3][is_return(cloud)], dtype=np.float32)
    frame = Frame(
        frame_id=name,
        traversal=drive.name,
        world="",
        timestamp_ns=0,
        position_m=(0.0, 0.0, 0.0),
        yaw_rad=0.0,
        image="" if image is None else name,
        cloud="" if cloud is None else name,
        intrinsics=k,
        camera_from_lidar=drive.camera_from_lidar,
        lidar=drive.lidar,
    )
    matrix = drive.camera_from_lidar
    return Sample(
        frame=frame,
        image=None if image is None else torch.from_numpy(image.transpose(2, 0, 1).copy()),
        points=None if points is None else torch.from_numpy(points),
        intrinsics=None if k is None else torch.from_numpy(k.fractions()).float(),
        camera_from_lidar=None if matrix is None else torch.from_numpy(np.asarray(matrix)).float(),
    )
