"""PnP from learnt correspondences: what is matched, what RANSAC keeps, and the pose that follows."""

import sys
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from benchmark.contract.overfitting import SPLIT
from benchmark.contract.registrar_checks import RegistrarSubject, batch_of_own_clouds, learns_by_heart, new_registrar
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods import voxel_pnp
from methods.layers.poses import applied, between, composed, inverse, rigid, rotation_of_vector
from methods.registration import RegistrationBatch
from methods.voxel_pnp import Matches, VoxelPnp, VoxelPnpConfig, explained, import_opencv, matches, most_alike
from methods.vxp.cloud_branch import InViewVoxels
from methods.vxp.config import PRESETS

ROWS, COLUMNS = 14, 14
TRUE_FROM_ROUGH = rigid(rotation_of_vector(torch.tensor([[0.01, 0.07, -0.02]])), torch.tensor([[0.6, -0.2, 0.8]]))


@pytest.fixture
def batch(small_world: PreparedDataset) -> RegistrationBatch:
    made = batch_of_own_clouds(small_world, [0])
    truth = made.true_map_from_camera
    assert truth is not None
    return replace(made, rough_map_from_camera=composed(truth, TRUE_FROM_ROUGH))


def drawn_matches(k: torch.Tensor, n: int, n_wrong: int) -> Matches:
    """Points where the rough camera sees them, matched with where the true camera does; the first are wrong."""
    generator = torch.Generator().manual_seed(0)
    depth_m = 4 + 26 * torch.rand(n, generator=generator)
    uv = 0.1 + 0.8 * torch.rand(n, 2, generator=generator)
    fx, fy, cx, cy = k
    points = torch.stack([(uv[:, 0] - cx) / fx * depth_m, (uv[:, 1] - cy) / fy * depth_m, depth_m], dim=1)
    right, down, forward = applied(TRUE_FROM_ROUGH[0], points).unbind(1)
    cell = torch.stack([(fx * right / forward + cx) * COLUMNS, (fy * down / forward + cy) * ROWS], dim=1)
    cell[:n_wrong] = torch.rand(n_wrong, 2, generator=generator) * COLUMNS
    return Matches(points=points, cell=cell)


def test_each_pair_is_most_alike_from_both_sides() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(30, 8, generator=generator), torch.randn(40, 8, generator=generator)
    expected = []
    for i in range(30):
        alike = [functional.cosine_similarity(a[i], other, dim=0) for other in b]
        j = int(torch.stack(alike).argmax())
        back = [functional.cosine_similarity(other, b[j], dim=0) for other in a]
        if int(torch.stack(back).argmax()) == i:
            expected.append((i, j))
    rows, columns = most_alike(a, b)
    assert 0 < len(expected) < 30
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


def test_matched_voxels_lie_where_the_rough_camera_sees_points(batch: RegistrationBatch) -> None:
    """Every voxel's centre is near a point of the map, in the axes of the rough camera."""
    registrar = new_registrar("voxel_pnp")
    assert isinstance(registrar, VoxelPnp)
    found = matches(registrar.vxp, batch)
    points = applied(inverse(batch.rough_map_from_camera)[0], batch.points[0])
    nearest_m = torch.cdist(found.points, points).amin(1)
    reach_m = 4.0 * max(registrar.config.grid.size_m) * 3**0.5  # a cell holds voxels within its stride on each side
    assert len(found.points) > 3
    assert (nearest_m < 2 * reach_m).all()
    assert ((found.cell - 0.5) == (found.cell - 0.5).round()).all()
    assert found.cell.min() > 0
    assert found.cell.max() < COLUMNS


def test_a_match_names_column_row_and_point(batch: RegistrationBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of three voxels looks like one cell of a map of 5 by 7 cells, and a fourth like none."""
    vxp = new_registrar("voxel_pnp").vxp
    cells, voxels = torch.zeros(1, 4, 5, 7), torch.eye(4)
    for channel, (row, column) in enumerate([(2, 6), (4, 1), (0, 3)]):
        cells[0, channel, row, column] = 1.0
    uv, depth_m = torch.tensor([[0.9, 0.5], [0.2, 0.9], [0.5, 0.1], [0.4, 0.4]]), torch.tensor([10.0, 5.0, 20.0, 8.0])
    seen = InViewVoxels(features=voxels, batch_index=torch.zeros(4, dtype=torch.long), uv=uv, depth_m=depth_m)
    monkeypatch.setattr(vxp.image_branch.backbone, "forward", lambda _pixels: cells)
    monkeypatch.setattr(vxp.cloud_branch, "in_view", lambda _inputs: seen)
    found = matches(vxp, batch)
    fx, fy, cx, cy = batch.intrinsics[0].tolist()
    named = {tuple(cell): point for cell, point in zip(found.cell.tolist(), found.points.tolist(), strict=True)}
    for cell, (u, v), z in zip([(6.5, 2.5), (1.5, 4.5), (3.5, 0.5)], uv.tolist(), depth_m.tolist(), strict=False):
        assert named[cell] == pytest.approx([(u - cx) / fx * z, (v - cy) / fy * z, z], rel=1e-5)


def test_wrong_matches_are_left_out(batch: RegistrationBatch) -> None:
    k = batch.intrinsics[0]
    camera = k * torch.tensor([COLUMNS, ROWS, COLUMNS, ROWS])
    found = drawn_matches(k, 60, 30)
    kept = explained(import_opencv(), found, camera, VoxelPnpConfig(reach_cells=0.3))
    assert kept[30:].all()
    assert kept[:30].sum() < 6


@pytest.mark.parametrize("n", [0, 3, 5])
def test_few_matches_prove_nothing(n: int, batch: RegistrationBatch) -> None:
    found = drawn_matches(batch.intrinsics[0], n, 0)
    assert explained(import_opencv(), found, batch.intrinsics[0], VoxelPnpConfig()).tolist() == [False] * n


def test_matches_that_do_not_agree_are_left_out(batch: RegistrationBatch) -> None:
    camera = batch.intrinsics[0] * torch.tensor([COLUMNS, ROWS, COLUMNS, ROWS])
    found = drawn_matches(batch.intrinsics[0], 12, 12)
    assert not explained(import_opencv(), found, camera, VoxelPnpConfig(reach_cells=0.02)).any()


def test_right_matches_give_the_true_pose(batch: RegistrationBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two matches of five wrong; the prior is weak, so the found pose is within a centimetre."""
    monkeypatch.setattr(voxel_pnp, "matches", lambda *_: drawn_matches(batch.intrinsics[0], 100, 40))
    config = VoxelPnpConfig(**{**vars(VoxelPnp.presets["quick"]), "reach_cells": 0.3, "sigma_cells": 0.01})
    found = VoxelPnp(config).eval().register(batch.without_truth())
    assert batch.true_map_from_camera is not None
    before_m, before_rad = between(batch.rough_map_from_camera, batch.true_map_from_camera)
    off_m, off_rad = between(found.map_from_camera, batch.true_map_from_camera)
    assert before_m > 1
    assert before_rad > 0.05
    assert off_m < 0.01
    assert off_rad < 0.001


def test_without_matches_the_rough_pose_stays(batch: RegistrationBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voxel_pnp, "matches", lambda *_: drawn_matches(batch.intrinsics[0], 0, 0))
    registrar = new_registrar("voxel_pnp")
    found = registrar.register(batch)
    assert torch.allclose(found.map_from_camera, batch.rough_map_from_camera, atol=1e-5)
    assert found.covariance[0, 0, 0].sqrt() == pytest.approx(registrar.config.prior_m * registrar.config.inflation[0])
    assert not found.believes.any()


def test_training_is_that_of_vxp_without_its_global_stage() -> None:
    """And it does not depend on how poses are found."""
    stages = new_registrar("voxel_pnp").stages(SPLIT)
    assert [stage.name for stage in stages] == ["teacher", "local"]
    for stage in stages:
        assert {"reach_cells", "trials", "prior_m", "global_stage"} <= set(stage.ignores)
    assert stages[1].recipe == PRESETS["quick"].local_stage


def test_there_are_no_poses_to_learn_by_heart(small_world: PreparedDataset) -> None:
    assert learns_by_heart(RegistrarSubject.of("voxel_pnp", small_world)) == "its stages do not learn poses"


def test_a_fixed_camera_is_refused() -> None:
    with pytest.raises(CrossplaceError, match="choose another preset"):
        VoxelPnpConfig(as_published=PRESETS["published-oxford"].as_published)


@pytest.mark.parametrize(
    ("name", "value"), [("sigma_cells", 0.0), ("prior_m", -1.0), ("trials", 0), ("confidence", 2.0)]
)
def test_a_setting_without_a_sense_is_refused(name: str, value: float) -> None:
    with pytest.raises(CrossplaceError, match=name):
        VoxelPnpConfig(**{name: value})  # type: ignore[arg-type]


def test_without_opencv_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(CrossplaceError, match=r"crossplace\[pnp\]"):
        import_opencv()
