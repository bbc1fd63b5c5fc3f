import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.layers.layout_pool import Layout, LayoutPool
from methods.layers.pooling import pool_of, pooled_channels


def pool_with(rows: int, columns: int, channels: int = 3) -> LayoutPool:
    torch.manual_seed(0)
    return LayoutPool(2, Layout(rows=rows, columns=columns, channels=channels))


def reduced(pool: LayoutPool, means: list[list[float]]) -> list[float]:
    """The means of all cells, each times the reduction's matrix, one beside the other."""
    matrix = pool.reduce.weight.tolist()
    return [sum(w * m for w, m in zip(row, mean, strict=True)) for mean in means for row in matrix]


def test_by_default_it_has_two_rows_of_six_cells() -> None:
    pool = pool_of("layout", 128)
    assert (pool.layout.rows, pool.layout.columns, pool.out_channels) == (2, 6, 768)
    assert pooled_channels(pool, 128) == 768
    assert pool(torch.zeros(3, 128, 14, 14)).shape == (3, 768)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(3, 7), st.integers(4, 9), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_maps_agree_with_a_loop_over_cells(rows: int, columns: int, height: int, width: int, seed: int) -> None:
    pool = pool_with(rows, columns)
    feature_map = torch.randn(2, 2, height, width, generator=torch.Generator().manual_seed(seed))
    found = pool(feature_map).tolist()
    for sample in range(2):
        means = []
        for i in range(rows):
            for j in range(columns):
                # from the cell's first row or column of the map, in part, to its last one, in part
                ys = range(i * height // rows, -(-(i + 1) * height // rows))
                xs = range(j * width // columns, -(-(j + 1) * width // columns))
                cell = [feature_map[sample, :, y, x].tolist() for y in ys for x in xs]
                means.append([sum(values) / len(cell) for values in zip(*cell, strict=True)])
        assert found[sample] == pytest.approx(reduced(pool, means), rel=1e-4, abs=1e-5)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 12), st.booleans(), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_rows_agree_with_a_loop_over_cells(rows: int, columns: int, n: int, is_weighted: bool, seed: int) -> None:
    pool, generator = pool_with(rows, columns), torch.Generator().manual_seed(seed)
    features, uv = torch.randn(n, 2, generator=generator), torch.rand(n, 2, generator=generator)
    batch_index = torch.randint(0, 3, (n,), generator=generator)
    weights = torch.rand(n, generator=generator) + 0.1 if is_weighted else None
    found = pool.pool_rows(features, uv, batch_index, 3, weights).tolist()
    for sample in range(3):
        means = []
        for i in range(rows):
            for j in range(columns):
                total, sums = 0.0, [0.0, 0.0]
                for k in range(n):
                    u, v = uv[k].tolist()
                    if int(batch_index[k]) == sample and int(v * rows) == i and int(u * columns) == j:
                        weight = 1.0 if weights is None else float(weights[k])
                        total += weight
                        sums = [s + weight * x for s, x in zip(sums, features[k].tolist(), strict=True)]
                means.append([s / total if total else 0.0 for s in sums])
        assert found[sample] == pytest.approx(reduced(pool, means), rel=1e-4, abs=1e-5)


def test_cells_of_a_map_and_the_same_values_as_rows_pool_alike() -> None:
    pool, feature_map = pool_with(2, 6), torch.randn(2, 2, 4, 12)
    row, column = torch.meshgrid(torch.arange(4), torch.arange(12), indexing="ij")
    uv = torch.stack([(column + 0.5) / 12, (row + 0.5) / 4], dim=-1).reshape(-1, 2).repeat(2, 1)
    rows = feature_map.permute(0, 2, 3, 1).reshape(-1, 2)
    torch.testing.assert_close(pool.pool_rows(rows, uv, torch.arange(2).repeat_interleave(48), 2), pool(feature_map))


def test_where_something_is_seen_changes_the_descriptor() -> None:
    pool, feature, index = pool_with(2, 6), torch.ones(1, 2), torch.zeros(1, dtype=torch.long)
    left, right = (pool.pool_rows(feature, torch.tensor([[u, 0.2]]), index, 1)[0] for u in (0.1, 0.9))
    assert left[:3].tolist() == right[15:18].tolist() != [0, 0, 0]
    assert left[3:].abs().sum() == right[:15].abs().sum() == 0


def test_clouds_without_rows_give_zeros_and_finite_gradients() -> None:
    pool = pool_with(2, 6)
    features = torch.zeros(0, 2, requires_grad=True)
    pooled = pool.pool_rows(features, torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), 2)
    assert torch.equal(pooled, torch.zeros(2, 36))
    pooled.square().sum().backward()
    assert pool.reduce.weight.grad.isfinite().all()
