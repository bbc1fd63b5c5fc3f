import math
from random import Random

import pytest
import torch
from batches import count
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from datasets.errors import CrossplaceError
from methods.layers.voxels import (
    PaddedVoxelFeatureEncoder,
    VoxelFeatureEncoder,
    VoxelGrid,
    Voxels,
    _maxima,
    voxelize,
    voxelize_in_file_order,
)

GRID = VoxelGrid(lower_m=(0.0, -2.0, -1.0), upper_m=(4.0, 2.0, 1.0), size_m=(1.0, 1.0, 0.5))


@st.composite
def clouds(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """Points on a raster of quarters, so that many lie on voxel borders, in, on and around the small grid."""
    batch_size = draw(st.integers(1, 3))
    n_points = draw(st.integers(0, 60))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    points = torch.randint(-12, 20, (n_points, 4), generator=generator) / 4
    return points, torch.randint(batch_size, (n_points,), generator=generator), batch_size


def naive_voxels(points: Tensor, batch_index: Tensor, grid: VoxelGrid) -> dict[tuple[int, ...], set[int]]:
    """Rows of the points in each voxel (batch, z, y, x), by a plain loop."""
    voxels: dict[tuple[int, ...], set[int]] = {}
    for row, (point, sample) in enumerate(zip(points.tolist(), batch_index.tolist(), strict=True)):
        cell = [math.floor((p - low) / size) for p, low, size in zip(point, grid.lower_m, grid.size_m, strict=False)]
        if all(0 <= c < n for c, n in zip(cell, grid.shape, strict=True)):
            voxels.setdefault((sample, *cell[::-1]), set()).add(row)
    return voxels


def as_dictionary(voxels: Voxels) -> dict[tuple[int, ...], set[int]]:
    found: dict[tuple[int, ...], set[int]] = {tuple(index): set() for index in voxels.sites.indices.tolist()}
    keys = list(found)
    for row, voxel in zip(voxels.point_rows.tolist(), voxels.voxel_of_point.tolist(), strict=True):
        found[keys[voxel]].add(row)
    return found


def encoder_with_random_statistics(channels: tuple[int, ...] = (4, 5, 6)) -> VoxelFeatureEncoder:
    return randomised(VoxelFeatureEncoder(channels))


def randomised(encoder: VoxelFeatureEncoder) -> VoxelFeatureEncoder:
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return encoder


def test_grid_of_vxp_has_110_voxels_along_each_axis() -> None:
    assert VoxelGrid().shape == (110, 110, 110)


def test_a_range_that_the_size_does_not_divide_takes_the_nearest_number_of_voxels() -> None:
    assert VoxelGrid(lower_m=(0.0, -25.0, -25.0), upper_m=(50.0, 25.0, 25.0), size_m=(0.75,) * 3).shape == (67, 67, 67)


@pytest.mark.parametrize("change", [{"size_m": (0.4, -0.4, 0.2)}, {"upper_m": (44.0, -22.0, 18.0)}])
def test_a_grid_without_voxels_is_refused(change: dict[str, tuple[float, float, float]]) -> None:
    with pytest.raises(CrossplaceError, match="holds no voxel"):
        VoxelGrid(**change)


@given(clouds())
@settings(max_examples=60, deadline=None)
def test_points_are_grouped_as_by_a_plain_loop(cloud: tuple[Tensor, Tensor, int]) -> None:
    points, batch_index, batch_size = cloud
    voxels = voxelize(points, batch_index, batch_size, GRID)
    expected = naive_voxels(points, batch_index, GRID)
    assert as_dictionary(voxels) == expected
    assert voxels.counts.tolist() == [len(expected[key]) for key in sorted(expected)]
    assert voxels.voxel_of_point.tolist() == sorted(voxels.voxel_of_point.tolist())
    assert (voxels.sites.shape, voxels.sites.batch_size) == (GRID.shape[::-1], batch_size)


@given(clouds(), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_cap_keeps_the_fullest_voxels_of_each_sample_and_the_first_of_equals(
    cloud: tuple[Tensor, Tensor, int], max_voxels: int
) -> None:
    points, batch_index, batch_size = cloud
    everything = naive_voxels(points, batch_index, GRID)
    expected = {}
    for sample in range(batch_size):
        own = sorted((key for key in everything if key[0] == sample), key=lambda key: (-len(everything[key]), key))
        expected |= {key: everything[key] for key in own[:max_voxels]}
    assert as_dictionary(voxelize(points, batch_index, batch_size, GRID, max_voxels)) == expected


def naive_file_order(
    points: Tensor, batch_index: Tensor, grid: VoxelGrid, max_voxels: int, max_points: int
) -> dict[tuple[int, ...], list[int]]:
    """Rows kept by a loop over the points in their order, sample by sample."""
    voxels: dict[tuple[int, ...], list[int]] = {}
    for row, (point, sample) in enumerate(zip(points.tolist(), batch_index.tolist(), strict=True)):
        cell = [math.floor((p - low) / size) for p, low, size in zip(point, grid.lower_m, grid.size_m, strict=False)]
        if not all(0 <= c < n for c, n in zip(cell, grid.shape, strict=True)):
            continue
        key = (sample, *cell[::-1])
        if key not in voxels and sum(k[0] == sample for k in voxels) >= max_voxels:
            continue
        rows = voxels.setdefault(key, [])
        if len(rows) < max_points:
            rows.append(row)
    return voxels


@given(clouds(), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_file_order_keeps_what_appears_first(
    cloud: tuple[Tensor, Tensor, int], max_voxels: int, max_points: int
) -> None:
    points, batch_index, batch_size = cloud
    voxels = voxelize_in_file_order(points, batch_index, batch_size, GRID, max_voxels, max_points)
    expected = naive_file_order(points, batch_index, GRID, max_voxels, max_points)
    assert as_dictionary(voxels) == {key: set(rows) for key, rows in expected.items()}
    assert voxels.counts.tolist() == [len(expected[key]) for key in sorted(expected)]
    assert voxels.point_rows.tolist() == [row for key in sorted(expected) for row in expected[key]]
    assert voxels.slots().tolist() == [slot for key in sorted(expected) for slot in range(len(expected[key]))]


@given(clouds(), st.integers(1, 4), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_of_the_points_does_not_matter(
    cloud: tuple[Tensor, Tensor, int], max_voxels: int, training: bool, random: Random
) -> None:
    points, batch_index, batch_size = cloud
    shuffled = list(range(len(points)))
    random.shuffle(shuffled)
    order = torch.tensor(shuffled, dtype=torch.long)
    encoder = encoder_with_random_statistics().train(training)
    voxels = voxelize(points, batch_index, batch_size, GRID, max_voxels)
    others = voxelize(points[order], batch_index[order], batch_size, GRID, max_voxels)
    assert torch.equal(voxels.sites.indices, others.sites.indices)
    assert torch.equal(voxels.counts, others.counts)
    torch.testing.assert_close(encoder(points, voxels), encoder(points[order], others), atol=1e-5, rtol=1e-5)


def test_lower_limit_belongs_to_the_grid_and_upper_limit_does_not() -> None:
    points = torch.tensor([[0.0, -22.0, -4.0], [44.0, 0.0, 0.0], [0.0, 22.0, 0.0], [0.0, 0.0, 18.0]])
    voxels = voxelize(points, torch.zeros(4, dtype=torch.long), 1, VoxelGrid())
    assert voxels.point_rows.tolist() == [0]
    assert voxels.sites.indices.tolist() == [[0, 0, 0, 0]]


def test_a_quotient_that_rounds_up_to_the_limit_is_outside() -> None:
    lower, upper = torch.tensor(-22.0), torch.tensor(22.0)
    below = torch.nextafter(upper, lower)
    assert below < upper
    assert (below - lower) / torch.tensor(0.4) == 110
    points = torch.tensor([[1.0, float(below), 1.0]])
    assert len(voxelize(points, torch.tensor([0]), 1, VoxelGrid()).point_rows) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_points_are_left_out(bad: float) -> None:
    points = torch.tensor([[1.0, bad, 0.0], [1.0, 0.0, 0.0]])
    assert voxelize(points, torch.tensor([0, 0]), 1, GRID).point_rows.tolist() == [1]


def test_encoder_of_vxp_has_18944_parameters_and_128_channels() -> None:
    encoder = VoxelFeatureEncoder()
    assert count(encoder) == 18_944
    voxels = voxelize(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0]), 1, VoxelGrid())
    assert encoder(torch.tensor([[1.0, 2.0, 3.0]]), voxels).shape == (1, 128)
    assert {"vfe_layers.0.linear.weight", "vfe_layers.2.norm.running_var"} <= set(encoder.state_dict())


def naive_encoding(encoder: VoxelFeatureEncoder, points: Tensor, batch_index: Tensor) -> Tensor:
    """The encoder voxel by voxel; batch statistics over all points of all voxels if training."""
    groups = naive_voxels(points, batch_index, GRID)
    rows = []
    for (_, z, y, x), members in sorted(groups.items()):
        centre = torch.tensor([0 + x + 0.5, -2 + y + 0.5, -1 + (z + 0.5) / 2], dtype=points.dtype)
        xyz = points[sorted(members), :3]
        rows.append(torch.cat([xyz, xyz - centre], dim=1))
    for number, layer in enumerate(encoder.vfe_layers):
        sizes = [len(r) for r in rows]
        rows = layer.norm(torch.cat(rows) @ layer.linear.weight.T).relu().split(sizes)
        if number < len(encoder.vfe_layers) - 1:
            rows = [torch.cat([r, r.max(0).values.expand_as(r)], dim=1) for r in rows]
    return torch.stack([r.max(0).values for r in rows])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("training", [True, False])
def test_encoder_agrees_with_a_loop_over_voxels_forward_and_backward(training: bool, seed: int) -> None:
    torch.manual_seed(seed)  # some give equal maxima: all hidden features of two points are zero
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(80, 3, generator=generator, dtype=torch.float64) * 4 - torch.tensor([0.0, 2.0, 1.0])
    batch_index = torch.randint(2, (80,), generator=generator)
    encoder = encoder_with_random_statistics().double().train(training)

    ours = encoder(points, voxelize(points, batch_index, 2, GRID))
    cotangent = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
    our_gradients = torch.autograd.grad(ours, list(encoder.parameters()), cotangent)
    naive = naive_encoding(encoder, points, batch_index)
    naive_gradients = torch.autograd.grad(naive, list(encoder.parameters()), cotangent)
    torch.testing.assert_close(ours, naive)
    torch.testing.assert_close(our_gradients, naive_gradients)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_equal_maxima_share_the_gradient_whatever_its_sign(sign: float) -> None:
    voxels = voxelize(torch.tensor([[0.5, 0.5, 0.1]] * 3), torch.tensor([0, 0, 0]), 1, GRID)
    rows = torch.tensor([[2.0, 1.0], [2.0, 0.0], [1.0, 0.5]], requires_grad=True)
    (gradient,) = torch.autograd.grad(_maxima(rows, voxels), rows, torch.tensor([[sign, sign]]))
    assert gradient.tolist() == [[sign / 2, sign], [sign / 2, 0], [0, 0]]


@pytest.mark.parametrize("training", [True, False])
def test_padded_encoder_agrees_with_a_loop_over_voxels_of_zero_filled_slots(training: bool) -> None:
    generator = torch.Generator().manual_seed(4)
    points = torch.rand(150, 3, generator=generator, dtype=torch.float64) * 4 - torch.tensor([0.0, 2.0, 1.0])
    batch_index = torch.arange(150) // 75
    encoder = randomised(PaddedVoxelFeatureEncoder((4, 5, 6), slots=3)).double().train(training)
    found = encoder(points, voxelize_in_file_order(points, batch_index, 2, GRID, max_voxels=20, max_points=3))

    groups = naive_file_order(points, batch_index, GRID, max_voxels=20, max_points=3)
    slots = torch.zeros(len(groups), 3, 6, dtype=torch.float64)
    for voxel, ((_, z, y, x), rows) in enumerate(sorted(groups.items())):
        centre = torch.tensor([0 + x + 0.5, -2 + y + 0.5, -1 + (z + 0.5) / 2], dtype=points.dtype)
        for slot, row in enumerate(rows):
            slots[voxel, slot] = torch.cat([points[row], points[row] - centre])
    for number, layer in enumerate(encoder.vfe_layers):
        slots = layer.norm((slots @ layer.linear.weight.T).view(len(groups) * 3, -1)).relu().view(len(groups), 3, -1)
        if number < 2:
            slots = torch.cat([slots, slots.max(1, keepdim=True).values.repeat(1, 3, 1)], dim=2)
    torch.testing.assert_close(found, slots.max(1).values)
    assert {len(rows) for rows in groups.values()} == {1, 2, 3}


def test_padding_takes_part_unless_a_voxel_is_full() -> None:
    torch.manual_seed(0)
    points = torch.tensor([[0.2, 0.3, 0.1], [0.4, 0.1, 0.2], [0.9, 0.9, 0.4], [2.5, 0.1, 0.1]])
    voxels = voxelize_in_file_order(points, torch.zeros(4, dtype=torch.long), 1, GRID, max_points=3)
    padded = randomised(PaddedVoxelFeatureEncoder((4, 5, 6), slots=3)).eval()
    ragged = VoxelFeatureEncoder((4, 5, 6)).eval()
    ragged.load_state_dict(padded.state_dict())
    with torch.no_grad():
        equal = (padded(points, voxels) - ragged(points, voxels)).abs().amax(1) < 1e-6
    assert voxels.counts.tolist() == [3, 1]
    assert equal.tolist() == [True, False]


@pytest.mark.parametrize("training", [True, False])
def test_padded_encoder_without_voxels_gives_no_features(training: bool) -> None:
    points = torch.zeros(0, 3)
    voxels = voxelize_in_file_order(points, torch.zeros(0, dtype=torch.long), 2, VoxelGrid())
    assert PaddedVoxelFeatureEncoder().train(training)(points, voxels).shape == (0, 128)


@pytest.mark.parametrize("n_samples", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_no_points_give_no_voxels_and_no_features(n_samples: int, training: bool) -> None:
    points = torch.zeros(0, 3)
    voxels = voxelize(points, torch.zeros(0, dtype=torch.long), n_samples, VoxelGrid())
    assert voxels.sites.indices.shape == (0, 4)
    assert voxels.sites.batch_size == n_samples
    features = VoxelFeatureEncoder().train(training)(points, voxels)
    assert features.shape == (0, 128)
    features.sum().backward()


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_an_empty_sample_anywhere_leaves_the_others_alone(empty: int) -> None:
    points = torch.rand(90, 3) * 2
    batch_index = torch.tensor([b for b in range(3) if b != empty]).repeat(45)
    encoder = encoder_with_random_statistics().eval()
    together = voxelize(points, batch_index, 3, GRID)
    features = encoder(points, together)
    for b in range(3):
        own = points[batch_index == b]
        alone = voxelize(own, torch.zeros(len(own), dtype=torch.long), 1, GRID)
        is_own = together.sites.indices[:, 0] == b
        assert torch.equal(together.sites.indices[is_own, 1:], alone.sites.indices[:, 1:])
        torch.testing.assert_close(features[is_own], encoder(own, alone), atol=1e-6, rtol=1e-5)


def test_autocast_does_not_round_the_coordinates() -> None:
    points = torch.rand(50, 3) * 2
    voxels = voxelize(points, torch.zeros(50, dtype=torch.long), 1, GRID)
    encoder = encoder_with_random_statistics().eval()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = encoder(points, voxels)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, encoder(points, voxels))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    points = torch.rand(3000, 3) * 4 - torch.tensor([0.0, 2.0, 1.0])
    batch_index = torch.randint(2, (3000,))
    encoder = encoder_with_random_statistics()
    results = []
    for device in ("cpu", "cuda"):
        encoder.to(device).zero_grad()
        voxels = voxelize(points.to(device), batch_index.to(device), 2, GRID, max_voxels=40)
        features = encoder(points.to(device), voxels)
        features.square().sum().backward()
        gradient = encoder.vfe_layers[0].linear.weight.grad
        results.append([t.detach().cpu().clone() for t in (voxels.sites.indices, voxels.counts, features, gradient)])
    for on_cpu, on_cuda in zip(*results, strict=True):
        torch.testing.assert_close(on_cuda, on_cpu, atol=1e-3, rtol=1e-3)
