import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods.layers.gem import GeM


def naive_gem(values: list[float], p: float, eps: float) -> float:
    return (sum(max(v, eps) ** p for v in values) / len(values)) ** (1 / p)


@given(st.floats(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_dense_pooling_agrees_with_a_plain_loop(p: float, batch_size: int, side: int, seed: int) -> None:
    feature_map = torch.randn(batch_size, 2, side, side + 1, generator=torch.Generator().manual_seed(seed))
    pooled = GeM(p)(feature_map).detach()
    for b in range(batch_size):
        for c in range(2):
            expected = naive_gem(feature_map[b, c].flatten().tolist(), p, 1e-6)
            assert float(pooled[b, c]) == pytest.approx(expected, rel=1e-4)


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_ragged_pooling_agrees_with_a_plain_loop_in_any_order_of_rows(samples: list[int], seed: int) -> None:
    features = torch.randn(len(samples), 2, generator=torch.Generator().manual_seed(seed))
    pooled = GeM().pool_rows(features, torch.tensor(samples, dtype=torch.long), 4).detach()
    for b in range(4):
        own = [row for row, sample in zip(features.tolist(), samples, strict=True) if sample == b] or [[0.0, 0.0]]
        for c in range(2):
            expected = naive_gem([row[c] for row in own], 3.0, 1e-6)
            assert float(pooled[b, c]) == pytest.approx(expected, rel=1e-4)


def test_cells_of_a_map_and_the_same_values_as_rows_pool_alike() -> None:
    feature_map = torch.randn(2, 5, 3, 4)
    rows = feature_map.permute(0, 2, 3, 1).reshape(-1, 5)
    gem = GeM()
    torch.testing.assert_close(gem.pool_rows(rows, torch.arange(2).repeat_interleave(12), 2), gem(feature_map))


def gradients(features: Tensor, batch_index: Tensor, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    gem = GeM()
    features = features.clone().requires_grad_()
    pooled = gem.pool_rows(features, batch_index, batch_size)
    pooled.square().sum().backward()
    return pooled, features.grad, gem.p.grad


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_an_empty_sample_pools_to_eps_with_finite_gradients(empty: int) -> None:
    batch_index = torch.tensor([b for b in range(3) if b != empty]).repeat_interleave(4)
    pooled, grad_features, grad_p = gradients(torch.rand(8, 3), batch_index, 3)
    torch.testing.assert_close(pooled[empty], torch.full((3,), 1e-6))
    assert grad_features.isfinite().all()
    assert (grad_features > 0).all()
    assert grad_p.isfinite().all()


def test_no_rows_at_all_pool_to_eps_with_finite_gradients() -> None:
    pooled, _, grad_p = gradients(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 2)
    torch.testing.assert_close(pooled, torch.full((2, 3), 1e-6))
    assert grad_p.isfinite().all()


def test_values_of_zero_and_below_have_finite_gradients() -> None:
    _, grad_features, grad_p = gradients(torch.tensor([[0.0, -3.0], [0.0, -1.0]]), torch.tensor([0, 0]), 1)
    assert grad_features.isfinite().all()
    assert grad_p.isfinite().all()


def test_gradients_agree_with_finite_differences() -> None:
    gem = GeM().double()
    features = torch.rand(6, 2, dtype=torch.float64, requires_grad=True)
    batch_index = torch.tensor([0, 2, 0, 2, 2, 0])
    assert torch.autograd.gradcheck(lambda f, _: gem.pool_rows(f, batch_index, 3)[[0, 2]], (features, gem.p))


def test_samples_do_not_see_each_other() -> None:
    feature_map, gem = torch.randn(3, 4, 5, 5), GeM()
    together = gem(feature_map)
    for b in range(3):
        torch.testing.assert_close(gem(feature_map[b : b + 1])[0], together[b])


def test_exponent_runs_from_mean_to_maximum() -> None:
    feature_map = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    assert GeM(1.0)(feature_map).item() == pytest.approx(2.0)
    assert GeM(60.0)(feature_map).item() == pytest.approx(3.0, rel=0.03)


def test_half_precision_features_do_not_underflow() -> None:
    pooled = GeM()(torch.zeros(1, 1, 2, 2, dtype=torch.float16))
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx(1e-6, rel=1e-4)


def test_exponent_is_a_learnable_vector_of_one() -> None:
    assert [(name, tuple(p.shape)) for name, p in GeM().named_parameters()] == [("p", (1,))]


def test_weights_make_the_mean_of_powers_a_weighted_one_whatever_their_unit() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 0.5], [2.0, 2.0]])
    batch_index, weights = torch.tensor([0, 0, 2]), torch.tensor([0.5, 0.25, 7.0])
    found = GeM(p=2.0).pool_rows(features, batch_index, 3, weights)
    # sample 0: √((0.5 · 1 + 0.25 · 9) / 0.75), √((0.5 · 4 + 0.25 · 0.25) / 0.75); sample 1 has no rows
    expected = torch.tensor([[(2.75 / 0.75) ** 0.5, (2.0625 / 0.75) ** 0.5], [1e-6, 1e-6], [2.0, 2.0]])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(GeM(p=2.0).pool_rows(features, batch_index, 3, weights / 1000), expected)


def test_equal_weights_change_nothing() -> None:
    features, batch_index = torch.rand(9, 4), torch.arange(9) // 3
    pool = GeM()
    torch.testing.assert_close(
        pool.pool_rows(features, batch_index, 3, torch.full((9,), 0.3)), pool.pool_rows(features, batch_index, 3)
    )
