"""Sparse convolution against dense convolution, by every backend on every device; what only torch promises below."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from datasets.errors import CrossplaceError
from methods.layers.sparse import backend as sparse_backend
from methods.layers.sparse import torch_backend as sparse_torch
from methods.layers.sparse.backend import Backend
from methods.layers.sparse.modules import RowNorm, SparseConv3d, SparseTensor, SparseUnit, SubmanifoldConv3d
from methods.layers.sparse.sites import Sites, Triple, each_axis


@dataclass(frozen=True)
class Where:
    """A backend on a device."""

    backend: Backend
    device: str

    def tolerance(self, dtype: torch.dtype) -> float:
        """Of values near one; spconv computes in float32 whatever the weight's type."""
        return 1e-12 if dtype == torch.float64 and self.backend == "torch" else 1e-5


DTYPES = [torch.float32, torch.float64]
WHERE = [Where("torch", "cpu"), Where("spconv", "cpu"), Where("torch", "cuda"), Where("spconv", "cuda")]


def marked(where: Where) -> object:
    """As a parameter of tests: named, and among the GPU's tests if it needs one."""
    marks = [pytest.mark.gpu] if where.device == "cuda" else []
    return pytest.param(where, marks=marks, id=f"{where.backend}-{where.device}")


@pytest.fixture(scope="module", params=map(marked, WHERE))
def where(request: pytest.FixtureRequest) -> Where:
    """Each backend on each device; skipped with a reason where it cannot be had."""
    where: Where = request.param
    if where.device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    try:
        sparse_backend.resolve(where.backend, torch.device(where.device))
    except CrossplaceError as error:
        pytest.skip(str(error))
    return where


@pytest.fixture(autouse=True)
def backend_in_force(request: pytest.FixtureRequest) -> Iterator[None]:
    """The backend of ``where``; torch for tests of what only torch promises."""
    chosen = request.getfixturevalue("where") if "where" in request.fixturenames else WHERE[0]
    with sparse_backend.using(chosen.backend):
        yield


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


def check_against_dense(
    conv: SubmanifoldConv3d | SparseConv3d,
    occupied: Tensor,
    dtype: torch.dtype = torch.float32,
    where: Where = WHERE[0],
) -> None:
    """Sites, values and both gradients must be those of a dense convolution, on a CPU, of the zero-filled grid."""
    conv = conv.to(where.device, dtype)
    is_submanifold, only_occupied = isinstance(conv, SubmanifoldConv3d), getattr(conv, "only_occupied", False)
    stride, padding = (1, conv.kernel_size // 2) if is_submanifold else (conv.stride, conv.padding)
    sites = sites_of(occupied)
    features = torch.randn(len(sites.indices), conv.in_channels, dtype=dtype, requires_grad=True)
    output = conv(SparseTensor(features.to(where.device), sites_of(occupied.to(where.device))))
    assert output.features.dtype == dtype

    dense_features = features.detach().clone().requires_grad_()
    dense_weight = conv.weight.detach().cpu().requires_grad_()
    dense = F.conv3d(
        SparseTensor(dense_features, sites).dense(), dense_weight.permute(0, 4, 1, 2, 3), stride=stride, padding=padding
    )
    mask = occupied[:, None].to(dtype)
    reached = F.conv3d(mask, torch.ones(1, 1, *conv.weight.shape[1:4], dtype=dtype), stride=stride, padding=padding)
    if only_occupied:  # the maximum over each cell's own sites, on a grid that is filled up to whole cells
        step = each_axis(conv.stride)
        filled = [n * s for n, s in zip(dense.shape[2:], step, strict=True)]
        room = [0 if i % 2 == 0 else filled[2 - i // 2] - occupied.shape[3 - i // 2] for i in range(6)]
        reached = F.max_pool3d(F.pad(mask, room), step, step)
    expected_sites = sites_of(occupied if is_submanifold else reached[:, 0] > 0.5)
    assert torch.equal(output.sites.indices.cpu(), expected_sites.indices)
    assert output.sites.shape == dense.shape[2:]
    assert output.sites.batch_size == len(occupied)

    batch, z, y, x = expected_sites.indices.unbind(1)
    expected = dense[batch, :, z, y, x]
    tolerance = where.tolerance(dtype)
    torch.testing.assert_close(output.features.cpu(), expected, atol=tolerance, rtol=tolerance)

    cotangent = torch.randn_like(expected)
    output.features.backward(cotangent.to(where.device))
    expected.backward(cotangent)
    torch.testing.assert_close(features.grad, dense_features.grad, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(conv.weight.grad.cpu(), dense_weight.grad, atol=10 * tolerance, rtol=10 * tolerance)


@given(occupied_grids(), st.sampled_from([1, 3, 5]), st.sampled_from(DTYPES))
@settings(max_examples=60, deadline=None)
def test_submanifold_convolution_is_the_dense_one_at_the_input_sites(
    where: Where, occupied: Tensor, kernel_size: int, dtype: torch.dtype
) -> None:
    check_against_dense(SubmanifoldConv3d(3, 4, kernel_size), occupied, dtype, where)


@given(occupied_grids(), st.sampled_from([1, 2, 3]), st.integers(1, 3), st.integers(0, 2), st.sampled_from(DTYPES))
@settings(max_examples=80, deadline=None)
def test_regular_convolution_is_the_dense_one_at_exactly_the_sites_it_reaches(
    where: Where, occupied: Tensor, kernel_size: int, stride: int, padding: int, dtype: torch.dtype
) -> None:
    conv = SparseConv3d(3, 4, kernel_size, stride, padding)
    if min(occupied.shape[1:]) + 2 * padding < kernel_size:
        with pytest.raises(CrossplaceError, match="does not fit"):
            conv(SparseTensor(torch.zeros(int(occupied.sum()), 3), sites_of(occupied)))
    else:
        check_against_dense(conv, occupied, dtype, where)


REACHING = [(3, 2, 1), (3, 1, 1), (5, 3, 2), (1, 1, 0), (3, (1, 1, 2), 1)]


@given(occupied_grids(), st.sampled_from(REACHING), st.sampled_from(DTYPES))
@settings(max_examples=60, deadline=None)
def test_with_only_occupied_cells_it_is_the_dense_one_at_exactly_the_cells_that_hold_a_site(
    where: Where, occupied: Tensor, geometry: tuple[Triple, Triple, Triple], dtype: torch.dtype
) -> None:
    check_against_dense(SparseConv3d(3, 4, *geometry, only_occupied=True), occupied, dtype, where)


def test_occupied_cells_worked_out_by_hand() -> None:
    occupied = torch.zeros(1, 1, 1, 7, dtype=torch.bool)
    occupied[..., [0, 3, 6]] = True
    dilated, kept = (SparseConv3d(1, 1, stride=2, only_occupied=only) for only in (False, True))
    x = SparseTensor(torch.ones(3, 1), sites_of(occupied))
    assert dilated(x).sites.indices[:, 3].tolist() == [0, 1, 2, 3]
    assert kept(x).sites.indices[:, 3].tolist() == [0, 1, 3]


@pytest.mark.parametrize(("kernel_size", "stride", "padding"), [(3, 3, 1), (2, 2, 0), (3, 1, 0), (5, (1, 1, 4), 2)])
def test_a_kernel_that_misses_occupied_cells_is_refused(kernel_size: int, stride: Triple, padding: int) -> None:
    with pytest.raises(CrossplaceError, match="does not reach all occupied cells; choose a padding of half the kernel"):
        SparseConv3d(1, 1, kernel_size, stride, padding, only_occupied=True)
    SparseConv3d(1, 1, kernel_size | 1, min((kernel_size | 1) // 2 + 1, 2), (kernel_size | 1) // 2, only_occupied=True)


@given(occupied_grids(), st.sampled_from([((1, 1, 3), (1, 1, 2), (0, 0, 1)), (3, (1, 1, 2), 1), ((2, 1, 3), 1, 1)]))
@settings(max_examples=30, deadline=None)
def test_axes_may_differ_in_kernel_stride_and_padding(
    where: Where, occupied: Tensor, geometry: tuple[Triple, Triple, Triple]
) -> None:
    check_against_dense(SparseConv3d(3, 4, *geometry), occupied, where=where)


@pytest.mark.parametrize("conv", [SubmanifoldConv3d(3, 4), SparseConv3d(3, 4), SparseConv3d(3, 4, stride=2)])
@pytest.mark.parametrize("cell", [(0, 0, 0, 0), (1, 2, 1, 3), (1, 3, 3, 3)])
def test_single_site(where: Where, conv: SubmanifoldConv3d | SparseConv3d, cell: tuple[int, ...]) -> None:
    occupied = torch.zeros(2, 4, 4, 4, dtype=torch.bool)
    occupied[cell] = True
    conv.zero_grad()
    check_against_dense(conv, occupied, where=where)


@pytest.mark.parametrize("n_samples", [1, 3])
@pytest.mark.parametrize("kind", ["submanifold", "regular", "regular without reach"])
def test_empty_input_or_output_has_the_right_shapes_and_zero_gradients(where: Where, kind: str, n_samples: int) -> None:
    conv = SubmanifoldConv3d(2, 3) if kind == "submanifold" else SparseConv3d(2, 3, stride=2)
    occupied = torch.zeros(n_samples, 4, 4, 4, dtype=torch.bool)
    if kind == "regular without reach":
        conv = SparseConv3d(2, 3, kernel_size=1, stride=2, padding=0)
        occupied[:, 1] = True
    sites, conv = sites_of(occupied.to(where.device)), conv.to(where.device)
    features = torch.zeros(len(sites.indices), 2, device=where.device, requires_grad=True)
    output = conv(SparseTensor(features, sites))
    assert output.features.shape == (0, 3)
    assert output.dense().shape[:2] == (n_samples, 3)
    output.features.sum().backward()
    assert features.grad.shape == features.shape
    assert not features.grad.any()
    assert not conv.weight.grad.any()


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_an_empty_sample_anywhere_leaves_the_others_alone(where: Where, empty: int) -> None:
    occupied = (torch.rand(3, 5, 5, 5) < 0.3).to(where.device)
    occupied[empty] = False
    stack = nn.Sequential(SparseUnit(SubmanifoldConv3d(2, 4)), SparseUnit(SparseConv3d(4, 3, stride=2)))
    stack = stack.eval().to(where.device)
    features = torch.randn(int(occupied.sum()), 2, device=where.device)
    together = stack(SparseTensor(features, sites_of(occupied))).dense()
    sample = occupied.nonzero()[:, 0]
    for b in range(3):
        alone = stack(SparseTensor(features[sample == b], sites_of(occupied[b : b + 1]))).dense()
        torch.testing.assert_close(together[b], alone[0], atol=1e-6, rtol=1e-6)
    assert not together[empty].any()


def test_memory_layout_of_indices_and_features_does_not_matter(where: Where) -> None:
    occupied = (torch.rand(2, 5, 6, 7) < 0.3).to(where.device)
    conv = SparseConv3d(3, 4, stride=2).to(where.device)
    rows = occupied.nonzero()
    features = torch.randn(3, len(rows), device=where.device).T
    transposed, wide = rows.T.contiguous().T, rows.repeat(1, 2)[:, :4]
    assert not any(tensor.is_contiguous() for tensor in (transposed, wide, features))
    expected = conv(SparseTensor(features.contiguous(), Sites(rows.contiguous(), (5, 6, 7), 2))).features
    for indices in (transposed, wide):
        found = conv(SparseTensor(features, Sites(indices, (5, 6, 7), 2))).features
        rounding = 1e-6 if where.device == "cuda" else 0.0  # sums on CUDA have no fixed order
        torch.testing.assert_close(found, expected, atol=rounding, rtol=rounding)


def test_a_stack_trains_alike_on_every_backend(where: Where) -> None:
    """Sites, features, gradients and the weights after a step, against torch on a CPU; weights go over by name."""
    torch.manual_seed(0)
    occupied = torch.rand(3, 10, 11, 12) < 0.2
    occupied[1] = False
    features = torch.randn(int(occupied.sum()), 8)

    def build() -> nn.Sequential:
        return nn.Sequential(
            SparseUnit(SubmanifoldConv3d(8, 8)),
            SparseUnit(SubmanifoldConv3d(8, 8)),
            SparseUnit(SparseConv3d(8, 16, stride=2)),
            SparseUnit(SparseConv3d(16, 16)),
        )

    def step(stack: nn.Sequential, device: str) -> dict[str, Tensor]:
        stack.to(device)
        optimizer = torch.optim.SGD(stack.parameters(), lr=0.1)
        x = features.clone().to(device).requires_grad_()
        y = stack(SparseTensor(x, sites_of(occupied.to(device))))
        y.features.square().mean().backward()
        gradients = {f"gradient {name}": p.grad for name, p in stack.named_parameters()}
        optimizer.step()
        found = {"sites": y.sites.indices, "features": y.features, "gradient": x.grad} | gradients | stack.state_dict()
        return {name: value.detach().cpu() for name, value in found.items()}

    reference = build()
    begun = {name: value.clone() for name, value in reference.state_dict().items()}
    with sparse_backend.using("torch"):
        expected = step(reference, "cpu")
    other = build()
    assert {name: value.shape for name, value in other.state_dict().items()} == {n: v.shape for n, v in begun.items()}
    other.load_state_dict(begun)
    found = step(other, where.device)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(float(value.abs().max()), 1e-3) if value.is_floating_point() else 1.0
        torch.testing.assert_close(found[name], value, atol=1e-4 * scale, rtol=1e-4, msg=f"{name} differs")


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
    monkeypatch.setattr(sparse_torch, "_PORTION", portion)
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
        reached, regular = sparse_torch.reach(sites, kernel_size, stride, kernel_size // 2)
        books = [sparse_torch.submanifold(sites, kernel_size), regular]
        counts = [torch.tensor([book.n_outputs, *book.counts]) for book in books]
        return [reached.indices, *counts, *(rows for book in books for rows in (book.in_rows, book.out_rows))]

    tabled = rules()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_torch, "_TABLE_CELLS", 0)
        searched = rules()
    assert all(torch.equal(a, b) for a, b in zip(tabled, searched, strict=True))


def test_submanifold_layers_on_the_same_sites_share_their_rules(where: Where) -> None:
    indices = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [1, 2, 2, 2]], device=where.device)
    x = SparseTensor(torch.randn(3, 2, device=where.device), Sites(indices, (3, 3, 3), 2))
    rules = sparse_backend.submanifold(x.sites, 3)
    y = SubmanifoldConv3d(2, 2).to(where.device)(x)
    assert y.sites is x.sites
    assert sparse_backend.submanifold(y.sites, 3) is rules
    assert sparse_backend.submanifold(x.sites, 1) is not rules


@pytest.mark.parametrize("conv", [SubmanifoldConv3d(4, 4), SparseConv3d(4, 4, stride=2)])
def test_autocast_changes_nothing(where: Where, conv: SubmanifoldConv3d | SparseConv3d) -> None:
    occupied = (torch.rand(1, 5, 5, 5) < 0.4).to(where.device)
    features = torch.randn(int(occupied.sum()), 4, device=where.device)
    conv = conv.to(where.device)

    def once(enabled: bool) -> tuple[Tensor, Tensor, Tensor]:
        conv.zero_grad()
        x = features.clone().requires_grad_()
        with torch.autocast(where.device, torch.bfloat16, enabled=enabled):
            y = conv(SparseTensor(x, sites_of(occupied))).features
            y.square().sum().backward()
        return y, x.grad, conv.weight.grad

    for plain, mixed in zip(once(False), once(True), strict=True):
        assert mixed.dtype == torch.float32
        torch.testing.assert_close(plain, mixed, atol=1e-5, rtol=1e-5)
    conv.cpu()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_are_computed_in_the_precision_of_the_weight(where: Where, dtype: torch.dtype) -> None:
    occupied = (torch.rand(1, 5, 5, 5) < 0.4).to(where.device)
    features = torch.randn(int(occupied.sum()), 2, dtype=dtype, device=where.device, requires_grad=True)
    conv = SubmanifoldConv3d(2, 3).to(where.device)
    found = conv(SparseTensor(features, sites_of(occupied))).features
    torch.testing.assert_close(found, conv(SparseTensor(features.float(), sites_of(occupied))).features)
    assert found.dtype == torch.float32
    found.sum().backward()
    assert features.grad.dtype == dtype


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
