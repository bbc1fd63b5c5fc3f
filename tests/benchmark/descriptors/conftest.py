"""What tests of descriptors share: a method that encodes, and frames of which some lack a modality."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from datasets.prepared import PreparedDataset
from methods.base import Method


@pytest.fixture
def method(toy: Any) -> Method:
    torch.manual_seed(0)
    found: Method = toy.Toy()
    return found.eval()


@pytest.fixture
def lacking(small_world: PreparedDataset) -> PreparedDataset:
    """The small world without the first two clouds of the morning and the last image of midnight."""
    cloud, image = small_world.frames.cloud.copy(), small_world.frames.image.copy()
    cloud[:2], image[-1] = "", ""
    return replace(small_world, frames=replace(small_world.frames, cloud=cloud, image=image))
