"""A method small enough to train in a second, with all that a stage may have."""

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import synthetic_collection
from torch import Tensor, nn

from benchmark.registry import METHODS
from datasets.base import Frames, Protocol, Selection, Split
from datasets.places import neighbours
from datasets.prepared import PreparedDataset
from methods.base import DescriptorSpec, ImageInput, Method, MethodConfig, Sampler, Stage, StageOutput
from methods.batch import Batch, Sample
from methods.card import MethodCard
from methods.learning.samplers import PairSampler, ShuffleSampler
from methods.recipe import Recipe

SIZE = 4


@dataclass(frozen=True, kw_only=True)
class ToyConfig(MethodConfig):
    """Two short stages."""

    image: ImageInput = ImageInput(height=4, width=4)
    teach: Recipe = Recipe(epochs=3, batch_size=4, learning_rate=0.01, learning_rate_floor=0.001)
    align: Recipe = Recipe(epochs=2, batch_size=8, learning_rate=0.01, learning_rate_floor=0.001)


class Toy(Method):
    """A linear layer on a 4×4 picture and one on the moments of a cloud, both with state that training changes."""

    card = MethodCard(
        name="toy",
        title="Toy",
        paper="none",
        venue="none",
        year=2026,
        code="here",
        code_licence="MIT",
        modalities="image, cloud",
        trained_on="nothing",
        pretrained="nothing",
        sources="none",
    )
    presets = {"quick": ToyConfig()}

    def __init__(self, config: ToyConfig | None = None) -> None:
        super().__init__()
        self.config: ToyConfig = config or ToyConfig()
        self.descriptors = (DescriptorSpec(size=SIZE),)
        self.image_branch = nn.Sequential(nn.Linear(48, SIZE), nn.BatchNorm1d(SIZE))
        self.cloud_branch = nn.Sequential(nn.Linear(6, SIZE), nn.BatchNorm1d(SIZE), nn.Dropout(0.3))

    def cloud_inputs(self, batch: Batch) -> Tensor:
        assert batch.clouds is not None
        clouds = [batch.clouds.points[batch.clouds.batch_index == i] for i in range(len(batch))]
        return torch.stack([torch.cat([c.mean(0), c.std(0)]) for c in clouds])

    def encode_images(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"main": self.image_branch(inputs.flatten(1))[:, None]}

    def encode_clouds(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"main": self.cloud_branch(inputs)[:, None]}

    def stages(self, split: Split) -> Sequence[Stage]:
        return [Teach(self, split), Align(self, split)]


class Teach(Stage):
    """Images of one place together, in batches that grow every epoch."""

    name, modalities = "teach", ("image",)

    def __init__(self, method: Toy, split: Split) -> None:
        super().__init__()
        self.method, self.split, self.recipe = method, split, method.config.teach

    def trainable(self) -> list[nn.Module]:
        return [self.method.image_branch]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        positives = neighbours(frames, self.split.positive_m, self.split.heading_limit_rad)
        rate = 1.5 if training else 1.0
        return PairSampler(positives, self.recipe.batch_size, rate=rate, limit=9, threshold=0.7)

    def forward(self, batch: Batch) -> StageOutput:
        main = self.method.encode_images(self.method.image_inputs(batch))["main"][:, 0]
        pairs = main.view(len(batch) // 2, 2, SIZE)
        loss = (pairs[:, 0] - pairs[:, 1]).square().sum() + (main.square().mean() - 1).square()
        return StageOutput(
            loss_sum=loss,
            count=loss.new_tensor(float(len(batch))),
            statistics={"active": loss.new_tensor(1.0), "triplets": loss.new_tensor(2.0)},
        )


class Align(Stage):
    """Clouds towards the images' descriptors, with noise from the augmentation and from dropout."""

    name = "align"

    def __init__(self, method: Toy, split: Split) -> None:
        super().__init__()
        self.method, self.recipe = method, method.config.align

    def trainable(self) -> list[nn.Module]:
        return [self.method.cloud_branch]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        return ShuffleSampler(len(frames), self.recipe.batch_size)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        assert sample.points is not None
        noise = torch.from_numpy(rng.normal(scale=0.1, size=sample.points.shape)).float()
        return replace(sample, points=sample.points + noise)

    def forward(self, batch: Batch) -> StageOutput:
        target = self.method.encode_images(self.method.image_inputs(batch))["main"]  # frozen by the harness
        found = self.method.encode_clouds(self.method.cloud_inputs(batch))["main"]
        return StageOutput(loss_sum=(found - target).square().sum(), count=found.new_tensor(float(found.numel())))


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Forget handlers that write to the captured output of one test."""
    packages = [logging.getLogger(name) for name in ("benchmark", "methods", "datasets")]
    before = [(package.handlers, package.propagate) for package in packages]
    yield
    for package, (handlers, propagate) in zip(packages, before, strict=True):
        package.handlers, package.propagate = handlers, propagate


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The toy's module (``Toy``, ``ToyConfig``, ``Teach``, ``Align``), registered as method ``toy`` for this test."""
    module = SimpleNamespace(Toy=Toy, ToyConfig=ToyConfig, Teach=Teach, Align=Align, __file__=__file__)
    monkeypatch.setitem(sys.modules, "toy", module)
    monkeypatch.setitem(METHODS.entries, "toy", "toy:Toy")
    return module


PROTOCOL = Protocol(
    name="small",
    version=1,
    title="Small world",
    dataset="small_world",
    split=Split(
        train=Selection(traversals=("morning", "evening")), validation=Selection(traversals=("midnight", "evening"))
    ),
    query=Selection(),
    database=Selection(),
    pairs="across",
    radius_m=13.0,
    heading_limit_rad=0.5,
)
"""For the small world: two drives to train on, one to validate, all against all."""


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    """The protocol of the small world."""
    return PROTOCOL


@pytest.fixture(scope="session")
def synthetic(small_world: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the results of 10 methods on 5 datasets with 3 seeds, with all that goes wrong; read only."""
    return synthetic_collection(tmp_path_factory.mktemp("synthetic"), small_world, PROTOCOL)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    """What the suite logs, from its notes on."""
    monkeypatch.setattr(logging.getLogger("benchmark"), "propagate", True)
    with caplog.at_level(logging.INFO, "benchmark"):
        yield caplog
