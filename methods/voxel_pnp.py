"""Registration by learnt correspondences: voxels of the map and cells of the image that VXP's local stage makes alike.

VXP (Li et al., 3DV 2025) teaches each voxel the feature of the pixel that it projects to. Here these features name
places of the image for voxels of a map, and PnP in RANSAC finds the camera. So the registrar says whether the local
stage knows more than which place it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from datasets.base import Split
from datasets.errors import CrossplaceError, install
from methods.base import MethodConfig, Stage, Variant
from methods.batch import Batch, Clouds
from methods.card import MethodCard
from methods.layers.pose_solve import inflated_covariance, solve_motion
from methods.layers.poses import Rigid, composed, inverse, rigid_again
from methods.registration import Registered, Registrar, RegistrationBatch, belief_of
from methods.vxp import Vxp
from methods.vxp.config import PRESETS, VxpConfig
from methods.vxp.stages import LocalStage, TeacherStage

_LEAST_MATCHES = 6
"""Matches that must agree: fewer fit some pose by themselves."""


@dataclass(frozen=True, kw_only=True)
class VoxelPnpConfig(VxpConfig):
    """VXP's configuration, and how a pose is found from its features. Cells are those of the image's feature map."""

    reach_cells: float = 1.5
    """Distance from the cell that a voxel was matched with, up to which a pose explains the match."""
    trials: int = 2000
    """Most poses that RANSAC tries."""
    confidence: float = 0.999
    """Probability of a right pose at which RANSAC may stop."""
    sigma_cells: float = 1.0
    """Standard deviation of a right match along each axis."""
    prior_m: float = 1.0
    """Expected size of the correction along each axis, metres."""
    prior_deg: float = 6.0
    """Expected size of the correction about each axis, degrees."""
    inflation: tuple[float, float] = (1.5, 1.7)
    """Factors of the standard deviations of position and of orientation that a pose is returned with, so that errors on
    the town's validation drives are as large as stated."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.as_published is not None:
            raise CrossplaceError(
                "voxel_pnp sees the map from its rough pose, but presets published-* see it from a fixed camera; "
                "choose another preset of vxp"
            )
        positive = {
            name: getattr(self, name) for name in ("reach_cells", "trials", "sigma_cells", "prior_m", "prior_deg")
        }
        if wrong := [f"{name} {value}" for name, value in positive.items() if not value > 0]:
            raise CrossplaceError(f"{wrong[0]}: expected more than 0; leave it out, or give a larger number")
        if not 0 < self.confidence < 1:
            raise CrossplaceError(f"confidence {self.confidence}: expected a number between 0 and 1, such as 0.999")


_OF_POSES = tuple(f.name for f in fields(VoxelPnpConfig) if f.name not in {v.name for v in fields(VxpConfig)})
"""Fields that no training depends on."""


def _of(config: MethodConfig) -> VoxelPnpConfig:
    """A configuration of VXP with the settings of poses."""
    return VoxelPnpConfig(**{f.name: getattr(config, f.name) for f in fields(config)})


class VoxelPnp(Registrar):
    """Voxels matched with cells of the image by VXP's features, PnP in RANSAC, and a robust solve with a prior."""

    card = MethodCard(
        name="voxel_pnp",
        title="PnP from VXP's voxel and pixel features",
        paper="none: a use of VXP (arXiv 2403.14594) by this suite",
        venue="none",
        year=2026,
        code="this repository",
        code_licence="MIT",
        modalities="image, cloud",
        trained_on="nothing yet",
        pretrained="DINO ViT-S/8 (images)",
        sources="paper of VXP for the features; PnP and RANSAC by OpenCV",
        deviations="the local stage learns on local maps (published: single sweeps); there is no global stage",
    )
    presets = {"quick": _of(PRESETS["quick"]), "pretrained": _of(PRESETS["pretrained"]), "gpu": _of(PRESETS["gpu"])}
    variants = {
        "local-8": Variant(
            question="Does a longer local stage know more of where things are?",
            change=lambda config: replace(config, local_stage=config.local_stage.shortened(8.0)),
        ),
    }

    def __init__(self, config: VoxelPnpConfig | None = None) -> None:
        super().__init__()
        self.config: VoxelPnpConfig = config or VoxelPnpConfig()
        self.vxp = Vxp(self.config)

    def stages(self, split: Split) -> Sequence[Stage]:
        """VXP's teacher and its local stage."""
        stages: list[Stage] = [TeacherStage(self.vxp, split), LocalStage(self.vxp, split)]
        for stage in stages:
            stage.ignores = (*stage.ignores, *_OF_POSES)
        return [stage for stage in stages if stage.recipe.epochs]

    def register(self, batch: RegistrationBatch) -> Registered:
        """The poses that explain most matches; the rough poses where no six matches agree."""
        opencv, found = import_opencv(), [matches(self.vxp, batch.only(number)) for number in range(len(batch))]
        rows, columns = self.vxp.image_branch.backbone.map_size
        camera = batch.intrinsics * batch.intrinsics.new_tensor([columns, rows, columns, rows])
        kept = [m.only(explained(opencv, m, k, self.config)) for m, k in zip(found, camera, strict=True)]
        motion, covariance = zip(*map(self._solved, kept, camera), strict=True)
        pose = rigid_again(composed(batch.rough_map_from_camera, inverse(torch.cat(motion))))
        spread = torch.cat(covariance)
        return Registered(map_from_camera=pose, covariance=spread, belief=belief_of(spread))

    def _solved(self, kept: "Matches", camera: Float[Tensor, "4"]) -> tuple[Rigid, Float[Tensor, "1 6 6"]]:
        """``true_from_rough`` of a camera by the matches that are explained together, and its covariance."""
        c = self.config
        weight = kept.cell.new_full((1, len(kept.cell)), c.sigma_cells**-2)
        prior = kept.cell.new_tensor([c.prior_m] * 3 + [math.radians(c.prior_deg)] * 3) ** -2
        solved = solve_motion(kept.points[None], kept.cell[None], weight, camera[None], prior)
        return solved.target_from_source, inflated_covariance(solved.information, c.inflation)


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Voxels of a map, and the cells of the image that look like them."""

    points: Float[Tensor, "n 3"]
    """Centres of voxels in the axes of the rough camera (right, down, forward), metres."""
    cell: Float[Tensor, "n 2"]
    """Column and row of the middle of the cell, in cells."""

    def only(self, rows: Bool[Tensor, " n"]) -> "Matches":
        """Some of the matches."""
        return Matches(points=self.points[rows], cell=self.cell[rows])


@torch.no_grad()
def matches(vxp: Vxp, one: RegistrationBatch) -> Matches:
    """Pairs of a voxel and a cell of which each is most like the other, of one frame seen from its rough pose."""
    cells: Float[Tensor, "1 c h w"] = vxp.image_branch.backbone(vxp.image_inputs(seen_roughly(one)))
    seen = vxp.cloud_branch.in_view(vxp.cloud_inputs(seen_roughly(one)))
    if not len(seen.features):
        return Matches(points=cells.new_zeros(0, 3), cell=cells.new_zeros(0, 2))
    voxel, cell = most_alike(seen.features, cells[0].flatten(1).T)
    fx, fy, cx, cy = one.intrinsics[0]
    uv, depth_m = seen.uv[voxel], seen.depth_m[voxel]
    points = torch.stack([(uv[:, 0] - cx) / fx * depth_m, (uv[:, 1] - cy) / fy * depth_m, depth_m], dim=1)
    columns = cells.shape[3]
    middle = torch.stack([cell % columns, cell // columns], dim=1) + 0.5
    return Matches(points=points, cell=middle.to(points))


def seen_roughly(one: RegistrationBatch) -> Batch:
    """The batch of a place-recognition method: the map is the cloud, the rough camera is the camera."""
    points = torch.cat(one.points)
    index = torch.repeat_interleave(torch.tensor([len(p) for p in one.points], device=points.device))
    return Batch(
        frames=one.frames,
        images=one.images,
        clouds=Clouds(points=points, batch_index=index, lidars=tuple(f.lidar for f in one.frames)),
        intrinsics=one.intrinsics,
        camera_from_lidar=inverse(one.rough_map_from_camera),
    )


def most_alike(a: Float[Tensor, "n c"], b: Float[Tensor, "m c"]) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
    """Rows of ``a`` and of ``b`` that are each other's most alike by the cosine."""
    alike = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T
    of_a, of_b = alike.argmax(1), alike.argmax(0)
    rows = (of_b[of_a] == torch.arange(len(a), device=a.device)).nonzero()[:, 0]
    return rows, of_a[rows]


def explained(opencv: ModuleType, found: Matches, camera: Float[Tensor, "4"], config: VoxelPnpConfig) -> Tensor:
    """Which matches the best pose of RANSAC explains; none of them if fewer than six agree."""
    nothing = torch.zeros(len(found.cell), dtype=torch.bool, device=found.cell.device)
    if len(found.cell) < _LEAST_MATCHES:
        return nothing
    fx, fy, cx, cy = camera.double().tolist()
    points, cell = (side.double().cpu().numpy() for side in (found.points, found.cell))
    is_found, _, _, inliers = opencv.solvePnPRansac(
        points,
        cell,
        np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        None,
        iterationsCount=config.trials,
        reprojectionError=config.reach_cells,
        confidence=config.confidence,
        flags=opencv.SOLVEPNP_EPNP,
    )
    if not is_found or inliers is None or len(inliers) < _LEAST_MATCHES:
        return nothing
    kept: Bool[ndarray, " n"] = np.zeros(len(cell), dtype=bool)
    kept[inliers[:, 0]] = True
    return torch.from_numpy(kept).to(nothing.device)


def import_opencv() -> ModuleType:
    """The package cv2, or the sentence that says how to get it."""
    try:
        import cv2
    except ImportError as error:
        raise CrossplaceError(
            "voxel_pnp needs OpenCV, which is not installed; choose another registrar (crossplace list registrars), or "
            f"install it: {install('pnp')}"
        ) from error
    module: ModuleType = cv2
    return module
