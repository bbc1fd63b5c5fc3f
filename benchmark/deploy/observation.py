"""What a robot's sensors give, as the frames that methods take."""

import numpy as np
import torch
from numpy import ndarray

from datasets.base import Frame, Traversal
from datasets.errors import CrossplaceError
from datasets.readers import is_return
from methods.batch import Sample

MOST_COLUMNS = 32
"""A cloud has no more of them: such an array is one of columns by points."""


def observation(
    drive: Traversal,
    image: ndarray | None = None,
    cloud: ndarray | None = None,
    *,
    name: str = "now",
) -> Sample:
    """One image or one cloud, or both, with the calibration of the robot's sensors.

    The image is RGB and undistorted: (height, width, 3) bytes. The cloud is (points, 3 or more), in metres, in the axes
    of the LiDAR. Columns after the third are left out, and so are points at the origin, which are no returns.

    Raises:
        CrossplaceError: an array of another shape or type, an image of another size than the intrinsics say, or points
            that are not finite.
    """
    k = drive.intrinsics
    _check_arrays(image, cloud)
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


def _check_arrays(image: ndarray | None, cloud: ndarray | None) -> None:
    if image is not None and (image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8):
        raise CrossplaceError(
            f"the image is {image.shape} of {image.dtype}; expected (height, width, 3) of uint8, RGB from 0 to 255"
        )
    if cloud is not None and (cloud.ndim != 2 or not 3 <= cloud.shape[1] <= MOST_COLUMNS):
        raise CrossplaceError(f"the cloud is {cloud.shape}; expected (points, 3 or more columns), x, y, z first")
