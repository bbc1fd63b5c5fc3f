import math

import pytest
import torch
from torch import Tensor

from methods.layers.projection import image_cells, network_from_lidar, project, stretched_voxel_centres
from methods.layers.voxels import VoxelGrid
from methods.vxp import published
from methods.vxp.config import PRESETS, VxpConfig
from methods.vxp.published import AsPublished, SwappedAffine

PUBLISHED = {"oxford": published.OXFORD, "kitti": published.KITTI, "vivid": published.VIVID}


def affine_of(name: str) -> SwappedAffine:
    affine = PUBLISHED[name].affine
    assert affine is not None
    return affine


def intended(affine: SwappedAffine) -> Tensor:
    """The plain way from the LiDAR over the camera into the network frame."""
    camera_from_lidar = torch.eye(4, dtype=torch.float64)
    camera_from_lidar[:3, :3] = torch.tensor(affine.rotation, dtype=torch.float64) * torch.tensor(affine.signs)
    camera_from_lidar[:3, 3] = torch.tensor(affine.translation_m, dtype=torch.float64)
    return network_from_lidar(camera_from_lidar[None])[0]


@pytest.mark.parametrize(
    ("name", "effective_m", "intended_m", "angle_deg"),
    [
        ("kitti", (0.0755, -0.0571, -0.2694), (-0.2694, -0.0571, 0.0755), 1.48),
        ("vivid", (-0.3866, 0.3835, 0.0387), (-0.0387, 0.3835, 0.3866), 3.00),
    ],
)
def test_the_published_affine_is_off_as_measured_on_the_authors_code(
    name: str, effective_m: tuple[float, ...], intended_m: tuple[float, ...], angle_deg: float
) -> None:
    found, plain = affine_of(name).network_from_lidar(), intended(affine_of(name))
    assert found[:3, 3].tolist() == pytest.approx(effective_m, abs=5e-5)
    assert plain[:3, 3].tolist() == pytest.approx(intended_m, abs=5e-5)
    turn = found[:3, :3] @ plain[:3, :3].T
    assert math.degrees(math.acos((float(turn.trace()) - 1) / 2)) == pytest.approx(angle_deg, abs=5e-3)
    assert float((found[:3, 3] - plain[:3, 3]).norm()) == pytest.approx(0.49, abs=5e-3)
    assert float(torch.linalg.det(found[:3, :3])) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["kitti", "vivid"])
def test_the_published_affine_leaves_ahead_ahead(name: str) -> None:
    ahead = affine_of(name).network_from_lidar()[:3, :3] @ torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    assert ahead.tolist() == pytest.approx([1, 0, 0], abs=0.06)


@pytest.mark.parametrize(("name", "z_turn"), [("kitti", 1), ("vivid", -1)])
def test_the_published_affine_point_by_point(name: str, z_turn: int) -> None:
    affine = affine_of(name)
    for point in ([12.0, -3.0, 1.0], [-4.0, 0.5, 2.0]):
        z, y, x = (s * p for s, p in zip(affine.signs, point, strict=True))  # reversed
        moved = [
            sum(r * p for r, p in zip(row, (x, y, z), strict=True)) + t
            for row, t in zip(affine.rotation, affine.translation_m, strict=True)
        ][::-1]
        turned = [-z_turn * moved[1], z_turn * moved[0], moved[2]]  # a quarter turn about z
        turned = [turned[0], -turned[2], turned[1]]  # a quarter turn about x
        matrix = affine.network_from_lidar()
        found = matrix[:3, :3] @ torch.tensor(point, dtype=torch.float64) + matrix[:3, 3]
        assert found.tolist() == pytest.approx(turned, abs=1e-9)


@pytest.mark.parametrize(("dtype"), [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("name", "n_in_view", "n_cells"), [("oxford", 11_166, 651), ("kitti", 7_372, 740), ("vivid", 14_239, 634)]
)
def test_as_many_voxels_and_cells_are_reachable_as_in_the_authors_code(
    name: str, n_in_view: int, n_cells: int, dtype: torch.dtype
) -> None:
    indices = torch.cartesian_prod(torch.tensor([0]), *(torch.arange(28) for _ in range(3)))
    centres = stretched_voxel_centres(indices, VoxelGrid(), (28, 28, 28)).to(dtype)
    intrinsics = torch.tensor([PUBLISHED[name].intrinsics], dtype=dtype)
    uv, depth_m, in_view = project(centres, indices[:, 0], intrinsics, either_side=True)
    assert int(in_view.sum()) == n_in_view
    assert len(image_cells(uv[in_view], 28, 28).unique(dim=0)) == n_cells
    assert float((1 / depth_m).min()) == pytest.approx(0.0231, abs=5e-5)
    assert float((1 / depth_m).max()) == pytest.approx(1.2727, abs=5e-5)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_presets_are_the_paper_s_with_the_authors_preprocessing(name: str) -> None:
    config, paper = PRESETS[f"published-{name}"], PRESETS[f"paper-{name}"]
    assert isinstance(config, VxpConfig)
    assert isinstance(paper, VxpConfig)
    assert config.as_published == PUBLISHED[name]
    assert (paper.as_published, paper.stretched_centres, paper.collisions) == (None, False, "keep-all")
    assert (config.stretched_centres, config.collisions, config.max_voxels) == (True, "keep-all", 10_000)
    assert isinstance(config.as_published, AsPublished)
    assert config.as_published.slots == 35
    assert (config.backbone, config.global_stage) == (paper.backbone, paper.global_stage)
