from collections.abc import Iterator

import numpy as np
import pytest
import torch
from batches import count
from torch import Tensor

from datasets.errors import CrossplaceError
from methods.layers.netvlad import NetVLAD, initialise_clusters
from methods.layers.pooling import POOLINGS, Pool, pooled_channels


def naive(pool: NetVLAD, rows: Tensor) -> Tensor:
    """One sample, cluster by cluster and row by row, as in the paper's equations 3 and 4."""
    vectors = []
    for k, centre in enumerate(pool.centres):
        total = torch.zeros_like(centre)
        for row in rows:
            unit = row / row.norm()
            scores = torch.stack(
                [w @ unit + b for w, b in zip(pool.assignment.weight, pool.assignment.bias, strict=True)]
            )
            total = total + scores.exp()[k] / scores.exp().sum() * (unit - centre)
        vectors.append(total / total.norm())
    joined = torch.cat(vectors)
    return joined / joined.norm()


def test_pooling_equals_the_papers_equations() -> None:
    torch.manual_seed(0)
    pool, rows = NetVLAD(5, clusters=3), torch.randn(7, 5)
    torch.testing.assert_close(pool.pool_rows(rows, torch.zeros(7, dtype=torch.long), 1)[0], naive(pool, rows))


@pytest.mark.parametrize("name", POOLINGS)
def test_rows_in_any_order_pool_as_the_map_they_are_cells_of(name: str) -> None:
    torch.manual_seed(0)
    pool: Pool = POOLINGS[name](6)
    feature_map = torch.rand(3, 6, 4, 5)
    rows = feature_map.movedim(1, -1).reshape(-1, 6)
    shuffled = torch.randperm(len(rows))
    pooled = pool.pool_rows(rows[shuffled], torch.arange(3).repeat_interleave(20)[shuffled], 3)
    torch.testing.assert_close(pooled, pool(feature_map))
    assert pooled.shape == (3, pooled_channels(pool, 6))


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("samples", [[], [0, 0], [1, 2, 2], [0, 3]], ids=str)
def test_samples_without_rows_are_finite_and_leave_the_others_alone(name: str, samples: list[int]) -> None:
    torch.manual_seed(0)
    pool: Pool = POOLINGS[name](4)
    rows = torch.rand(len(samples), 4, requires_grad=True)
    index = torch.tensor(samples, dtype=torch.long)
    pooled = pool.pool_rows(rows, index, 4)
    assert pooled.isfinite().all()
    for sample in set(samples):
        own = index == sample
        alone = pool.pool_rows(rows[own], torch.zeros(int(own.sum()), dtype=torch.long), 1)[0]
        torch.testing.assert_close(pooled[sample], alone)
    pooled.sum().backward()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()


def test_clusters_are_found_and_assigned_sharply() -> None:
    """Three tight bundles of directions: each centre is one of them, each row goes to its own."""
    torch.manual_seed(0)
    directions = torch.eye(6)[:3]
    features = (directions.repeat_interleave(50, 0) + 0.02 * torch.randn(150, 6)) * torch.rand(150, 1).add(0.5)
    pool = NetVLAD(6, clusters=3)
    pool.initialise(features)
    nearest = torch.cdist(directions, pool.centres).argmin(1)
    assert sorted(nearest.tolist()) == [0, 1, 2]
    torch.testing.assert_close(pool.centres[nearest], directions, atol=0.03, rtol=0)
    unit = torch.nn.functional.normalize(features, dim=1)
    share = pool.assignment(unit).softmax(1).detach()
    assert (share.argmax(1) == nearest.repeat_interleave(50)).all()
    ratio = share.sort(descending=True).values
    assert np.isclose(float((ratio[:, 0] / ratio[:, 1]).log().mean()), np.log(100), rtol=1e-4)


def test_initialisation_repeats_and_asks_for_no_more_than_it_needs() -> None:
    features = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    pools = [NetVLAD(8, clusters=4) for _ in range(2)]
    asked = []

    def parts() -> Iterator[Tensor]:
        for number, part in enumerate(features.split(1000)):
            asked.append(number)
            yield part

    for pool in pools:
        asked.clear()
        initialise_clusters(pool, parts(), enough=2000)
        assert asked == [0, 1]
    torch.testing.assert_close(pools[0].centres, pools[1].centres, rtol=0, atol=0)


def test_other_poolings_ask_for_nothing_and_too_few_features_are_an_error() -> None:
    initialise_clusters(POOLINGS["mean"](4), (1 / 0 for _ in range(1)))  # type: ignore[misc]
    with pytest.raises(CrossplaceError, match="3 training features cannot be grouped into 64 clusters"):
        initialise_clusters(NetVLAD(4), [torch.rand(3, 4)])


def test_without_any_training_batch_the_clusters_stay() -> None:
    """No place was visited twice: the training loop says so in a sentence right after."""
    pool = NetVLAD(4)
    before = pool.centres.detach().clone()
    initialise_clusters(pool, [])
    assert torch.equal(pool.centres, before)


@pytest.mark.parametrize("name", ["mean", "netvlad"])
def test_gradients_are_right(name: str) -> None:
    torch.manual_seed(0)
    pool = NetVLAD(3, clusters=2).double() if name == "netvlad" else POOLINGS[name](3)
    rows, index = torch.rand(5, 3, dtype=torch.float64, requires_grad=True), torch.tensor([0, 0, 2, 2, 2])
    assert torch.autograd.gradcheck(lambda r: pool.pool_rows(r, index, 3), rows)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_row_of_weight_two_counts_as_two_rows(name: str) -> None:
    torch.manual_seed(0)
    pool, rows = POOLINGS[name](4), torch.rand(3, 4)
    weighted = pool.pool_rows(rows, torch.zeros(3, dtype=torch.long), 1, torch.tensor([1.0, 2.0, 1.0]))
    repeated = pool.pool_rows(rows[[0, 1, 1, 2]], torch.zeros(4, dtype=torch.long), 1)
    torch.testing.assert_close(weighted, repeated)


def test_without_bias_rows_are_assigned_by_angle_alone() -> None:
    torch.manual_seed(0)
    directions = torch.eye(6)[:3]
    features = directions.repeat_interleave(50, 0) + 0.02 * torch.randn(150, 6)
    pool = NetVLAD(6, clusters=3, bias=False)
    assert count(pool) == 2 * 3 * 6
    pool.initialise(features)
    rows = torch.nn.functional.normalize(features, dim=1)
    share = pool.assignment(rows).softmax(1).detach()
    angles = rows @ torch.nn.functional.normalize(pool.centres, dim=1).T
    assert torch.equal(share.argmax(1), angles.argmax(1))
    assert len(share.argmax(1).unique()) == 3
    ratio = share.sort(descending=True).values
    assert np.isclose(float((ratio[:, 0] / ratio[:, 1]).log().mean()), np.log(100), rtol=1e-4)
