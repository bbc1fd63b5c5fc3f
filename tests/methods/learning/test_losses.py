import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from batches import bare_frame as frame
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datasets.base import Selection, Split
from methods.learning.losses import (
    batch_all_triplet,
    batch_hard_triplet,
    cross_modal_masks,
    multi_similarity,
    pair_masks,
    pairwise_distance,
    soft_target_cross_entropy,
    symmetric_info_nce,
)

SPLIT = Split(train=Selection(), validation=Selection(), positive_m=10.0, negative_m=25.0, heading_limit_rad=0.5)


# --- masks ---------------------------------------------------------------------------------------


def test_masks_worked_out_by_hand() -> None:
    frames = [
        frame("here", 0),
        frame("ten metres on", 10),
        frame("in between", 20),
        frame("far", 25.1),
        frame("here, turned", 1, yaw_rad=3.0),
        frame("another world", 0, world="b"),
    ]
    positive, negative = pair_masks(frames, SPLIT, "cpu")
    # from "here": the limit is inclusive, 20 m is neither, and a turned view is neither
    assert positive[0].tolist() == [False, True, False, False, False, False]
    assert negative[0].tolist() == [False, False, False, True, False, True]


def test_a_frame_that_is_drawn_twice_is_no_positive_of_itself() -> None:
    twice = frame("twice", 0)
    positive, negative = pair_masks([twice, frame("near", 3), twice], SPLIT, "cpu")
    assert positive.tolist() == [[False, True, False], [True, False, True], [False, True, False]]
    assert not negative.any()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 6), st.sampled_from([0.0, 9.9, 10.0, 20.0, 25.0, 30.0]), st.floats(-4, 4), st.booleans()
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([0.5, None]),
)
@settings(max_examples=50, deadline=None)
def test_masks_agree_with_a_loop_over_pairs(
    drawn: list[tuple[int, float, float, bool]], heading_limit_rad: float | None
) -> None:
    frames = [frame(str(i), x, 0.0, yaw, "a" if in_a else "b") for i, x, yaw, in_a in drawn]
    positive, negative = pair_masks(frames, replace(SPLIT, heading_limit_rad=heading_limit_rad), "cpu")
    for i, a in enumerate(frames):
        for j, b in enumerate(frames):
            apart_m = math.dist(a.position_m, b.position_m) if a.world == b.world else math.inf
            turn = abs(math.remainder(a.yaw_rad - b.yaw_rad, 2 * math.pi))
            heading_fits = heading_limit_rad is None or turn < heading_limit_rad
            assert bool(positive[i, j]) == (apart_m <= 10 and heading_fits and a.frame_id != b.frame_id)
            assert bool(negative[i, j]) == (apart_m > 25)


# --- triplets ------------------------------------------------------------------------------------


def naive_triplets(embeddings: Tensor, positive: Tensor, negative: Tensor, margin: float, swap: bool) -> list[float]:
    """The loss of every triplet, anchor after anchor."""
    points = embeddings.tolist()
    losses = []
    for a in range(len(points)):
        positives = [i for i in range(len(points)) if positive[a, i]]
        negatives = [i for i in range(len(points)) if negative[a, i]]
        if positives and negatives:
            p = max(positives, key=lambda i: math.dist(points[a], points[i]))
            n = min(negatives, key=lambda i: math.dist(points[a], points[i]))
            to_negative = math.dist(points[a], points[n])
            if swap:
                to_negative = min(to_negative, math.dist(points[p], points[n]))
            losses.append(max(math.dist(points[a], points[p]) - to_negative + margin, 0.0))
    return losses


@given(st.integers(1, 9), st.integers(1, 4), st.floats(0, 2), st.booleans(), st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_triplet_loss_agrees_with_a_loop_over_anchors(n: int, size: int, margin: float, swap: bool, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(n, size, generator=random, dtype=torch.float64)
    relation = torch.randint(0, 3, (n, n), generator=random).fill_diagonal_(0)
    positive, negative = relation == 1, relation == 2
    expected = naive_triplets(embeddings, positive, negative, margin, swap)
    loss_sum, active, triplets = batch_hard_triplet(embeddings, positive, negative, margin, swap=swap)
    assert float(loss_sum) == pytest.approx(sum(expected), abs=1e-9)
    assert int(triplets) == len(expected)
    assert int(active) == sum(loss > 0 for loss in expected)


def line(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


def masks(positive: list[tuple[int, int]], negative: list[tuple[int, int]], n: int) -> tuple[Tensor, Tensor]:
    both = torch.zeros(2, n, n, dtype=torch.bool)
    for mask, pairs in zip(both, (positive, negative), strict=True):
        for i, j in pairs:
            mask[i, j] = True
    return both[0], both[1]


@pytest.mark.parametrize(("swap", "expected"), [(False, 1.0 - 1.5 + 1.0), (True, 1.0 - 0.5 + 1.0)])
def test_swap_takes_the_negative_nearer_to_the_positive(swap: bool, expected: float) -> None:
    # anchor at 0, positive at 1, negative at 1.5: it is 1.5 from the anchor and 0.5 from the positive
    positive, negative = masks([(0, 1)], [(0, 2)], 3)
    loss_sum, active, triplets = batch_hard_triplet(line(0, 1, 1.5), positive, negative, 1.0, swap=swap)
    assert (float(loss_sum), float(active), float(triplets)) == (pytest.approx(expected), 1, 1)


def test_the_farthest_positive_and_the_nearest_negative_count() -> None:
    positive, negative = masks([(0, 1), (0, 2)], [(0, 3), (0, 4)], 5)
    loss_sum, _, triplets = batch_hard_triplet(line(0, -1, -2, 3, 9), positive, negative, 2.0)
    assert (float(loss_sum), float(triplets)) == (pytest.approx(2 - 3 + 2), 1)


@pytest.mark.parametrize(("positive", "negative"), [([], [(0, 1)]), ([(0, 1)], []), ([], [])])
def test_anchors_without_a_positive_or_a_negative_form_no_triplet(positive: list, negative: list) -> None:
    embeddings = line(0, 1).requires_grad_()
    loss_sum, active, triplets = batch_hard_triplet(embeddings, *masks(positive, negative, 2))
    assert (float(loss_sum.detach()), float(active), float(triplets)) == (0, 0, 0)
    loss_sum.backward()
    assert embeddings.grad.tolist() == [[0], [0]]


def test_triplets_beyond_the_margin_are_counted_but_not_active() -> None:
    embeddings = line(0, 0.1, 9).requires_grad_()
    loss_sum, active, triplets = batch_hard_triplet(embeddings, *masks([(0, 1), (1, 0)], [(0, 2), (1, 2)], 3))
    loss_sum.backward()
    assert (float(loss_sum.detach()), float(active), float(triplets)) == (0, 0, 2)
    assert embeddings.grad.tolist() == [[0], [0], [0]]


def test_gradient_is_finite_where_embeddings_coincide() -> None:
    embeddings = torch.zeros(4, 3, requires_grad=True)
    loss_sum, active, _ = batch_hard_triplet(embeddings, *masks([(0, 1), (1, 0)], [(0, 2), (1, 3)], 4), 0.3)
    loss_sum.backward()
    assert (float(loss_sum.detach()), float(active)) == (pytest.approx(0.6), 2)
    assert embeddings.grad.isfinite().all()


def test_gradient_agrees_with_finite_differences() -> None:
    embeddings = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    positive, negative = masks([(0, 1), (1, 0), (4, 5)], [(0, 2), (1, 3), (4, 2), (4, 3)], 6)
    assert torch.autograd.gradcheck(lambda e: batch_hard_triplet(e, positive, negative, 3.0)[0], embeddings)


# --- multi-similarity ----------------------------------------------------------------------------


def naive_multi_similarity(
    s: list[list[float]], positive: Tensor, negative: Tensor, base: list[list[float]], options: dict[str, float]
) -> tuple[float, int]:
    """Anchor by anchor, as in Wang et al. 2019, equations 13 to 15: the loss, and how many anchors have a pair."""
    n, total, active = len(s), 0.0, 0
    alpha, beta, margin = options["alpha"], options["beta"], options["margin"]
    for i in range(n):
        positives = [j for j in range(n) if positive[i, j]]
        negatives = [j for j in range(n) if negative[i, j]]
        pull = [j for j in positives if negatives and s[i][j] - margin < max(s[i][k] for k in negatives)]
        push = [j for j in negatives if positives and s[i][j] + margin > min(s[i][k] for k in positives)]
        total += math.log(1 + sum(math.exp(-alpha * (s[i][j] - base[i][j])) for j in pull)) / alpha
        total += math.log(1 + sum(math.exp(beta * (s[i][j] - options["negative_base"])) for j in push)) / beta
        active += bool(pull or push)
    return total, active


@given(st.integers(0, 10_000), st.integers(2, 7), st.sampled_from([0.0, 0.1, 0.5]))
@settings(max_examples=40, deadline=None)
def test_multi_similarity_is_that_of_a_loop(seed: int, n: int, margin: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    similarity = 2 * torch.rand(n, n, generator=generator, dtype=torch.float64) - 1
    related, base = torch.randint(0, 3, (n, n), generator=generator), torch.rand(n, n, generator=generator).double()
    positive, negative = related == 1, related == 2
    options = {"alpha": 1.5, "beta": 20.0, "margin": margin, "negative_base": 0.2}
    total, active, count = multi_similarity(similarity, positive, negative, base, **options)
    expected, expected_active = naive_multi_similarity(similarity.tolist(), positive, negative, base.tolist(), options)
    assert float(total) == pytest.approx(expected, abs=1e-9)
    assert (int(active), int(count)) == (expected_active, n)


def test_only_pairs_that_are_hard_enough_count() -> None:
    # the anchor's positives are 0.9 and 0.3 alike, its negatives 0.5 and 0.15: 0.9 and 0.15 are easy by a margin of 0.1
    similarity = torch.tensor([[1.0, 0.9, 0.3, 0.5, 0.15]]).repeat(5, 1).requires_grad_()
    positive, negative = masks([(0, 1), (0, 2)], [(0, 3), (0, 4)], 5)
    loss_sum, active, count = multi_similarity(similarity, positive, negative)
    loss_sum.backward()
    assert (float(active), float(count)) == (1, 5)
    assert (similarity.grad != 0).nonzero().tolist() == [[0, 2], [0, 3]]
    assert similarity.grad[0, 2] < 0 < similarity.grad[0, 3]


def test_a_positive_with_a_larger_base_is_pulled_more() -> None:
    similarity = torch.full((3, 3), 0.5).requires_grad_()
    positive, negative = masks([(0, 1), (2, 1)], [(0, 2), (2, 0)], 3)
    base = torch.tensor([[0.0, 0.1, 0.0], [0.0, 0.0, 0.0], [0.0, 0.2, 0.0]])
    multi_similarity(similarity, positive, negative, base)[0].backward()
    assert similarity.grad[2, 1] < similarity.grad[0, 1] < 0


@pytest.mark.parametrize(("positive", "negative"), [([], [(0, 1)]), ([(0, 1)], []), ([], [])])
def test_an_anchor_needs_a_positive_and_a_negative(positive: list, negative: list) -> None:
    similarity = torch.full((2, 2), 0.5, requires_grad=True)
    loss_sum, active, _ = multi_similarity(similarity, *masks(positive, negative, 2))
    loss_sum.backward()
    assert (float(loss_sum.detach()), float(active)) == (0, 0)
    assert similarity.grad.tolist() == [[0, 0], [0, 0]]


def test_multi_similarity_does_not_overflow() -> None:
    similarity = torch.ones(3, 3, requires_grad=True)
    loss_sum, *_ = multi_similarity(similarity, *masks([(0, 1)], [(0, 2)], 3), alpha=500.0, beta=1000.0)
    loss_sum.backward()
    assert float(loss_sum.detach()) == pytest.approx(1.0, rel=1e-3)
    assert similarity.grad.isfinite().all()


# --- distances -----------------------------------------------------------------------------------


def test_distances_are_euclidean_and_exact_for_equal_rows() -> None:
    distance = pairwise_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]]))
    assert distance.tolist() == [[0, 5, 5], [5, 0, 0], [5, 0, 0]]


def test_half_precision_embeddings_are_compared_in_float32() -> None:
    # 300² overflows float16
    distance = pairwise_distance(torch.tensor([[0.0], [300.0]], dtype=torch.float16))
    assert distance.dtype == torch.float32
    assert distance[0, 1] == 300


@given(st.integers(0, 10_000), st.integers(2, 7), st.booleans())
@settings(max_examples=40, deadline=None)
def test_all_triplets_are_those_of_three_loops(seed: int, n: int, swap: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.rand(n, 3, generator=generator, dtype=torch.float64)
    related = torch.randint(0, 3, (n, n), generator=generator)
    positive, negative = related == 1, related == 2
    distance = torch.cdist(embeddings, embeddings)
    losses = []
    for a in range(n):
        for p in range(n):
            for other in range(n):
                if positive[a, p] and negative[a, other]:
                    away = min(distance[a, other], distance[p, other]) if swap else distance[a, other]
                    losses.append(max(float(distance[a, p] - away) + 0.3, 0.0))
    total, active, triplets = batch_all_triplet(embeddings, positive, negative, 0.3, swap=swap)
    assert float(total) == pytest.approx(sum(losses), abs=1e-9)
    assert (int(active), int(triplets)) == (sum(loss > 0 for loss in losses), len(losses))


def test_one_positive_and_one_negative_make_both_minings_agree() -> None:
    torch.manual_seed(0)
    embeddings = torch.rand(2, 4, 3)
    positive = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]).bool()
    negative = torch.tensor([[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]]).bool()
    for some in embeddings:
        found = [loss(some, positive, negative) for loss in (batch_all_triplet, batch_hard_triplet)]
        torch.testing.assert_close(found[0], found[1])


# --- across modalities ---------------------------------------------------------------------------


def test_masks_across_modalities_worked_out_by_hand() -> None:
    frames = [frame("here", 0), frame("near", 3), frame("far", 40)]
    positive, negative = cross_modal_masks(frames, SPLIT, "cpu")
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    none = torch.zeros(3, 3, dtype=torch.bool)
    assert positive.equal(torch.cat([torch.cat([none, same], 1), torch.cat([same, none], 1)]))
    assert negative.equal(torch.cat([torch.cat([none, ~same], 1), torch.cat([~same, none], 1)]))


def test_a_triplet_loss_across_modalities_compares_images_with_clouds_only() -> None:
    frames = [frame("here", 0), frame("far", 40)]
    masks = cross_modal_masks(frames, SPLIT, "cpu")
    images, clouds = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.25], [3.0]])
    total, active, triplets = batch_hard_triplet(torch.cat([images, clouds]), *masks, margin=1.0, swap=False)
    # images: 0.25 - 3 + 1 < 0 and 2 - 0.75 + 1; clouds: 0.25 - 0.75 + 1 and 2 - 3 + 1 = 0
    assert (total.item(), active.item(), triplets.item()) == (pytest.approx(2.75), 2, 4)


def naive_softmax(values: list[float]) -> list[float]:
    powers = [math.exp(v) for v in values]
    return [p / sum(powers) for p in powers]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def naive_loss(images: list[list[float]], clouds: list[list[float]], temperature: float, *, soft: bool) -> float:
    """Frame after frame, in plain arithmetic; all by the formulas of the docstrings."""
    n, total = len(images), 0.0
    targets = [[float(i == j) for j in range(n)] for i in range(n)]
    if soft:
        targets = [
            naive_softmax([(dot(images[i], images[j]) + dot(clouds[i], clouds[j])) / 2 * temperature for j in range(n)])
            for i in range(n)
        ]
    for i in range(n):
        of_cloud = naive_softmax([dot(clouds[i], images[j]) / temperature for j in range(n)])
        of_image = naive_softmax([dot(images[i], clouds[j]) / temperature for j in range(n)])
        total -= (
            sum(targets[i][j] * math.log(of_cloud[j]) + targets[j][i] * math.log(of_image[j]) for j in range(n)) / 2
        )
    return total


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("loss", "soft"), [(symmetric_info_nce, False), (soft_target_cross_entropy, True)])
def test_contrastive_losses_are_those_of_a_loop(
    loss: Callable[..., tuple[Tensor, Tensor]], soft: bool, temperature: float
) -> None:
    images, clouds = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(3))
    total, count = loss(images, clouds, temperature)
    assert total.item() == pytest.approx(naive_loss(images.tolist(), clouds.tolist(), temperature, soft=soft), rel=1e-4)
    assert count == 5


def test_soft_targets_of_frames_that_resemble_none_but_themselves_are_the_diagonal() -> None:
    long_and_orthogonal = 20 * torch.eye(4, 8)
    soft, hard = (
        loss(long_and_orthogonal, long_and_orthogonal)[0] for loss in (soft_target_cross_entropy, symmetric_info_nce)
    )
    assert soft.item() == pytest.approx(hard.item(), abs=1e-6)


def test_gradients_flow_through_soft_targets() -> None:
    images, clouds = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images.requires_grad_(True)
    soft_target_cross_entropy(images, clouds)[0].backward()
    step, steepest = 1e-2, images.grad / images.grad.norm()
    with torch.no_grad():
        ahead, behind = (soft_target_cross_entropy(images + s * step * steepest, clouds)[0] for s in (1, -1))
    assert (ahead - behind).item() / (2 * step) == pytest.approx(images.grad.norm().item(), rel=1e-2)
