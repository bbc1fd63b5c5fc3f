"""Learning places by heart: who can, who cannot, and from which frames."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.contract.checks import run_checks
from benchmark.contract.overfitting import LOOK_EVERY, SPLIT, learn_by_heart, own_cloud_recall, places_apart
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.batch import load_sample

FEW: dict[str, Any] = {"n_places": 3, "apart_m": 8.0, "budget_s": 600.0}


@pytest.fixture
def new_toy(toy: Any) -> Callable[..., Any]:
    """A toy with other members."""

    def new(**members: Any) -> Any:
        torch.manual_seed(0)
        return type("Fixed", (toy.Toy,), members)()

    return new


def test_places_lie_apart_each_beside_another_frame_of_it(small_world: PreparedDataset) -> None:
    frames, pairs = small_world.frames, places_apart(small_world.frames, 3, 8.0)
    assert pairs == places_apart(frames, 3, 8.0)
    where = frames.position_m[:, :2]
    assert min(np.linalg.norm(where[a] - where[b]) for (a, _), (b, _) in combinations(pairs, 2)) >= 8.0
    for row, other in pairs:
        assert row != other
        assert np.linalg.norm(where[row] - where[other]) <= SPLIT.positive_m
        assert abs(frames.yaw_rad[row] - frames.yaw_rad[other]) < SPLIT.heading_limit_rad


def test_worlds_are_apart_and_frames_without_a_cloud_are_no_places(small_world: PreparedDataset) -> None:
    two = small_world.frames.take(np.array([0, 0, 0]))
    two = replace(two, world=np.array(["a", "b", "c"]), cloud=np.array(["a.npy", "b.npy", ""]))
    assert sorted(places_apart(two, 2, 50.0)) == [(0, 0), (1, 1)]
    with pytest.raises(CrossplaceError, match="only 2 places"):
        places_apart(two, 3, 50.0)


def test_too_few_places_are_a_sentence_before_any_check(toy: Any, small_world: PreparedDataset) -> None:
    with pytest.raises(CrossplaceError, match=r"only \d places lie 50 m apart, of 16: choose a larger dataset"):
        next(run_checks("toy", small_world, by_heart=True))


def test_a_method_that_can_learn_stops_when_it_knows_all(
    new_toy: Callable[..., Any], small_world: PreparedDataset
) -> None:
    memory = learn_by_heart(new_toy(), small_world, early_steps=20, most_steps=2000, **FEW)
    assert memory.before < memory.recall == 1
    assert memory.steps < 2000
    assert (memory.steps - 20) % LOOK_EVERY == 0


@pytest.mark.parametrize(("learnt_after", "steps_of_the_first"), [(7, 7), (50, 20)])
def test_an_early_stage_ends_when_nothing_is_left_to_learn(
    toy: Any,
    new_toy: Callable[..., Any],
    small_world: PreparedDataset,
    monkeypatch: pytest.MonkeyPatch,
    learnt_after: int,
    steps_of_the_first: int,
) -> None:
    losses, original = 0, toy.Teach.forward

    def forward(self: Any, batch: Any) -> Any:
        nonlocal losses
        losses += self.method.image_branch.training and torch.is_grad_enabled()
        output = original(self, batch)
        return replace(output, loss_sum=output.loss_sum * (losses < learnt_after))

    monkeypatch.setattr(toy.Teach, "forward", forward)
    few = FEW | {"early_steps": 20, "most_steps": 1}
    assert learn_by_heart(new_toy(), small_world, **few).steps == steps_of_the_first + 1


def test_a_method_that_cannot_tell_clouds_apart_learns_nothing(
    new_toy: Callable[..., Any], small_world: PreparedDataset
) -> None:
    def blind(self: Any, inputs: Tensor) -> dict[str, Tensor]:
        return {"main": self.cloud_branch(torch.zeros_like(inputs))[:, None]}

    memory = learn_by_heart(new_toy(encode_clouds=blind), small_world, early_steps=5, most_steps=40, **FEW)
    assert memory.recall == pytest.approx(1 / 3)
    assert memory.steps == 5 + 40
    assert str(memory).startswith("33% untrained, 33% after 45 steps and ")


def test_recall_is_the_share_of_images_nearest_to_their_own_cloud(
    new_toy: Callable[..., Any], small_world: PreparedDataset
) -> None:
    images, clouds = iter(torch.tensor([[[0.0], [10.0], [20.0]]])), iter(torch.tensor([[[1.0], [22.0], [21.0]]]))
    method = new_toy(
        encode_images=lambda self, inputs: {"main": next(images)[:, None]},
        encode_clouds=lambda self, inputs: {"main": next(clouds)[:, None]},
    )
    samples = [load_sample(small_world, small_world.frame(row), ("image", "cloud")) for row in (0, 4, 8)]
    assert own_cloud_recall(method, samples) == pytest.approx(2 / 3)  # 10 is nearer to 1 than to 22
