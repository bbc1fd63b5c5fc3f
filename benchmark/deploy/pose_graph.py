"""Poses in the plane that hold together: steps of odometry, places that were found again, and their best agreement.

The file form is that of g2o (``VERTEX_SE2``, ``FIX``, ``EDGE_SE2`` with the information matrix), which GTSAM and g2o
read. A small solver shows that the edges mean what they say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from datasets.base import Frames
from datasets.errors import CrossplaceError
from datasets.files import read_text, write_atomically
from datasets.places import wrapped_rad

Covariance = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
"""A covariance of poses, row by row: metres forward, metres to the left, radians."""

# --- poses ---------------------------------------------------------------------------------------


def planar(frames: Frames) -> Float[ndarray, "n 3"]:
    """Poses in the plane: east and north in metres, heading in radians."""
    return np.column_stack([frames.position_m[:, :2], frames.yaw_rad])


def relative_poses(start: Float[ndarray, "n 3"], end: Float[ndarray, "n 3"]) -> Float[ndarray, "n 3"]:
    """Where ``end`` is in the frame of ``start``: metres forward, metres to the left, radians within ``[−π, π)``."""
    cos, sin = np.cos(start[:, 2]), np.sin(start[:, 2])
    east, north = (end - start)[:, :2].T
    turned = wrapped_rad(end[:, 2] - start[:, 2])
    return np.column_stack([cos * east + sin * north, cos * north - sin * east, turned])


def chained(start: Sequence[float] | Float[ndarray, "3"], steps: Float[ndarray, "m 3"]) -> Float[ndarray, "n 3"]:
    """Poses of a drive that begins at ``start`` and goes on by ``steps``, each in the frame of the pose before."""
    poses = [np.array(start, dtype=np.float64)]
    for forward, left, turned in steps.tolist():
        east, north, heading = poses[-1].tolist()
        cos, sin = np.cos(heading), np.sin(heading)
        poses.append(
            np.array([east + cos * forward - sin * left, north + sin * forward + cos * left, heading + turned])
        )
    found = np.array(poses)
    found[:, 2] = wrapped_rad(found[:, 2])
    return found


# --- the graph -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One measurement of where a pose is in the frame of another."""

    start: int
    """Row of the pose in whose frame it was measured."""
    end: int
    """Row of the pose that was measured."""
    measured: tuple[float, float, float]
    """Metres forward, metres to the left, radians."""
    covariance: Covariance
    """Covariance of the measurement, positive definite."""
    is_robust: bool = False
    """Whether the measurement may be wrong altogether, so that it counts less the more it disagrees (Cauchy)."""


@dataclass(frozen=True, kw_only=True)
class PoseGraph:
    """Poses in the plane, and what was measured between them."""

    poses: Float[ndarray, "n 3"]
    """East and north in metres, heading in radians."""
    edges: Sequence[Edge]
    is_fixed: Bool[ndarray, " n"]
    """Poses that are known, such as those of a map. At least one must be: measurements between poses move with all."""


def rows_of(matrix: Float[ndarray, "3 3"]) -> Covariance:
    """A covariance as plain numbers."""
    first, second, third = ((forward, left, turned) for forward, left, turned in matrix.tolist())
    return first, second, third


def odometry_edges(
    rows: Int[ndarray, " n"], steps: Float[ndarray, "m 3"], deviation: tuple[float, float, float]
) -> list[Edge]:
    """An edge from each of ``rows`` to the next, with these standard deviations in metres, metres and radians."""
    covariance = rows_of(np.diag(np.square(deviation)))
    pairs = zip(rows[:-1].tolist(), rows[1:].tolist(), steps.tolist(), strict=True)
    return [Edge(start=a, end=b, measured=(x, y, turn), covariance=covariance) for a, b, (x, y, turn) in pairs]


# --- the file ------------------------------------------------------------------------------------


def write_g2o(path: Path, graph: PoseGraph) -> None:
    """Write ``graph`` for g2o, GTSAM and others. The form has no word for measurements that may be wrong altogether."""
    lines = [f"VERTEX_SE2 {i} {_texts(pose)}" for i, pose in enumerate(graph.poses)]
    lines += [f"FIX {i}" for i in np.flatnonzero(graph.is_fixed).tolist()]
    upper = np.triu_indices(3)
    for edge in graph.edges:
        information = np.linalg.inv(np.array(edge.covariance))
        lines.append(f"EDGE_SE2 {edge.start} {edge.end} {_texts(edge.measured)} {_texts(information[upper])}")
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def _texts(numbers: Sequence[float] | Float[ndarray, " n"]) -> str:
    return " ".join(repr(float(number)) for number in numbers)


def read_g2o(path: Path) -> PoseGraph:
    """The graph in a file of :func:`write_g2o`, or in another file with the same three kinds of lines.

    Raises:
        CrossplaceError: a line of another kind, or with other fields; the sentence names it.
    """
    poses: list[list[float]] = []
    fixed: list[int] = []
    edges: list[Edge] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        kind, *fields = line.split() or [""]
        try:
            match kind, [float(field) for field in fields]:
                case "VERTEX_SE2", [vertex, *pose] if vertex == len(poses) and len(pose) == 3:
                    poses.append(pose)
                case "FIX", [vertex] if vertex in range(len(poses)):
                    fixed.append(int(vertex))
                case "EDGE_SE2", [start, end, *rest] if len(rest) == 9 and {start, end} <= {*range(len(poses))}:
                    edges.append(_edge(int(start), int(end), rest))
                case _:
                    raise ValueError
        except (ValueError, np.linalg.LinAlgError) as error:
            raise CrossplaceError(
                f"{path}: line {number}: expected VERTEX_SE2 (numbered from 0), FIX or EDGE_SE2 with the fields "
                "of g2o and an information matrix that can be inverted; take other kinds of lines out"
            ) from error
    is_fixed = np.isin(np.arange(len(poses)), fixed)
    return PoseGraph(poses=np.array(poses).reshape(-1, 3), edges=edges, is_fixed=is_fixed)


def _edge(start: int, end: int, rest: list[float]) -> Edge:
    forward, left, turned, *information = rest
    matrix = np.zeros((3, 3))
    matrix[np.triu_indices(3)] = information
    covariance = rows_of(np.linalg.inv(matrix + np.triu(matrix, 1).T))
    return Edge(start=start, end=end, measured=(forward, left, turned), covariance=covariance)


# --- the solution --------------------------------------------------------------------------------


def solved(graph: PoseGraph) -> Float[ndarray, "n 3"]:
    """The poses that agree best with all edges, by least squares with a sparse Jacobian.

    Robust edges count by Cauchy's function of their whitened length: ``log(1 + |r|²)`` in place of ``|r|²``.

    Raises:
        CrossplaceError: no pose is fixed, or a covariance is not positive definite.
    """
    from scipy.optimize import least_squares  # here: it takes long to import

    if not graph.is_fixed.any():
        raise CrossplaceError(
            "pose graph: no pose is fixed, so that all could move together; fix one, such as the first"
        )
    system, free = _System.of(graph), ~graph.is_fixed
    if not (free.any() and graph.edges):
        return graph.poses.copy()

    def posed(values: Float[ndarray, " k"]) -> Float[ndarray, "n 3"]:
        poses = graph.poses.copy()
        poses[free] = values.reshape(-1, 3)
        return poses

    columns = np.repeat(free, 3)
    done = least_squares(
        lambda values: system.residuals(posed(values)),
        graph.poses[free].ravel(),
        jac=lambda values: system.jacobian(posed(values))[:, columns],
        x_scale="jac",
        tr_solver="lsmr",
    )
    poses = posed(done.x)
    poses[:, 2] = wrapped_rad(poses[:, 2])
    return poses


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    """The edges as arrays, and how far poses are from agreeing with them."""

    start: Int[ndarray, " m"]
    end: Int[ndarray, " m"]
    measured: Float[ndarray, "m 3"]
    whitening: Float[ndarray, "m 3 3"]
    """Matrices that turn an error into one whose squared length is that of Mahalanobis."""
    is_robust: Bool[ndarray, " m"]

    @classmethod
    def of(cls, graph: PoseGraph) -> "_System":
        edges = graph.edges
        covariance = np.array([edge.covariance for edge in edges]).reshape(-1, 3, 3)
        try:
            whitening = np.linalg.inv(np.linalg.cholesky(covariance))
        except np.linalg.LinAlgError as error:
            raise CrossplaceError(
                "pose graph: the covariance of an edge is not positive definite; give each edge a symmetric matrix "
                "with variances above zero"
            ) from error
        return cls(
            start=np.array([edge.start for edge in edges], dtype=np.int64),
            end=np.array([edge.end for edge in edges], dtype=np.int64),
            measured=np.array([edge.measured for edge in edges]).reshape(-1, 3),
            whitening=whitening,
            is_robust=np.array([edge.is_robust for edge in edges], dtype=bool),
        )

    def residuals(self, poses: Float[ndarray, "n 3"]) -> Float[ndarray, " r"]:
        """Whitened errors, three an edge; those of robust edges are shortened."""
        white = self._white(poses)
        scale, _ = _shortening(white, self.is_robust)
        return (scale[:, None] * white).ravel()

    def jacobian(self, poses: Float[ndarray, "n 3"]) -> Any:
        """Derivatives of the residuals by all poses, sparse."""
        from scipy.sparse import csr_matrix

        white = self._white(poses)
        scale, slope = _shortening(white, self.is_robust)
        outer = white[:, :, None] * white[:, None, :]
        shortened = scale[:, None, None] * np.eye(3) + 2 * slope[:, None, None] * outer
        rotation = _rotations(poses[self.start, 2])
        offset = (poses[self.end] - poses[self.start])[:, :2]
        by_start, by_end = np.zeros((2, len(self.start), 3, 3))
        by_start[:, :2, :2], by_end[:, :2, :2] = -rotation, rotation
        by_start[:, :2, 2] = np.einsum("mij,mj->mi", _rotations(poses[self.start, 2], slope=True), offset)
        by_start[:, 2, 2], by_end[:, 2, 2] = -1, 1
        blocks = np.stack([shortened @ self.whitening @ part for part in (by_start, by_end)], axis=1)
        rows = 3 * np.arange(len(self.start))[:, None, None, None] + np.arange(3)[:, None]
        pairs = np.stack([self.start, self.end], axis=1)[:, :, None, None]
        columns = 3 * pairs + np.arange(3)
        shape = (3 * len(self.start), 3 * len(poses))
        places = [np.broadcast_to(part, blocks.shape).ravel() for part in (rows, columns)]
        return csr_matrix((blocks.ravel(), tuple(places)), shape=shape)

    def _white(self, poses: Float[ndarray, "n 3"]) -> Float[ndarray, "m 3"]:
        error = relative_poses(poses[self.start], poses[self.end]) - self.measured
        error[:, 2] = wrapped_rad(error[:, 2])
        return np.einsum("mij,mj->mi", self.whitening, error)


def _rotations(heading_rad: Float[ndarray, " m"], *, slope: bool = False) -> Float[ndarray, "m 2 2"]:
    """Rotations from the world into frames with these headings, or their derivatives by the heading."""
    cos, sin = np.cos(heading_rad), np.sin(heading_rad)
    rows = [[-sin, cos], [-cos, -sin]] if slope else [[cos, sin], [-sin, cos]]
    return np.array(rows).transpose(2, 0, 1)


def _shortening(
    white: Float[ndarray, "m 3"], is_robust: Bool[ndarray, " m"]
) -> tuple[Float[ndarray, " m"], Float[ndarray, " m"]]:
    """Factors that make ``|r|²`` of robust edges ``log(1 + |r|²)``, and their derivatives by ``|r|²``."""
    square = np.where(is_robust, (white**2).sum(1), 0.0)
    is_small = square < 1e-4  # here the series is exact to rounding, and the quotient is not
    safe = np.where(is_small, 1.0, square)
    factor = np.where(is_small, 1 - square / 4 + 13 * square**2 / 96, np.sqrt(np.log1p(safe) / safe))
    slope = np.where(is_small, -1 / 4 + 13 * square / 48, (1 / (1 + safe) - factor**2) / (2 * factor * safe))
    return factor, np.where(is_robust, slope, 0.0)
