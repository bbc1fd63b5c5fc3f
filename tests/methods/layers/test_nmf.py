import pytest
import torch
from torch import Tensor

from methods.layers.nmf import factorise, heat_maps


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def by_loop(matrix: Tensor, start: Tensor, updates: int) -> tuple[Tensor, Tensor]:
    """One matrix, entry by entry, in double precision."""
    v, h = matrix.double(), start.double().clone()
    n, c, k = *v.shape, len(h)
    w = torch.ones(n, k, dtype=torch.float64)
    for _ in range(updates):
        above, product = v @ h.T, w @ h
        w = torch.tensor(
            [
                [float(w[i, a] * above[i, a]) / sum(float(product[i, j] * h[a, j]) for j in range(c)) for a in range(k)]
                for i in range(n)
            ],
            dtype=torch.float64,
        )
        above, product = w.T @ v, w @ h
        h = torch.tensor(
            [
                [float(h[a, j] * above[a, j]) / sum(float(w[i, a] * product[i, j]) for i in range(n)) for j in range(c)]
                for a in range(k)
            ],
            dtype=torch.float64,
        )
    return w, h


@pytest.mark.parametrize("updates", [1, 2, 10])
def test_factors_are_those_of_naive_multiplicative_updates(updates: int) -> None:
    matrices, start = random(3, 7, 5), random(2, 5, seed=1) + 0.1
    found = factorise(matrices, start, updates)
    for matrix, shares, parts in zip(matrices, *found, strict=True):
        expected_shares, expected_parts = by_loop(matrix, start, updates)
        torch.testing.assert_close(shares.double(), expected_shares, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(parts.double(), expected_parts, atol=1e-5, rtol=1e-4)


def test_the_reconstruction_error_falls_and_the_factors_stay_non_negative() -> None:
    matrices, start = random(4, 40, 12), random(5, 12, seed=1)
    errors = []
    for updates in (1, 2, 5, 10, 20, 50):
        shares, parts = factorise(matrices, start, updates)
        assert shares.min() >= 0
        assert parts.min() >= 0
        errors.append((matrices - shares @ parts).square().sum((1, 2)))
    falls = torch.stack(errors).diff(dim=0)
    assert (falls < 1e-5).all()
    assert (errors[-1] < 0.6 * errors[0]).all()


def test_a_matrix_of_low_rank_is_found_again() -> None:
    matrix = random(1, 60, 3) @ random(1, 3, 10, seed=1)
    shares, parts = factorise(matrix, random(3, 10, seed=2), updates=3000)
    assert (matrix - shares @ parts).norm() / matrix.norm() < 0.01


def test_zeros_give_no_shares_and_nothing_that_is_not_finite() -> None:
    matrices = random(2, 6, 5)
    matrices[0] = 0
    shares, parts = factorise(matrices, random(3, 5, seed=1))
    assert not shares[0].any()
    assert shares.isfinite().all()
    assert parts.isfinite().all()


def test_no_gradient_flows_through_it() -> None:
    maps = random(2, 8, 3, 4).requires_grad_()
    assert not heat_maps(maps, random(3, 8, seed=1)).requires_grad


def test_heat_maps_are_shares_in_their_cells_in_units_of_the_features() -> None:
    maps, start = random(2, 8, 3, 4) - 0.2, random(3, 8, seed=1)
    found = heat_maps(maps, start, updates=5)
    assert found.shape == (2, 3, 3, 4)
    rows = maps[1].relu().flatten(1).T[None]  # negative features count as zero
    shares, parts = factorise(rows, start, updates=5)
    torch.testing.assert_close(found[1, 2, 1, 3], shares[0, 1 * 4 + 3, 2] * parts[0, 2].norm())
    torch.testing.assert_close(heat_maps(3 * maps, start, updates=50), 3 * heat_maps(maps, start, updates=50))


def test_a_map_is_factorised_by_itself_unless_the_batch_is_wanted_together() -> None:
    maps, start = random(3, 8, 3, 4), random(3, 8, seed=1)
    alone = torch.cat([heat_maps(each[None], start) for each in maps])
    torch.testing.assert_close(heat_maps(maps, start), alone, atol=1e-5, rtol=1e-5)
    together = heat_maps(maps, start, together=True)
    assert (together - alone).abs().max() > 0.01
    shares, parts = factorise(maps.flatten(2).mT.reshape(1, 36, 8), start)
    torch.testing.assert_close(together[2, :, 0, 1], shares[0, 24 + 1] * parts[0].norm(dim=1))
