import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datasets.errors import CrossplaceError
from methods.layers.salad import Salad, transported

MANY = 500
"""Iterations after which Sinkhorn's algorithm has arrived, for scores of this size."""


def scores_of(seed: int, n: int = 7, k: int = 3, spread: float = 2.0) -> Tensor:
    return spread * torch.randn(1, n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def zero() -> Tensor:
    return torch.zeros((), dtype=torch.float64)


def naive(scores: list[list[float]], dustbin: float, iterations: int) -> list[list[float]]:
    """Sinkhorn's algorithm as it is usually told: rows and columns of positive numbers are scaled in turn."""
    n, k = len(scores), len(scores[0])
    mass = [[math.exp(x) for x in [*row, dustbin]] for row in scores]
    wanted = [1.0] * k + [float(n - k)]
    for _ in range(iterations):
        mass = [[x / sum(row) for x in row] for row in mass]
        sums = [sum(row[j] for row in mass) for j in range(k + 1)]
        mass = [[x * wanted[j] / sums[j] for j, x in enumerate(row)] for row in mass]
    return [row[:k] for row in mass]


@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_transport_is_that_of_a_loop(iterations: int) -> None:
    scores = scores_of(0)
    found = transported(scores, zero() + 0.7, iterations)[0]
    torch.testing.assert_close(found, torch.tensor(naive(scores[0].tolist(), 0.7, iterations), dtype=torch.float64))


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6), st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_each_cluster_takes_one_and_no_feature_gives_more_than_it_has(
    seed: int, k: int, more: int, dustbin: float
) -> None:
    n = k + more
    found = transported(scores_of(seed, n, k), zero() + dustbin, MANY)[0]
    torch.testing.assert_close(found.sum(0), torch.ones(k, dtype=torch.float64))
    assert (found.sum(1) <= 1 + 1e-4).all()
    assert float(found.sum()) == pytest.approx(k)  # so that the dustbin has the rest


def test_three_iterations_fill_the_clusters_exactly() -> None:
    torch.testing.assert_close(transported(scores_of(1), zero(), 3).sum(1), torch.ones(1, 3, dtype=torch.float64))


def test_the_plan_is_the_one_that_scales_the_powers_of_the_scores() -> None:
    """The optimum is known by its form: mass = row factor × column factor × exp(score). Factors cancel in crosses."""
    scores = scores_of(2)[0]
    found = transported(scores[None], zero(), MANY)[0].log()
    for i in range(6):
        for j in range(2):
            cross = found[i, j] + found[i + 1, j + 1] - found[i, j + 1] - found[i + 1, j]
            expected = scores[i, j] + scores[i + 1, j + 1] - scores[i, j + 1] - scores[i + 1, j]
            assert float(cross) == pytest.approx(float(expected))


def test_equal_scores_by_hand() -> None:
    # three features, one cluster, one dustbin of mass two: every feature gives a third to the cluster
    torch.testing.assert_close(transported(torch.zeros(1, 3, 1), torch.tensor(0.0)), torch.full((1, 3, 1), 1 / 3))


def test_features_without_a_cluster_of_their_own_go_to_the_dustbin() -> None:
    """Two features fit the two clusters, four fit none: these give next to nothing."""
    scores = torch.full((1, 6, 2), -4.0)
    scores[0, 0, 0] = scores[0, 1, 1] = 4.0
    found = transported(scores, torch.tensor(0.0), 50)[0]
    assert (found[:2].amax(1) > 0.95).all()
    assert (found[2:].sum(1) < 0.03).all()


def test_the_score_of_the_dustbin_matters_less_with_each_iteration() -> None:
    """Its mass is fixed, so a score that all features share is scaled away."""
    few, many = (
        (transported(scores_of(4), zero() + 2, n) - transported(scores_of(4), zero() - 2, n)).abs().max()
        for n in (1, MANY)
    )
    assert few > 1e-2
    assert many < 1e-9


def test_large_scores_neither_overflow_nor_stop_the_gradient() -> None:
    scores = (400 * torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0))).requires_grad_()
    dustbin = torch.tensor(1.0, requires_grad=True)
    transported(scores, dustbin).square().sum().backward()
    assert scores.grad.isfinite().all()
    assert dustbin.grad.isfinite()


def test_gradients_agree_with_finite_differences() -> None:
    assert torch.autograd.gradcheck(
        lambda scores, dustbin: transported(scores, dustbin, 3),
        (scores_of(3).requires_grad_(), zero().requires_grad_()),
    )


@pytest.mark.parametrize("n", [2, 3])
def test_too_few_features_are_a_sentence_and_more_or_fewer_clusters_cure_it(n: int) -> None:
    with pytest.raises(CrossplaceError, match=f"{n} local features cannot fill 3 clusters.*larger images or fewer"):
        transported(torch.zeros(1, n, 3), torch.tensor(0.0))
    transported(torch.zeros(1, 4, 3), torch.tensor(0.0))
    transported(torch.zeros(1, n, 1), torch.tensor(0.0))


# --- the whole pooling ---------------------------------------------------------------------------


def new_salad() -> Salad:
    torch.manual_seed(0)
    return Salad(6, clusters=4, cluster_channels=5, token_channels=3, hidden=8).eval()


def inputs(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 6, 3, 4, generator=generator), torch.randn(2, 6, generator=generator)


def test_descriptors_equal_a_loop_over_features_and_clusters() -> None:
    salad, (feature_map, token) = new_salad(), inputs()
    found = salad(feature_map, token)
    assert found.shape == (2, salad.out_channels) == (2, 4 * 5 + 3)
    for sample in range(2):
        cells = feature_map[sample].flatten(1).T
        plan = naive(salad.scores(cells).tolist(), float(salad.dustbin.detach()), 3)
        reduced = salad.features(cells)
        parts = []
        for k in range(4):
            total = sum(plan[i][k] * reduced[i] for i in range(12))
            parts.append(total / total.norm())
        whole = salad.token(token[sample])
        joined = torch.cat([*parts, whole / whole.norm()])
        torch.testing.assert_close(found[sample], joined / joined.norm(), atol=1e-5, rtol=1e-4)


def test_the_order_of_the_cells_does_not_matter_and_the_token_does() -> None:
    salad, (feature_map, token) = new_salad(), inputs()
    found = salad(feature_map, token)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    shuffled = feature_map.flatten(2)[:, :, order].view_as(feature_map)
    torch.testing.assert_close(salad(shuffled, token), found)
    assert (salad(feature_map, token.flip(0)) - found).abs().max() > 1e-2


def test_training_reaches_every_part() -> None:
    salad, (feature_map, token) = new_salad().train(), inputs()
    salad(feature_map, token)[:, ::2].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in salad.parameters())


def test_a_descriptor_of_equal_cells_is_finite() -> None:
    salad = new_salad()
    found = salad(torch.zeros(1, 6, 3, 4), torch.zeros(1, 6))
    assert found.isfinite().all()
    assert float(found.detach().norm()) == pytest.approx(1)


def test_the_published_sizes_make_8448_numbers() -> None:
    with torch.device("meta"):
        assert Salad(768).out_channels == 8448
