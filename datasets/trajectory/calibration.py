"""Calibration of a person's sensors, from a small YAML file."""

import difflib
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from jaxtyping import Float
from numpy import ndarray
from pydantic import BaseModel, PositiveFloat, ValidationError, model_validator

from datasets.base import BinLayout, Count, Intrinsics, Lidar
from datasets.errors import CrossplaceError
from datasets.files import STRICT, first_fault, read_text
from datasets.transforms import RigidTransform

EXAMPLE = "docs/your-data.md shows one"


class Camera(BaseModel):
    """A pinhole camera, in pixels of the stored, undistorted images."""

    model_config = STRICT

    width: Count
    height: Count
    fx: PositiveFloat
    fy: PositiveFloat
    cx: float
    cy: float
    zero: Literal["centre", "edge"] = "centre"
    """Where coordinate 0 is on the first pixel; OpenCV, ROS and Kalibr put it at the centre."""

    def intrinsics(self) -> Intrinsics:
        """The same camera with 0 at the edge of the first pixel."""
        shift = 0.5 if self.zero == "centre" else 0.0
        return Intrinsics(
            fx=self.fx, fy=self.fy, cx=self.cx + shift, cy=self.cy + shift, width=self.width, height=self.height
        )


class Calibration(BaseModel):
    """Content of the file. Of a transform and its inverse, at most one is given."""

    model_config = STRICT

    trajectory_of: Literal["lidar", "camera", "body"]
    """The sensor whose poses the trajectory holds."""
    world_axes: Literal["z_up", "camera"] = "z_up"
    """Axes of the trajectory's world: z up, or as KITTI's poses those of a camera (x right, y down, z forward)."""
    georeferenced: bool = False
    """Whether x and y of the world are east and north of the earth."""
    camera: Camera | None = None
    camera_from_lidar: RigidTransform | None = None
    lidar_from_camera: RigidTransform | None = None
    lidar_from_body: RigidTransform | None = None
    body_from_lidar: RigidTransform | None = None
    lidar: Lidar | None = None
    bin_layout: BinLayout | None = None

    @model_validator(mode="after")
    def _check(self) -> "Calibration":
        for one, other in (("camera_from_lidar", "lidar_from_camera"), ("lidar_from_body", "body_from_lidar")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"{one} and {other} are each other's inverse; expected one of them")
        if self.trajectory_of != "lidar" and self.sensor_from_lidar() is None:
            sensor = self.trajectory_of
            raise ValueError(f"trajectory_of is {sensor}: expected {sensor}_from_lidar or lidar_from_{sensor}")
        return self

    def matrix_of_camera(self) -> Float[ndarray, "4 4"] | None:
        """``camera_from_lidar``, whichever of the two is given."""
        return _either(self.camera_from_lidar, self.lidar_from_camera)

    def sensor_from_lidar(self) -> Float[ndarray, "4 4"] | None:
        """From the axes of the LiDAR to those of the sensor whose trajectory it is; None if that is not known."""
        if self.trajectory_of == "lidar":
            return np.eye(4)
        if self.trajectory_of == "camera":
            return self.matrix_of_camera()
        return _either(self.body_from_lidar, self.lidar_from_body)


def _either(matrix: ndarray | None, inverse: ndarray | None) -> Float[ndarray, "4 4"] | None:
    return np.linalg.inv(inverse) if matrix is None and inverse is not None else matrix


def _near(error: ValidationError) -> str:
    """The keys that are near an unknown one at the top of the file, or all that there are; else nothing."""
    first = error.errors(include_url=False)[0]
    if first["type"] != "extra_forbidden" or len(first["loc"]) != 1:
        return ""
    known = [*Calibration.model_fields]
    near = difflib.get_close_matches(str(first["loc"][0]), known, n=2)
    return f" (did you mean {' or '.join(near)}?)" if near else f" (the keys are {', '.join(known)})"


def read_calibration(path: Path) -> Calibration:
    """The calibration in ``path``; raises :class:`CrossplaceError` that names file, place and fault."""
    try:
        content = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise CrossplaceError(f"{path}: not valid YAML{place}; correct it ({EXAMPLE})") from error
    if not isinstance(content, dict):
        raise CrossplaceError(f"{path}: expected keys with values, such as trajectory_of: lidar ({EXAMPLE})")
    try:
        return Calibration.model_validate(content)
    except ValidationError as error:
        raise CrossplaceError(f"{path}: {first_fault(error)}{_near(error)}; correct it ({EXAMPLE})") from error
