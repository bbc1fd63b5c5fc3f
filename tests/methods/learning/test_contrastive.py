import math

import pytest
import torch
from batches import bare_frame as frame
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from datasets.base import Selection, Split
from methods.learning.contrastive import Temperature, contrast_masks, masked_info_nce
from methods.learning.losses import symmetric_info_nce

SPLIT = Split(train=Selection(), validation=Selection(), positive_m=10.0, negative_m=25.0, heading_limit_rad=0.5)


def test_masks_worked_out_by_hand() -> None:
    frames = [
        frame("here", 0.0),
        frame("near", 9.0),
        frame("between", 20.0),
        frame("far", 60.0),
        frame("here, turned", 1.0, yaw_rad=3.0),
        frame("another world", 0.0, world="b"),
    ]
    positive, masked = contrast_masks(frames, SPLIT, "cpu")
    expected = torch.eye(6, dtype=torch.bool)
    expected[0, 1] = expected[1, 0] = True
    assert torch.equal(positive, expected)
    in_between = torch.zeros(6, 6, dtype=torch.bool)
    for one, other in [(0, 2), (1, 2), (0, 4), (1, 4), (2, 4)]:
        in_between[one, other] = in_between[other, one] = True
    assert torch.equal(masked, in_between)


def test_a_frame_that_a_batch_holds_twice_is_a_positive_of_itself() -> None:
    positive, masked = contrast_masks([frame("here", 0.0), frame("here", 0.0)], SPLIT, "cpu")
    assert positive.all()
    assert not masked.any()


def by_loops(a: Tensor, b: Tensor, positive: Tensor, masked: Tensor, log_scale: float) -> tuple[float, int]:
    scale, total, n_terms = math.exp(log_scale), 0.0, 0
    for left, right, is_positive, is_masked in ((a, b, positive, masked), (b, a, positive.T, masked.T)):
        for i in range(len(left)):
            partners = [j for j in range(len(right)) if is_positive[i, j]]
            others = [j for j in range(len(right)) if not is_positive[i, j] and not is_masked[i, j]]
            if not partners:
                continue
            similarity = [scale * sum(x * y for x, y in zip(left[i].tolist(), r.tolist(), strict=True)) for r in right]
            evidence = math.log(sum(math.exp(similarity[j]) for j in partners + others))
            total += sum(evidence - similarity[j] for j in partners) / len(partners)
            n_terms += 1
    return total, n_terms


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.integers(1, 6), st.integers(0, 10_000))
def test_loss_agrees_with_loops(n: int, m: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (functional.normalize(torch.randn(k, 4, generator=generator), dim=1) for k in (n, m))
    positive, masked = (torch.rand(n, m, generator=generator) < share for share in (0.3, 0.4))
    loss_sum, count = masked_info_nce(a, b, positive, masked, torch.tensor(1.3))
    expected_sum, expected_count = by_loops(a, b, positive, masked, 1.3)
    assert float(count) == expected_count
    assert float(loss_sum) == pytest.approx(expected_sum, rel=1e-4, abs=1e-5)


def test_with_own_frames_alone_it_is_the_plain_symmetric_loss() -> None:
    torch.manual_seed(0)
    a, b = (functional.normalize(torch.randn(7, 5), dim=1) for _ in range(2))
    own, nothing = torch.eye(7, dtype=torch.bool), torch.zeros(7, 7, dtype=torch.bool)
    loss_sum, count = masked_info_nce(a, b, own, nothing, torch.tensor(-math.log(0.07)))
    plain_sum, plain_count = symmetric_info_nce(a, b, 0.07)
    torch.testing.assert_close(loss_sum / count, plain_sum / plain_count)


def test_a_masked_pair_has_no_gradient_and_a_batch_without_positives_gives_zero() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 3, requires_grad=True), torch.randn(3, 3, requires_grad=True)
    positive = torch.tensor([[True, False, False], [False, True, False]])
    masked = torch.tensor([[False, False, True], [False, False, True]])
    temperature = Temperature()
    loss_sum, _ = masked_info_nce(a, b, positive, masked, temperature())
    loss_sum.backward()
    assert b.grad[2].tolist() == [0, 0, 0]
    assert all(x.isfinite().all() and (x != 0).any() for x in (a.grad, b.grad[:2], temperature.log_scale.grad))
    a.grad = None
    nothing = torch.zeros_like(positive)
    loss_sum, count = masked_info_nce(a, b, nothing, ~nothing, temperature())
    loss_sum.backward()
    assert (loss_sum.item(), count.item()) == (0, 0)
    assert a.grad.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_autocast_changes_nothing() -> None:
    torch.manual_seed(0)
    a, b = (functional.normalize(torch.randn(6, 32), dim=1) for _ in range(2))
    masks = torch.eye(6, dtype=torch.bool), torch.zeros(6, 6, dtype=torch.bool)
    expected, _ = masked_info_nce(a, b, *masks, Temperature()())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = masked_info_nce(a, b, *masks, Temperature()())
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_temperature_starts_as_given_and_never_falls_below_a_hundredth() -> None:
    temperature = Temperature(0.07)
    assert temperature().exp().item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        temperature.log_scale.fill_(50.0)
    scale = temperature().exp()
    assert scale.item() == pytest.approx(100.0)
    scale.backward()
    assert temperature.log_scale.grad.item() == pytest.approx(100.0)  # it can come down again
