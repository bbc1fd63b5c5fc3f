import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from datasets.errors import CrossplaceError
from methods.layers import sparse
from methods.layers.sparse import RowNorm, Sites, SparseConv3d, SparseTensor, SparseUnit, SubmanifoldConv3d

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def sites_of(occupied: Tensor) -> Sites:
    """The sites of a dense (batch, z, y, x) mask; ``nonzero`` lists them in lexicographic order."""
    batch_size, *shape = occupied.shape
    return Sites(occupied.nonzero(), tuple(shape), batch_size)


@st.composite
def occupied_grids(draw: st.DrawFn) -> Tensor:
    """Random masks of small batches, from empty to full, with empty samples at any place."""
    shape = [draw(st.integers(1, 3)), *(draw(st.integers(1, 5)) for _ in range(3))]
    density = draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    occupied = torch.rand(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 2**31)))) < density
    is_empty = draw(st.lists(st.booleans(), min_size=shape[0], max_size=shape[0]))
    occupied[torch.tensor(is_empty)] = False
    return occupied


def check_against_dense(conv: SubmanifoldConv3d | SparseConv3d, occupied: Tensor, dtype: torch.dtype) -> None:
    """Sites, values and both gradients must be those of a dense convolution of the zero-filled grid."""
    conv = conv.to(dtype)
    is_submanifold = isinstance(conv, SubmanifoldConv3d)
    stride, padding = (1, conv.kernel_size // 2) if is_submanifold else (conv.stride, conv.padding)
    sites = sites_of(occupied)
    features = torch.randn(len(sites.indices), conv.in_channels, dtype=dtype, requires_grad=True)
    output = conv(SparseTensor(features, sites))

    dense_features = features.detach().clone().requires_grad_()
    dense_weight = conv.weight.detach().clone().requires_grad_()
    dense = F.conv3d(
        SparseTensor(dense_features, sites).dense(), dense_weight.permute(0, 4, 1, 2, 3), stride=stride, padding=padding
    )
    mask = occupied[:, None].to(dtype)
    reached = F.conv3d(mask, torch.ones(1, 1, *(conv.kernel_size,) * 3, dtype=dtype), stride=stride, padding=padding)
    expected_sites = sites_of(occupied if is_submanifold else reached[:, 0] > 0.5)
    assert torch.equal(output.sites.indices, expected_sites.indices)
    assert output.sites.shape == dense.shape[2:]
    assert output.sites.batch_size == len(occupied)

    batch, z, y, x = expected_sites.indices.unbind(1)
    expected = dense[batch, :, z, y, x]
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(output.features, expected, atol=tolerance, rtol=tolerance)

    cotangent = torch.randn_like(expected)
    output.features.backward(cotangent)
    expected.backward(cotangent)
    torch.testing.assert_close(features.grad, dense_features.grad, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(conv.weight.grad, dense_weight.grad, atol=10 * tolerance, rtol=tolerance)


@given(occupied_grids(), st.sampled_from([1, 3, 5]), st.sampled_from(list(TOLERANCE)))
@settings(max_examples=60, deadline=None)
def test_submanifold_convolution_is_the_dense_one_at_the_input_sites(
    occupied: Tensor, kernel_size: int, dtype: torch.dtype
) -> None:
    check_against_dense(SubmanifoldConv3d(3, 4, kernel_size), occupied, dtype)


@given(
    occupied_grids(), st.sampled_from([1, 2, 3]), st.integers(1, 3), st.integers(0, 2), st.sampled_from(list(TOLERANCE))
)
@settings(max_examples=80, deadline=None)
def test_regular_convolution_is_the_dense_one_at_exactly_the_sites_it_reaches(
    occupied: Tensor, kernel_size: int, stride: int, padding: int, dtype: torch.dtype
) -> None:
    conv = SparseConv3d(3, 4, kernel_size, stride, padding)
    if min(occupied.shape[1:]) + 2 * padding < kernel_size:
        with pytest.raises(CrossplaceError, match="does not fit"):
            conv(SparseTensor(torch.zeros(int(occupied.sum()), 3), sites_of(occupied)))
    else:
        check_against_dense(conv, occupied, dtype)


@pytest.mark.parametrize("n_samples", [1, 3])
@pytest.mark.parametrize("conv", [SubmanifoldConv3d(2, 3), SparseConv3d(2, 3, stride=2)])
def test_empty_cloud_gives_empty_output_and_zero_gradients(
    conv: SubmanifoldConv3d | SparseConv3d, n_samples: int
) -> None:
    features = torch.zeros(0, 2, requires_grad=True)
    output = conv(SparseTensor(features, sites_of(torch.zeros(n_samples, 4, 4, 4, dtype=torch.bool))))
    assert output.features.shape == (0, 3)
    assert output.dense().shape[:2] == (n_samples, 3)
    conv.zero_grad()
    output.features.sum().backward()
    assert features.grad.shape == (0, 2)
    assert not conv.weight.grad.any()


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_an_empty_sample_anywhere_leaves_the_others_alone(empty: int) -> None:
    occupied = torch.rand(3, 5, 5, 5) < 0.3
    occupied[empty] = False
    stack = nn.Sequential(SparseUnit(SubmanifoldConv3d(2, 4)), SparseUnit(SparseConv3d(4, 3, stride=2))).eval()
    features = torch.randn(int(occupied.sum()), 2)
    together = stack(SparseTensor(features, sites_of(occupied))).dense()
    sample = occupied.nonzero()[:, 0]
    for b in range(3):
        alone = stack(SparseTensor(features[sample == b], sites_of(occupied[b : b + 1]))).dense()
        torch.testing.assert_close(together[b], alone[0], atol=1e-6, rtol=1e-6)
    assert not together[empty].any()


def test_grid_sizes_of_vxp_shrink_from_110_over_55_to_28() -> None:
    occupied = torch.rand(1, 110, 2, 1) < 0.3
    occupied[0, [0, -1]] = True
    first, second = SparseConv3d(2, 2, stride=2), SparseConv3d(2, 2, stride=2)
    x = first(SparseTensor(torch.randn(int(occupied.sum()), 2), sites_of(occupied)))
    y = second(x)
    assert (x.sites.shape, y.sites.shape) == ((55, 1, 1), (28, 1, 1))
    expected = F.conv3d(x.dense(), second.weight.permute(0, 4, 1, 2, 3), stride=2, padding=1)
    torch.testing.assert_close(y.dense(), expected, atol=1e-6, rtol=1e-5)


def test_weight_is_laid_out_as_out_kz_ky_kx_in() -> None:
    conv = SparseConv3d(2, 3)
    nn.init.zeros_(conv.weight)
    with torch.no_grad():
        conv.weight[2, 0, 1, 2, 1] = 1
    x = SparseTensor(torch.tensor([[5.0, 7.0]]), Sites(torch.tensor([[0, 2, 2, 2]]), (5, 5, 5), 1))
    # Offset k of output o looks at input o + k - 1, so input (2, 2, 2) at k = (0, 1, 2) belongs to o = (3, 2, 1).
    expected = torch.zeros(1, 3, 5, 5, 5)
    expected[0, 2, 3, 2, 1] = 7
    assert torch.equal(conv(x).dense(), expected)


@pytest.mark.parametrize("conv", [SubmanifoldConv3d(2, 3), SparseConv3d(2, 3, stride=2)])
def test_gradients_agree_with_finite_differences(conv: SubmanifoldConv3d | SparseConv3d) -> None:
    conv = conv.double()
    occupied = torch.rand(2, 3, 4, 3) < 0.4
    features = torch.randn(int(occupied.sum()), 2, dtype=torch.float64, requires_grad=True)
    weight = conv.weight.detach().clone().requires_grad_()

    def output(features: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(conv, {"weight": weight}, SparseTensor(features, sites_of(occupied))).features

    assert torch.autograd.gradcheck(output, (features, weight))


def test_forward_and_backward_repeat_bit_for_bit() -> None:
    occupied = torch.rand(2, 12, 12, 12) < 0.3
    features = torch.randn(int(occupied.sum()), 8)
    unit = SparseUnit(SparseConv3d(8, 16))

    def once() -> list[Tensor]:
        unit.zero_grad()
        x = features.clone().requires_grad_()
        y = unit(SparseTensor(x, sites_of(occupied))).features
        y.square().sum().backward()
        return [y, x.grad, unit[0].weight.grad]

    assert all(torch.equal(a, b) for a, b in zip(once(), once(), strict=True))


@pytest.mark.parametrize("portion", [1, 100, 10**9])
def test_result_does_not_depend_on_how_the_work_is_portioned(monkeypatch: pytest.MonkeyPatch, portion: int) -> None:
    monkeypatch.setattr(sparse, "_PORTION", portion)
    torch.manual_seed(portion)
    occupied = torch.rand(2, 4, 4, 4) < 0.5
    check_against_dense(SubmanifoldConv3d(3, 4), occupied, torch.float64)
    check_against_dense(SparseConv3d(3, 4, stride=2), occupied, torch.float64)


@given(occupied_grids(), st.sampled_from([1, 3, 5]), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_rules_do_not_depend_on_whether_a_table_or_a_search_finds_them(
    occupied: Tensor, kernel_size: int, stride: int
) -> None:
    def rules() -> list[Tensor]:
        sites = sites_of(occupied)
        reached, regular = sites.reach(kernel_size, stride, kernel_size // 2)
        books = [sites.submanifold(kernel_size), regular]
        counts = [torch.tensor([book.n_outputs, *book.counts]) for book in books]
        return [reached.indices, *counts, *(rows for book in books for rows in (book.in_rows, book.out_rows))]

    tabled = rules()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "_TABLE_CELLS", 0)
        searched = rules()
    assert all(torch.equal(a, b) for a, b in zip(tabled, searched, strict=True))


def test_submanifold_layers_on_the_same_sites_share_their_rules() -> None:
    x = SparseTensor(torch.randn(3, 2), Sites(torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [1, 2, 2, 2]]), (3, 3, 3), 2))
    rules = x.sites.submanifold(3)
    y = SubmanifoldConv3d(2, 2)(x)
    assert y.sites is x.sites
    assert y.sites.submanifold(3) is rules
    assert x.sites.submanifold(1) is not rules


def test_autocast_changes_nothing() -> None:
    occupied = torch.rand(1, 5, 5, 5) < 0.4
    features = torch.randn(int(occupied.sum()), 4)
    conv = SubmanifoldConv3d(4, 4)

    def once(enabled: bool) -> tuple[Tensor, Tensor, Tensor]:
        conv.zero_grad()
        x = features.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = conv(SparseTensor(x, sites_of(occupied))).features
            y.square().sum().backward()
        return y, x.grad, conv.weight.grad

    for plain, mixed in zip(once(False), once(True), strict=True):
        assert mixed.dtype == torch.float32
        assert torch.equal(plain, mixed)


def test_half_precision_features_are_computed_in_the_precision_of_the_weight() -> None:
    x = SparseTensor(torch.ones(1, 2, dtype=torch.bfloat16), Sites(torch.zeros(1, 4, dtype=torch.long), (1, 1, 1), 1))
    assert SubmanifoldConv3d(2, 3)(x).features.dtype == torch.float32


@pytest.mark.parametrize(
    ("rows", "shape", "batch_size"),
    [
        ([[0, 1, 0, 0], [0, 0, 0, 0]], (2, 2, 2), 1),
        ([[0, 1, 0, 0], [0, 1, 0, 0]], (2, 2, 2), 1),
        ([[0, 0, 0, 2]], (2, 2, 2), 1),
        ([[0, 0, -1, 0]], (2, 2, 2), 1),
        ([[1, 0, 0, 0]], (2, 2, 2), 1),
    ],
    ids=["unsorted", "repeated", "beyond the grid", "negative", "beyond the batch"],
)
def test_wrong_sites_are_refused(rows: list[list[int]], shape: sparse.Shape, batch_size: int) -> None:
    with pytest.raises(CrossplaceError, match="expected sorted, unique"):
        Sites(torch.tensor(rows), shape, batch_size)


def test_a_grid_too_large_for_64_bit_keys_is_refused() -> None:
    huge = (2**20, 2**20, 2**19)
    last = [2, *(size - 1 for size in huge)]
    with pytest.raises(CrossplaceError, match="64-bit"):
        Sites(torch.tensor([[3, *last[1:]]]), huge, 4)
    sites = Sites(torch.tensor([[0, 0, 0, 0], last]), huge, 3)
    assert sites.keys.tolist() == [0, 3 * 2**59 - 1]
    assert sites.submanifold(3).counts == [0] * 27


def test_submanifold_kernels_must_be_odd() -> None:
    with pytest.raises(CrossplaceError, match="odd kernel size, found 2"):
        SubmanifoldConv3d(1, 1, kernel_size=2)


def test_weights_start_in_the_range_of_a_dense_convolution() -> None:
    weight = SparseConv3d(16, 32).weight
    bound = 1 / math.sqrt(16 * 27)
    assert 0.99 * bound < weight.abs().max() <= bound
    assert nn.Conv3d(16, 32, 3).weight.abs().max() <= bound


@pytest.mark.parametrize("n_rows", [0, 1])
def test_normalisation_of_fewer_than_two_rows_uses_the_running_statistics(n_rows: int) -> None:
    norm = RowNorm(3)
    norm.running_mean.fill_(2.0)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    rows = torch.full((n_rows, 3), 5.0, requires_grad=True)
    output = norm(rows)
    torch.testing.assert_close(output, torch.full((n_rows, 3), 3 / math.sqrt(1 + 1e-3)))
    output.sum().backward()
    assert rows.grad.isfinite().all()
    assert norm.weight.grad.isfinite().all()
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_normalisation_of_more_rows_is_ordinary_batch_normalisation() -> None:
    rows = torch.randn(2, 3)
    assert torch.equal(RowNorm(3)(rows), nn.BatchNorm1d(3, eps=1e-3, momentum=0.01)(rows))


def test_unit_is_convolution_normalisation_relu_with_the_names_of_official_checkpoints() -> None:
    conv = SubmanifoldConv3d(2, 3)
    unit = SparseUnit(conv)
    occupied = torch.rand(1, 4, 4, 4) < 0.5
    x = SparseTensor(torch.randn(int(occupied.sum()), 2), sites_of(occupied))
    expected = F.batch_norm(conv(x).features, None, None, training=True, eps=1e-3).relu()
    torch.testing.assert_close(unit(x).features, expected)
    assert {name.split(".")[0] for name in unit.state_dict()} == {"0", "1"}
    assert "0.weight" in unit.state_dict()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    occupied = torch.rand(3, 10, 11, 12) < 0.2
    occupied[1] = False
    features = torch.randn(int(occupied.sum()), 8, dtype=torch.float64)
    stack = nn.Sequential(SparseUnit(SubmanifoldConv3d(8, 8)), SparseUnit(SparseConv3d(8, 16, stride=2))).double()
    results = []
    for device in ("cpu", "cuda"):
        stack.to(device).zero_grad()
        x = features.to(device).requires_grad_()
        y = stack(SparseTensor(x, sites_of(occupied.to(device))))
        y.features.square().sum().backward()
        results.append([t.cpu() for t in (y.sites.indices, y.features, x.grad, stack[0][0].weight.grad)])
    for on_cpu, on_cuda in zip(*results, strict=True):
        torch.testing.assert_close(on_cuda, on_cpu)
