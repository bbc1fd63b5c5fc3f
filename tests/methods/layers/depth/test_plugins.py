import sys
import types
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from datasets.base import Frame
from datasets.errors import CrossplaceError
from methods.batch import Batch
from methods.depth import DepthPlugin
from methods.layers.depth import plugins
from methods.layers.depth.sources import depth_provider, depth_source


def constant(image: Tensor, frame: Frame) -> Tensor:
    """As far as the image is bright."""
    return image[0, ::2, ::2].float() + 1


@pytest.fixture
def plugin_module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("a_depth_plugin")
    module.constant = constant  # type: ignore[attr-defined]
    module.number = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_depth_plugin", module)
    return module


def test_a_plugin_sees_image_by_image(batch: Batch, plugin_module: types.ModuleType) -> None:
    provider = depth_provider(depth_source("a_depth_plugin:constant"), 12, 16)
    found = provider(batch)
    torch.testing.assert_close(found[:, 0], torch.stack([image[0, ::2, ::2].float() + 1 for image in batch.images]))


def test_a_plugin_that_is_a_network_is_no_part_of_the_method(batch: Batch, plugin_module: types.ModuleType) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, image: Tensor, frame: Frame) -> Tensor:
            return image[0].float() * self.scale

    plugin_module.network = Network()  # type: ignore[attr-defined]
    provider = depth_provider(DepthPlugin(function="a_depth_plugin:network"), 24, 32)
    assert list(provider.state_dict()) == []
    found = provider(batch)
    assert not found.requires_grad
    torch.testing.assert_close(found[0, 0], 2 * batch.images[0][0].float())


@pytest.mark.parametrize(
    ("answer", "says"),
    [(3.0, "got float"), (torch.zeros(1, 2, 2), r"\(1, 2, 2\)"), (torch.zeros(2, 2, dtype=torch.int), "int32")],
)
def test_a_plugin_that_answers_nonsense_is_named(
    batch: Batch, plugin_module: types.ModuleType, answer: Any, says: str
) -> None:
    plugin_module.nonsense = lambda image, frame: answer  # type: ignore[attr-defined]
    with pytest.raises(CrossplaceError, match=rf"a_depth_plugin:nonsense, frame {batch.frames[0].frame_id}.*{says}"):
        depth_provider(DepthPlugin(function="a_depth_plugin:nonsense"), 2, 2)(batch)


@pytest.mark.parametrize("name", ["no_such_module:f", "a_depth_plugin:missing", "a_depth_plugin:number", ":", "x:"])
def test_a_plugin_that_cannot_be_had_is_a_sentence(plugin_module: types.ModuleType, name: str) -> None:
    with pytest.raises(CrossplaceError, match=name):
        depth_provider(DepthPlugin(function=name), 2, 2)


def test_an_entry_point_is_a_plugin(
    batch: Batch, plugin_module: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint(name="bright", value="a_depth_plugin:constant", group=plugins.PLUGINS)
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints([point] if group == plugins.PLUGINS else []))
    source = depth_source("bright")
    assert source == DepthPlugin(function="bright")
    assert depth_provider(source, 4, 4)(batch).shape == (2, 1, 4, 4)
    with pytest.raises(CrossplaceError, match=r"no entry point.*installed: bright"):
        depth_provider(DepthPlugin(function="dark"), 4, 4)
