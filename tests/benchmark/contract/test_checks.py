"""The contract's checks find what is broken: methods with one fault each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.contract.checks import run_checks
from benchmark.contract.subject import are_close
from datasets.prepared import PreparedDataset
from methods.batch import Batch

TYPICAL = torch.tensor([7.3, 0.0, 0.9, 9.9, 7.8, 2.5])
"""Moments of the small world's clouds: batch normalisation would amplify the rounding of what is not centred."""


def moments(self: Any, batch: Batch) -> Tensor:
    clouds = batch.require_clouds()
    apart = [clouds.points[clouds.batch_index == i] for i in range(len(batch))]
    found = torch.stack([torch.cat([c.mean(0), c.std(0, unbiased=False)]) if len(c) else TYPICAL for c in apart])
    return found - TYPICAL


@pytest.fixture
def broken(toy: Any, small_world: PreparedDataset) -> Callable[..., dict[str, str]]:
    """What is broken about a toy with other members, by check."""

    def broken(**members: Any) -> dict[str, str]:
        toy.Toy = type("Fixed", (toy.Toy,), {"cloud_inputs": moments} | members)
        return {v.what: v.reason for v in run_checks("toy", small_world) if v.outcome == "BROKEN"}

    return broken


def test_a_method_that_keeps_the_contract_breaks_nothing(broken: Callable[..., dict[str, str]]) -> None:
    assert broken() == {}


def of_the_whole_batch(self: Any, inputs: Tensor) -> dict[str, Tensor]:
    found = self.cloud_branch(inputs)
    return {"main": (found - found.mean(0))[:, None]}


def by_chance(self: Any, inputs: Tensor) -> dict[str, Tensor]:
    found = self.cloud_branch(inputs)
    return {"main": (found + torch.rand_like(found))[:, None]}


def without_names(self: Any, inputs: Tensor) -> dict[str, Tensor]:
    return {"descriptor": self.cloud_branch(inputs)[:, None]}


def in_two_views(self: Any, inputs: Tensor) -> dict[str, Tensor]:
    return {"main": self.cloud_branch(inputs)[:, None].expand(-1, 2, -1)}


def nan_if_empty(self: Any, batch: Batch) -> Tensor:
    clouds = batch.require_clouds()
    return torch.stack([clouds.points[clouds.batch_index == i].mean(0).repeat(2) for i in range(len(batch))])


def in_place(self: Any, batch: Batch) -> Tensor:
    batch.require_clouds().points.mul_(2)
    return moments(self, batch)


def from_whatever_is_there(self: Any, batch: Batch) -> Tensor:
    return torch.rand(len(batch), 6) if batch.clouds is None else moments(self, batch)


def with_calibration(self: Any, batch: Batch) -> Tensor:
    assert batch.camera_from_lidar is not None
    return moments(self, batch)


@pytest.mark.parametrize(
    ("members", "what", "reason"),
    [
        ({"encode_clouds": of_the_whole_batch}, "A frame's descriptor does not depend", "alone and in a batch"),
        ({"encode_clouds": by_chance}, "Encoding twice", "varies by chance"),
        ({"encode_clouds": without_names}, "Descriptors have the declared", "returned the descriptors ['descriptor']"),
        (
            {"encode_clouds": in_two_views},
            "Descriptors have the declared",
            "expected (4, 1, 4): frames, views, numbers",
        ),
        ({"cloud_inputs": nan_if_empty}, "Clouds with one point or none", "not finite"),
        ({"cloud_inputs": nan_if_empty}, "All of them have the same", "not finite"),
        ({"cloud_inputs": in_place}, "Encoding leaves the batch", "changes the batch"),
        ({"cloud_inputs": from_whatever_is_there}, "A missing image or cloud", "as if it had one"),
        ({"cloud_inputs": with_calibration}, "Missing calibration", "AssertionError"),
        ({"is_trainable": False}, "Each stage has a finite loss", "if, and only if"),
    ],
)
def test_a_fault_is_found(broken: Callable[..., dict[str, str]], members: Any, what: str, reason: str) -> None:
    found = {title: r for title, r in broken(**members).items() if title.startswith(what)}
    assert len(found) == 1
    assert reason in next(iter(found.values()))


def test_a_shared_stage_that_could_depend_on_the_method_is_found(
    toy: Any, broken: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy.Align, "is_shared", True)
    assert [reason for reason in broken().values() if "stage align is shared: it must be the first" in reason]


def test_an_empty_field_of_the_card_is_found(toy: Any, broken: Callable[..., dict[str, str]]) -> None:
    found = broken(card=replace(toy.Toy.card, title="", year=1926))
    assert list(found.values()) == ["the card's year is 1926"]


def raises(self: Any, inputs: Tensor) -> dict[str, Tensor]:
    raise RuntimeError("shapes\ndo not fit")


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"encode_clouds": raises}, "RuntimeError: shapes do not fit"),
        ({"encode_clouds": lambda self, inputs: inputs}, "encode_clouds returned a Tensor, expected a dict"),
        ({"presets": {}}, "there is no preset 'quick'"),
    ],
)
def test_a_method_that_cannot_be_tried_is_one_verdict(
    broken: Callable[..., dict[str, str]], members: Any, reason: str
) -> None:
    ((what, said),) = broken(**members).items()
    assert what == "The quick preset encodes four frames."
    assert said.startswith(reason)


@pytest.mark.parametrize("largest", [0.1, 1.0, 4.0, 400.0])
def test_rounding_grows_with_the_numbers_of_a_descriptor(largest: float) -> None:
    expected = torch.linspace(-largest, largest, 64)[None, None]
    limit = 1e-5 * max(1.0, largest)
    for row in (0, 31, 63):  # a small number moves as far as a large one, since all come out of the same sums
        moved = torch.zeros(64)
        moved[row] = limit
        assert are_close(expected + 0.8 * moved, expected)
        assert not are_close(expected + 1.2 * moved, expected)
        assert not are_close(expected + torch.nan * moved, expected)
