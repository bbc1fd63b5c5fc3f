"""Rigid transforms between frames of reference, how they stand in JSON (four rows of four numbers), and angles."""

from typing import Annotated, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import PlainSerializer, PlainValidator

from datasets.errors import CrossplaceError

WORLD_FROM_FIRST_CAMERA = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""The first camera turned to x forward: east is its z axis, north its -x axis, up its -y axis."""
NOT_RIGID = "not a rigid 4×4 transform"


def angle_rad(y: Float[ndarray, " n"], x: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Angles of the vectors (x, y) from the x axis, counter-clockwise, within [−π, π]; the same bits every time.

    numpy takes its fast arctan2 unless the result lies close behind the inputs in memory, and then one with other last
    bits. A view of a column reaches to the end of its whole array, so that the heap decides; copies do not.
    """
    return np.arctan2(np.ascontiguousarray(y), np.ascontiguousarray(x))


def is_rigid(matrix: Float[ndarray, "..."]) -> bool:
    """Whether ``matrix`` is 4×4 and finite, its rotation orthonormal to 1e-3 with determinant +1."""
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or (matrix[3] != [0, 0, 0, 1]).any():
        return False
    rotation = matrix[:3, :3]
    return np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and bool(np.linalg.det(rotation) > 0)


def check_rigid(matrix: Float[ndarray, "..."], where: str) -> Float[ndarray, "4 4"]:
    """``matrix`` itself if it is a rigid transform; raises :class:`CrossplaceError` naming ``where`` it stands."""
    if not is_rigid(matrix):
        raise CrossplaceError(f"{where}: camera_from_lidar is {NOT_RIGID}")
    return matrix


def _from_rows(rows: Any) -> ndarray:
    try:
        matrix = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):  # rows of different lengths, or no numbers
        matrix = np.empty(0)
    if not is_rigid(matrix):
        raise ValueError(f"{NOT_RIGID} (four rows of four numbers, the last 0, 0, 0, 1)")
    return matrix


def _to_rows(matrix: Any) -> list[list[float]]:
    rows: list[list[float]] = matrix.tolist()
    return rows


RigidTransform = Annotated[Float[ndarray, "4 4"], PlainValidator(_from_rows), PlainSerializer(_to_rows)]
"""A rigid transform as an array, which files hold as rows."""
