"""Registration without learning: edges of the map are laid on edges of the image.

What a user would try first. Depth edges of the map at the rough pose are moved until they lie on strong gradients of
the image, by robust least squares on a distance transform. A search over turns to the side comes first.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from torch import Tensor

from datasets.errors import CrossplaceError
from methods.base import ImageInput, MethodConfig, Variant
from methods.card import MethodCard
from methods.layers.poses import applied, inverse
from methods.layers.visibility import drawn_depth
from methods.registration import Registered, Registrar, RegistrationBatch, belief_of

_LEAST_DEPTH_M = 0.5
"""Depth below which a moved point does not count, metres."""


@dataclass(frozen=True, kw_only=True)
class EdgePnpConfig(MethodConfig):
    """What counts as an edge, and how far poses may move. There is no paper, so all values are this suite's choices."""

    image: ImageInput = ImageInput(height=120, width=160, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    """Size at which edges are compared."""
    max_depth_m: float = 50.0
    """Points further away are not drawn, metres."""
    strongest: float = 0.12
    """Share of the image's pixels that are edges: those with the strongest gradient."""
    jump: float = 0.15
    """Smallest step of depth between neighbours that makes the nearer one an edge, as a share of its depth."""
    most_edges: int = 600
    """Most edge points of the map, evenly chosen."""
    reach_px: float = 12.0
    """Distance from an edge of the image beyond which all distances count alike, pixels."""
    turns_deg: tuple[float, ...] = (-9.0, -6.0, -3.0, 0.0, 3.0, 6.0, 9.0)
    """Turns to the side that are tried first, degrees."""
    iterations: int = 2
    """How often edges are drawn anew at the pose that was found."""
    prior_m: float = 0.3
    """Expected size of the correction along each axis, metres."""
    prior_deg: float = 6.0
    """Expected size of the correction about each axis, degrees."""
    sigma_px: float = 60.0
    """Spread of an edge's distance as the solve counts it: large, as neighbouring edges err together."""
    inflation: tuple[float, float] = (5.0, 2.0)
    """Factors of the standard deviations of position and of orientation that a pose is returned with, so that errors on
    the town's validation drives are as large as stated."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most_edges < 1 or self.iterations < 1:
            raise CrossplaceError(
                f"most_edges {self.most_edges} and iterations {self.iterations}: expected 1 or more of each"
            )


class _Scene(NamedTuple):
    """What one solve looks at."""

    distance_px: Float[ndarray, "h w"]
    """Distance of each pixel from the nearest edge of the image, cut at the reach."""
    k: Float[ndarray, "4"]
    points: Float[ndarray, "n 3"]
    """Edge points of the map in the frame of the camera from which they were drawn."""


class EdgePnp(Registrar):
    """Depth edges of the map on gradients of the image: a training-free floor."""

    card = MethodCard(
        name="pnp",
        title="Edges of the map on edges of the image",
        paper="none: a training-free floor of this suite",
        venue="none",
        year=2026,
        code="this repository",
        code_licence="MIT",
        modalities="image, cloud",
        trained_on="nothing",
        pretrained="nothing",
        sources="common parts: distance transform, robust least squares (scipy)",
    )
    presets = {"quick": EdgePnpConfig()}
    variants = {
        "no-search": Variant(
            question="Does a search over turns help?",
            change=lambda config: replace(config, turns_deg=(0.0,)),
        ),
    }
    is_trainable = False

    def __init__(self, config: EdgePnpConfig | None = None) -> None:
        super().__init__()
        self.config: EdgePnpConfig = config or EdgePnpConfig()

    def register(self, batch: RegistrationBatch) -> Registered:
        """Poses by the best of the turns that were tried; the rough pose where the map has no edge."""
        found = [self._registered(batch.only(number)) for number in range(len(batch))]
        like = batch.rough_map_from_camera
        covariance = torch.from_numpy(np.stack([c for _, c in found])).to(like)
        poses = torch.from_numpy(np.stack([pose for pose, _ in found])).to(like)
        return Registered(map_from_camera=poses, covariance=covariance, belief=belief_of(covariance))

    def _registered(self, one: RegistrationBatch) -> tuple[Float[ndarray, "4 4"], Float[ndarray, "6 6"]]:
        """``map_from_camera`` of one frame and its covariance."""
        c = self.config
        pose = one.rough_map_from_camera[0].double().cpu().numpy()
        distance_px = self._distances(one)
        k = one.intrinsics[0].double().cpu().numpy() * np.array([c.image.width, c.image.height] * 2)
        information = np.diag(self._prior)
        for number in range(c.iterations):
            depth_m = self._depth(one.points[0], pose, k)
            points = edge_points(depth_m, k, c.jump, c.most_edges)
            scene = _Scene(distance_px, k, points)
            turns = c.turns_deg if number == 0 else (0.0,)
            step, information = min((self._solved(scene, turn) for turn in turns), key=_cost)
            pose = pose @ np.linalg.inv(_rigid(step.x))
        spread = np.repeat(c.inflation, 3)
        return pose, np.linalg.inv(information) * spread[:, None] * spread

    @property
    def _prior(self) -> Float[ndarray, "6"]:
        """Inverse variance of translation and rotation."""
        return np.array([self.config.prior_m**-2] * 3 + [math.radians(self.config.prior_deg) ** -2] * 3)

    def _distances(self, one: RegistrationBatch) -> Float[ndarray, "h w"]:
        """Distance of each pixel of the image from its nearest edge."""
        grey = self.config.image(one.images)[0].mean(0).double().cpu().numpy()
        smooth = ndimage.gaussian_filter(grey, 1.0)
        strength = np.hypot(ndimage.sobel(smooth, axis=0), ndimage.sobel(smooth, axis=1))
        is_edge = (strength >= np.quantile(strength, 1 - self.config.strongest)) & (strength > 0)
        if not is_edge.any():
            return np.full(grey.shape, self.config.reach_px)
        distance = ndimage.distance_transform_edt(~is_edge)
        return np.asarray(np.minimum(distance, self.config.reach_px))

    def _depth(
        self, points: Float[Tensor, "n 3"], pose: Float[ndarray, "4 4"], k: Float[ndarray, "4"]
    ) -> Float[ndarray, "h w"]:
        """The map as it looks from a pose."""
        height, width = self.config.image.size
        map_from_camera = torch.from_numpy(pose).to(points)
        seen = applied(inverse(map_from_camera[None])[0], points)
        pixel_intrinsics = torch.from_numpy(k).to(points)
        return drawn_depth(seen, pixel_intrinsics, height, width, self.config.max_depth_m).double().cpu().numpy()

    def _solved(self, scene: _Scene, turn_deg: float) -> tuple["_Step", Float[ndarray, "6 6"]]:
        """The best motion near a turn to the side, and its information."""
        c, sigma = self.config, 1 / np.sqrt(self._prior)

        def residuals(x: Float[ndarray, "6"]) -> Float[ndarray, " m"]:
            return np.concatenate([_distances_at(scene, x, c.reach_px) / c.sigma_px, x / sigma])

        start = np.array([0.0, 0.0, 0.0, 0.0, math.radians(turn_deg), 0.0])
        found = least_squares(residuals, start, loss="soft_l1", x_scale=sigma, diff_step=1e-3, max_nfev=25)
        return _Step(found.x, float(found.cost)), found.jac.T @ found.jac


class _Step(NamedTuple):
    """A motion of the camera and what is left of the distances."""

    x: Float[ndarray, "6"]
    cost: float


def _cost(found: tuple[_Step, ndarray]) -> float:
    return found[0].cost


def edge_points(
    depth_m: Float[ndarray, "h w"], k: Float[ndarray, "4"], jump: float, most: int
) -> Float[ndarray, "n 3"]:
    """Points (right, down, forward, metres) of pixels that stand clearly before a neighbour, or before nothing.

    A pixel counts if one of its four neighbours is deeper by the share ``jump``, or if all is empty for three pixels in
    one of the four directions. Pixels at the border of the image do not count. At most ``most``, evenly chosen.
    """
    is_there = depth_m > 0
    is_edge = np.zeros_like(is_there)
    for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
        beside = [_shifted(depth_m, axis, sign * step) for step in (1, 2, 3)]
        is_edge |= (beside[0] > depth_m * (1 + jump)) | np.all([b == 0 for b in beside], axis=0)
    inside = np.zeros_like(is_there)
    inside[3:-3, 3:-3] = True
    rows, columns = np.nonzero(is_there & is_edge & inside)
    some = np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)
    rows, columns = rows[some], columns[some]
    z = depth_m[rows, columns]
    return np.stack([(columns + 0.5 - k[2]) / k[0] * z, (rows + 0.5 - k[3]) / k[1] * z, z], axis=1)


def _shifted(image: Float[ndarray, "h w"], axis: int, step: int) -> Float[ndarray, "h w"]:
    """What stands so many pixels further along an axis; what comes from outside is wrapped, and is at the border."""
    return np.roll(image, -step, axis=axis)


def _distances_at(scene: _Scene, x: Float[ndarray, "6"], reach_px: float) -> Float[ndarray, " n"]:
    """Distance from an edge of the image at each moved point; the reach outside of the image."""
    moved = scene.points @ Rotation.from_rotvec(x[3:]).as_matrix().T + x[:3]
    depth_m = np.maximum(moved[:, 2], _LEAST_DEPTH_M)
    fx, fy, cx, cy = scene.k
    column, row = fx * moved[:, 0] / depth_m + cx - 0.5, fy * moved[:, 1] / depth_m + cy - 0.5
    found = ndimage.map_coordinates(scene.distance_px, [row, column], order=1, mode="constant", cval=reach_px)
    is_behind: Bool[ndarray, " n"] = moved[:, 2] < _LEAST_DEPTH_M
    return np.where(is_behind, reach_px, found)


def _rigid(x: Float[ndarray, "6"]) -> Float[ndarray, "4 4"]:
    """``true_from_rough``: a turn by the rotation vector, then a shift."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = Rotation.from_rotvec(x[3:]).as_matrix(), x[:3]
    return matrix
