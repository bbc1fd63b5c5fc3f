from dataclasses import replace

import numpy as np
import pytest
import torch
from batches import bare_frame as frame
from torch import Tensor

from methods.learning.depth_overlap import DepthViews, Matching, camera_poses, depth_overlaps

H, W = 12, 16
INTRINSICS = torch.tensor([0.6, 0.8, 0.5, 0.5])
MATCHING = Matching(stride=3)


def pose(east_m: float = 0.0, north_m: float = 0.0, up_m: float = 0.0, yaw_deg: float = 0.0) -> Tensor:
    """A camera that looks along the heading: right, down and forward as columns."""
    cos, sin = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([[sin, -cos, 0], [0, 0, -1], [cos, sin, 0]])
    matrix[:3, 3] = east_m, north_m, up_m
    return torch.from_numpy(matrix)


def wall(pose_of_camera: Tensor, at_east_m: float = 20.0) -> Tensor:
    """Depth of an endless wall across the way, for cameras that look east."""
    return torch.full((H, W), at_east_m - float(pose_of_camera[0, 3]))


def views(*parts: tuple[Tensor, Tensor]) -> DepthViews:
    depth_m, poses = (torch.stack(values) for values in zip(*parts, strict=True))
    return DepthViews(depth_m, INTRINSICS.expand(len(parts), 4), poses)


def between(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], matching: Matching = MATCHING) -> float:
    return float(depth_overlaps(views(first, second), torch.tensor([[0, 1]]), matching))


def walls(*poses: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(wall(p), p) for p in poses]


def naive(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], matching: Matching) -> float:
    """Pixel by pixel, with sets of pixels, as in equations 6 and 7."""

    def confirmed(source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> tuple[set, set]:
        (a, pose_a), (b, pose_b) = source, target
        fx, fy, cx, cy = INTRINSICS.double().tolist()
        relative = np.linalg.inv(pose_b.numpy()) @ pose_a.numpy()
        starts, lands = set(), set()

        def around(row: int, column: int) -> set:
            reach = matching.stride // 2
            span = range(-reach, reach + 1)
            return {(row + i, column + j) for i in span for j in span if 0 <= row + i < H and 0 <= column + j < W}

        for row in range(matching.stride // 2, H, matching.stride):
            for column in range(matching.stride // 2, W, matching.stride):
                z = float(a[row, column])
                if z == 0:
                    continue
                ray = np.array([((column + 0.5) / W - cx) / fx, ((row + 0.5) / H - cy) / fy, 1.0])
                x, y, depth = (relative @ np.append(ray * z, 1.0))[:3]
                if depth <= 0.1:
                    continue
                u, v = (cx + fx * x / depth) * W, (cy + fy * y / depth) * H
                if not (0 <= u < W and 0 <= v < H):
                    continue
                known = float(b[int(v), int(u)])
                if known > 0 and abs(depth - known) <= max(matching.tolerance_m, matching.tolerance_share * known):
                    starts |= around(row, column)
                    lands |= around(int(v), int(u))
        return starts, lands

    a_to_b, b_from_a = confirmed(first, second)
    b_to_a, a_from_b = confirmed(second, first)
    shares = []
    for one, other, image in ((a_to_b, a_from_b, first[0]), (b_from_a, b_to_a, second[0])):
        known = {(i, j) for i in range(H) for j in range(W) if image[i, j] > 0 and matching.union == "known"}
        shares.append(len(one & other) / max(len(one | other | known), 1))
    return 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0


@pytest.mark.parametrize("union", ["confirmed", "known"])
@pytest.mark.parametrize("stride", [1, 3, 4])
def test_overlap_is_that_of_a_loop_over_pixels(union: str, stride: int) -> None:
    rng = np.random.default_rng(0)
    matching = Matching(stride=stride, union=union)  # type: ignore[arg-type]
    scenes = []
    for _ in range(6):
        where = pose(*rng.uniform([-2, -2, -0.3, -20], [2, 2, 0.3, 20]).tolist())
        depth_m = wall(where) * torch.from_numpy(rng.uniform(0.92, 1.08, (H, W))).float()
        depth_m[torch.from_numpy(rng.random((H, W)) < 0.2)] = 0
        scenes.append((depth_m, where))
    pairs = torch.combinations(torch.arange(6))
    found = depth_overlaps(views(*scenes), pairs, matching)
    expected = [naive(scenes[i], scenes[j], matching) for i, j in pairs.tolist()]
    np.testing.assert_allclose(found.tolist(), expected, atol=1e-6)
    assert max(expected) > 0.3
    torch.testing.assert_close(depth_overlaps(views(*scenes), pairs.flip(1), matching), found)


def test_a_view_overlaps_wholly_with_itself_and_not_at_all_behind_its_back() -> None:
    here, behind = pose(), pose(yaw_deg=180)
    assert between(*walls(here, here)) == 1
    assert between((wall(here), here), (torch.full((H, W), 20.0), behind)) == 0


def test_nearer_views_of_the_same_wall_overlap_more() -> None:
    """What the overlap of views on the ground cannot tell: the same wall at another resolution."""
    found = [between(*walls(pose(), pose(east_m=x))) for x in (0, 3, 6, 12)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 1
    assert found[-1] < 0.5


def test_a_wall_in_between_hides_what_both_would_see() -> None:
    here, ahead = pose(), pose(east_m=2)
    free = between(*walls(here, ahead))
    hidden = between((wall(here), here), (torch.full((H, W), 4.0), ahead))
    assert free > 0.5
    assert hidden == 0


def test_depth_within_the_tolerance_agrees_and_beyond_it_does_not() -> None:
    here = pose()
    for metres, expected in ((20 * 1.09, 1.0), (20 * 1.12, 0.0)):
        assert between((torch.full((H, W), 20.0), here), (torch.full((H, W), metres), here)) == expected
    near = torch.full((H, W), 1.0)  # a tenth would be 0.1 m, but 0.25 m are tolerated
    assert between((near, here), (near + 0.2, here)) == 1
    assert between((near, here), (near + 0.2, here), replace(MATCHING, tolerance_m=0.05)) == 0


def test_views_that_share_a_patch_overlap_wholly_by_the_published_share_alone() -> None:
    patch, here = torch.zeros(H, W), pose()
    patch[:3, :3] = 20
    whole = torch.full((H, W), 20.0)
    whole[:3, 3:], whole[3:] = 90, 90
    assert between((patch, here), (whole, here)) == 1
    assert between((patch, here), (whole, here), replace(MATCHING, union="known")) < 0.1


def test_nothing_known_is_no_overlap() -> None:
    nothing = (torch.zeros(H, W), pose())
    for union in ("confirmed", "known"):
        assert between(nothing, nothing, Matching(union=union)) == 0  # type: ignore[arg-type]


def test_poses_of_cameras_far_from_the_origin_keep_their_millimetres() -> None:
    camera_from_lidar = torch.tensor([[0.0, -1, 0, 0.25], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    frames = [frame("a", 600_000, 5_400_000.0, yaw_rad=np.pi / 2), frame("b", 600_000.125, 5_400_000.0)]
    north, east = camera_poses(frames, camera_from_lidar.expand(2, 4, 4))
    # the LiDAR is 0.25 m right of the camera, which looks along the heading
    assert (north[:3, 3] - torch.tensor([599_999.75, 5_400_000, 0], dtype=torch.float64)).abs().max() < 1e-6
    assert (east[:3, 3] - torch.tensor([600_000.125, 5_400_000.25, 0], dtype=torch.float64)).abs().max() < 1e-6
    assert east[:3, 2].tolist() == pytest.approx([1, 0, 0])
    assert north[:3, 2].tolist() == pytest.approx([0, 1, 0], abs=1e-12)
