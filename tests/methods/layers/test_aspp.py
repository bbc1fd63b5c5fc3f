import pytest
import torch
from batches import count
from torch import Tensor, nn

from methods.layers.aspp import ASPP


def normalised(value: Tensor, norm: nn.Module) -> Tensor:
    """Batch normalisation of one cell by the running statistics, and ReLU."""
    shifted = (value - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    return (shifted * norm.weight + norm.bias).relu()


def cell_by_loop(aspp: ASPP, feature_map: Tensor, row: int, column: int) -> Tensor:
    """One cell of the output, tap by tap."""
    channels, height, width = feature_map.shape
    here = feature_map[:, row, column]
    conv, norm, _ = aspp.cell
    parts = [normalised(conv.weight[:, :, 0, 0] @ here, norm)]
    for branch, rate in zip(aspp.atrous, RATES, strict=True):
        depthwise, norm, _, pointwise, last_norm, _ = branch
        total = torch.zeros(channels)
        for i in range(3):
            for j in range(3):
                r, c = row + (i - 1) * rate, column + (j - 1) * rate
                if 0 <= r < height and 0 <= c < width:
                    total += depthwise.weight[:, 0, i, j] * feature_map[:, r, c]
        parts.append(normalised(pointwise.weight[:, :, 0, 0] @ normalised(total, norm), last_norm))
    mean = torch.stack([feature_map[:, r, c] for r in range(height) for c in range(width)]).mean(0)
    parts.append((aspp.mean[0].weight[:, :, 0, 0] @ mean + aspp.mean[0].bias).relu())
    conv, norm, *_ = aspp.project
    return normalised(conv.weight[:, :, 0, 0] @ torch.cat(parts), norm)


RATES = (1, 2, 4)


@pytest.fixture
def aspp() -> ASPP:
    """With running statistics that are not those of a new layer."""
    torch.manual_seed(0)
    layer = ASPP(3, 5, RATES)
    for norm in layer.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
            nn.init.normal_(norm.weight, 1, 0.1)
            nn.init.normal_(norm.bias, 0, 0.1)
    return layer.eval()


@torch.no_grad()
def test_every_cell_is_that_of_a_naive_loop(aspp: ASPP) -> None:
    maps = torch.randn(2, 3, 6, 7)
    found = aspp(maps)
    assert found.shape == (2, 5, 6, 7)
    for sample in range(2):
        for row in range(6):
            for column in range(7):
                expected = cell_by_loop(aspp, maps[sample], row, column)
                torch.testing.assert_close(found[sample, :, row, column], expected, atol=1e-5, rtol=1e-5)


def test_parameters_are_those_of_the_published_layer() -> None:
    pointwise, separable = 128 * 512 + 2 * 512, 9 * 128 + 2 * 128 + 128 * 512 + 2 * 512
    mean, project = 128 * 512 + 512, 5 * 512 * 512 + 2 * 512
    assert count(ASPP(128, 512)) == pointwise + 3 * separable + mean + project


def test_dropout_acts_in_training_only(aspp: ASPP) -> None:
    maps = torch.randn(2, 3, 6, 7)
    assert torch.equal(aspp(maps), aspp(maps))
    aspp.train()
    for norm in aspp.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()
    assert not torch.equal(aspp(maps), aspp(maps))
