import math

import pytest
import torch

from datasets.prepared import PreparedDataset
from methods.batch import collate, load_sample
from methods.depth import DepthNetwork
from methods.layers.depth.network import DepthCnn, NetworkDepth


@pytest.mark.parametrize("size", [(96, 128), (50, 70), (33, 17)])
def test_depth_has_half_the_size_of_the_input_and_the_size_that_is_asked_for(
    small_world: PreparedDataset, size: tuple[int, int]
) -> None:
    source = DepthNetwork(height=size[0], width=size[1], channels=(4, 6, 8))
    provider = NetworkDepth(source, 20, 30).eval()
    batch = collate([load_sample(small_world, small_world.frame(row), ("image",)) for row in (0, 1)])
    assert provider.log_depth(batch).shape == (2, 1, math.ceil(size[0] / 2), math.ceil(size[1] / 2))
    found = provider(batch)
    assert found.shape == (2, 1, 20, 30)
    assert (found > 0.5 - 1e-5).all()
    assert (found < 300 + 1e-2).all()


def test_each_pixel_is_told_where_it_is() -> None:
    torch.manual_seed(0)
    network = DepthCnn((4, 4)).eval()
    found = network(torch.zeros(1, 3, 16, 16))[0, 0]
    assert found[2:-2, 2:-2].std() > 0  # a blank image, yet not one depth
