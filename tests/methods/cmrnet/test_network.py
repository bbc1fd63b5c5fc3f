"""Sizes of the published network, and what its parts compute."""

import pytest
import torch
from batches import count

from datasets.errors import CrossplaceError
from methods.base import ImageInput
from methods.cmrnet import Cmrnet
from methods.cmrnet.config import PRESETS, CmrnetConfig
from methods.cmrnet.network import CmrnetNetwork, DenseBlock, expected_shift

QUICK = PRESETS["quick"]


def test_the_published_network_has_as_many_parameters_as_published() -> None:
    network = CmrnetNetwork(CmrnetConfig())
    parts = {
        "image": network.image_pyramid,
        "depth": network.depth_pyramid,
        "dense": network.dense,
        "shared": network.shared,
    }
    sizes = {name: count(part) for name, part in parts.items()}
    assert sizes == {"image": 1_665_804, "depth": 1_665_516, "dense": 1_018_240, "shared": 32_502_272}
    assert count(network.translation) + count(network.rotation) == 264_455
    assert count(network) == 37_116_287


def test_each_range_has_a_network_of_its_own_as_published() -> None:
    with torch.device("meta"):
        assert count(Cmrnet()) == 3 * 37_116_287


def test_the_dense_block_keeps_its_input_at_the_end() -> None:
    block = DenseBlock(3, (4, 2))
    maps = torch.randn(1, 3, 5, 6)
    found = block(maps)
    assert found.shape == (1, block.n_out, 5, 6) == (1, 9, 5, 6)
    assert torch.equal(found[:, 6:], maps)
    assert torch.equal(found[:, 2:6], block.layers[0](maps))


def test_the_quick_network_says_a_pose_and_a_displacement_for_each_cell() -> None:
    network = Cmrnet(QUICK).networks[0].eval()
    found = network(torch.randn(2, 3, 120, 160), torch.zeros(2, 1, 120, 160))
    assert found.translation.shape == (2, 3)
    assert torch.allclose(found.quaternion.norm(dim=1), torch.ones(2))
    assert found.displacement.shape == (2, 2, 15, 20)
    assert found.log_spread.shape == (2, 15, 20)
    assert all(part.isfinite().all() for part in found)


def test_a_network_that_says_nothing_turns_nothing() -> None:
    network = Cmrnet(QUICK).networks[0]
    torch.nn.init.zeros_(network.rotation[2].weight)
    torch.nn.init.zeros_(network.rotation[2].bias)
    found = network(torch.randn(1, 3, 120, 160), torch.zeros(1, 1, 120, 160))
    assert found.quaternion.tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_the_expected_shift_follows_a_sharp_match() -> None:
    matching = torch.zeros(1, 25, 1, 1)
    matching[0, (1 + 2) * 5 + (-2 + 2)] = 50.0  # one down, two to the left
    assert torch.allclose(expected_shift(matching, 2)[0, :, 0, 0], torch.tensor([-2.0, 1.0]))
    assert torch.allclose(expected_shift(torch.zeros(1, 25, 1, 1), 2), torch.zeros(1, 2, 1, 1), atol=1e-6)


def test_an_input_that_the_pyramids_do_not_fit_is_refused() -> None:
    with pytest.raises(CrossplaceError, match="multiple of 64"):
        CmrnetConfig(image=ImageInput(height=100, width=1280))
