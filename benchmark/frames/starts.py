"""Where registration starts: rough poses, drawn around the true one or taken from retrieval.

Starts are drawn as CMRNet was published: a translation and three angles, each uniform and independent, in the axes of
the true camera turned to forward, right, down. A draw depends on seed, protocol and frame alone.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from datasets.errors import CrossplaceError, unknown
from datasets.randomness import generator

RETRIEVED = "retrieved"
"""The start at the pose of the frame that a method retrieved."""
FORWARD_FROM_CAMERA = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""From the camera's axes (right, down, forward) to those of the draws (forward, right, down)."""
SLACK = 1e-9
"""A start at the very edge of its range lies in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRange:
    """One line of the table: how far rough poses lie from the true ones."""

    title: str
    forward_m: tuple[float, float]
    right_m: tuple[float, float]
    down_m: tuple[float, float]
    angle_deg: float
    """Largest angle about each of the three axes, to either side."""
    version: int = 1
    """A number that is raised whenever the same seed and frame would give another start."""


STARTS: dict[str, StartRange] = {
    "published": StartRange(
        title="±2 m forward and right, 2 m up to 1 m down, ±10° (CMRNet, first network)",
        forward_m=(-2.0, 2.0),
        right_m=(-2.0, 2.0),
        down_m=(-2.0, 1.0),  # lopsided as published: the released code caps the upper end at 1 m
        angle_deg=10.0,
    ),
    "published-2": StartRange(
        title="±1 m, ±2° (CMRNet, second network)",
        forward_m=(-1.0, 1.0),
        right_m=(-1.0, 1.0),
        down_m=(-1.0, 1.0),
        angle_deg=2.0,
    ),
    "published-3": StartRange(
        title="±0.6 m, ±2° (CMRNet, third network)",
        forward_m=(-0.6, 0.6),
        right_m=(-0.6, 0.6),
        down_m=(-0.6, 0.6),
        angle_deg=2.0,
    ),
}
"""Every start that is drawn, by its name; ``retrieved`` is the one that is not drawn."""
TRAINED = STARTS["published"]
"""The range that registrars are trained for: success within it and beyond it are told apart."""


def check_start(name: str) -> None:
    """Refuse the name of a start that does not exist, with near names."""
    if name not in (*STARTS, RETRIEVED):
        raise CrossplaceError(unknown("start", name, [*STARTS, RETRIEVED]))


def draw_start(name: str, seed: int, frame_id: str) -> Float[ndarray, "4 4"]:
    """``true_from_rough`` of one frame: the rough camera's pose in the true camera's frame, in its axes."""
    from scipy.spatial.transform import Rotation  # here: a list of starts needs none of it

    start = STARTS[name]
    ranges = np.array([start.forward_m, start.right_m, start.down_m, *[(-start.angle_deg, start.angle_deg)] * 3])
    drawn = generator(seed, "start", name, frame_id).uniform(*ranges.T)
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", drawn[3:], degrees=True).as_matrix()  # about fixed axes: Rz Ry Rx
    turned[:3, 3] = drawn[:3]
    return FORWARD_FROM_CAMERA.T @ turned @ FORWARD_FROM_CAMERA


def lies_within(start: StartRange, true_from_rough: Float[ndarray, "n 4 4"]) -> Bool[ndarray, " n"]:
    """Whether poses of rough cameras in the true cameras' frames could have been drawn from this range."""
    from scipy.spatial.transform import Rotation  # here: a list of starts needs none of it

    turned = FORWARD_FROM_CAMERA @ true_from_rough @ FORWARD_FROM_CAMERA.T
    low, high = np.array([start.forward_m, start.right_m, start.down_m]).T
    offset_m = turned[:, :3, 3]
    is_near = ((offset_m >= low - SLACK) & (offset_m <= high + SLACK)).all(axis=1)
    angles = Rotation.from_matrix(turned[:, :3, :3]).as_euler("xyz", degrees=True) if len(turned) else np.empty((0, 3))
    return is_near & (np.abs(angles) <= start.angle_deg + SLACK).all(axis=1)
