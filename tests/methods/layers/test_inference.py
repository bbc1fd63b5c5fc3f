"""The faster copy of a method: each change of it against the plain modules, and what it must leave alone."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from datasets.errors import CrossplaceError
from methods.layers.backbone import ImageBackbone, PooledBackbone
from methods.layers.fused import FusedBackbone, FusedConv2d, FusedPooled
from methods.layers.inference import FOLDS, Shift, _dtype, for_inference
from methods.layers.sparse.modules import RowNorm, SparseConv3d, SparseTensor, SparseUnit, SubmanifoldConv3d
from methods.layers.sparse.sites import Sites

CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def lived_in(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in evaluation mode, with statistics and scales that a normalisation has after training."""
    random = torch.Generator().manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            for tensor, low, high in (
                (norm.running_mean, -0.5, 0.5),
                (norm.running_var, 0.5, 2.0),
                (norm.weight, 0.5, 1.5),
                (norm.bias, -0.5, 0.5),
            ):
                tensor.data.uniform_(low, high, generator=random)
    return module.eval()


def norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())


def images(*size: int, n: int = 1) -> Tensor:
    return torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(1))


# --- one convolution -----------------------------------------------------------------------------


@pytest.mark.parametrize("is_clipped", [False, True])
@pytest.mark.parametrize("is_sum", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"padding": 6, "dilation": 6}, {"groups": 4}, {"bias": False}], ids=str
)
def test_a_fused_convolution_is_the_plain_one(options: dict[str, int], is_sum: bool, is_clipped: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 12, 3, **options)  # type: ignore[arg-type]
    fused = FusedConv2d(conv, is_clipped=is_clipped)
    with torch.no_grad():
        for n, height, width in ((1, 15, 20), (3, 15, 20), (2, 31, 18)):  # the weight that is kept fits all of them
            maps = torch.randn(n, 8, height, width)
            other = torch.randn_like(conv(maps)) if is_sum else None
            expected = conv(maps) + (0 if other is None else other)
            expected = expected.relu() if is_clipped else expected
            for layout in (torch.contiguous_format, torch.channels_last):
                found = fused(maps.contiguous(memory_format=layout), other)
                torch.testing.assert_close(found, expected, **CLOSE)


def test_without_onednn_it_is_computed_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = FusedConv2d(nn.Conv2d(3, 4, 3), is_clipped=True)
    maps, other = images(8, 9), torch.randn(1, 4, 6, 7)
    with torch.no_grad():
        expected = fused(maps, other)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        torch.testing.assert_close(fused(maps, other), expected, **CLOSE)
        torch.testing.assert_close(fused(maps), fused.conv(maps).relu(), **CLOSE)


@pytest.mark.parametrize("conv", [nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(3, 4, 3, padding_mode="reflect")])
def test_other_paddings_stay_plain(conv: nn.Conv2d) -> None:
    fast = for_inference(nn.Sequential(conv, nn.BatchNorm2d(4)))
    assert type(fast[0]) is nn.Conv2d


# --- folding -------------------------------------------------------------------------------------


def voxels() -> SparseTensor:
    random = torch.Generator().manual_seed(0)
    keys = torch.randperm(6 * 7 * 8, generator=random)[:60].sort().values
    return SparseTensor(torch.randn(60, 5, generator=random), Sites.from_keys(keys, (6, 7, 8), 1))


FOLDED: dict[type[nn.Module], Callable[[], tuple[nn.Module, Callable[[nn.Module], Tensor]]]] = {
    nn.Conv2d: lambda: (
        nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()),
        lambda module: module(images(9, 11)),
    ),
    nn.Linear: lambda: (
        nn.Sequential(nn.Linear(5, 6), RowNorm(6), nn.ReLU()),
        lambda module: module(voxels().features),
    ),
    SubmanifoldConv3d: lambda: (
        SparseUnit(SubmanifoldConv3d(5, 6)),
        lambda module: module(voxels()).features,
    ),
    SparseConv3d: lambda: (SparseUnit(SparseConv3d(5, 6, stride=2)), lambda module: module(voxels()).features),
}
"""Layer → a module with a normalisation after it, and what is computed with that."""


@pytest.mark.parametrize("layer", FOLDS, ids=lambda layer: layer.__name__)
def test_a_folded_layer_is_the_layer_and_its_normalisation(layer: type[nn.Module]) -> None:
    torch.manual_seed(0)
    build, run = FOLDED[layer]()
    plain = lived_in(build)
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    fast = for_inference(plain, "float32")
    with torch.no_grad():
        torch.testing.assert_close(run(fast), run(plain), **CLOSE)
    assert norms(plain) == 1
    assert norms(fast) == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in plain.state_dict().items())


@pytest.mark.parametrize(
    "plain",
    [
        nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 6)),
        nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.BatchNorm1d(6)),
        nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, track_running_stats=False)),
        nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, affine=False)),
    ],
    ids=["before", "after a ReLU", "without statistics", "without scale"],
)
def test_other_normalisations_stay(plain: nn.Sequential) -> None:
    rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    plain.eval()
    fast = for_inference(plain, "float32")
    with torch.no_grad():
        assert torch.equal(fast(rows), plain(rows))
    assert norms(fast) == 1


def test_a_shift_is_what_is_left_of_a_normalisation() -> None:
    """By hand: mean 2, variance 4 − 0.001, scale 3, bias 1 is the scale 1.5 and the shift 1 − 2 · 1.5."""
    unit = SparseUnit(SubmanifoldConv3d(1, 1, 1))
    unit[0].weight.data.fill_(1.0)
    norm = unit[1]
    norm.running_mean.fill_(2.0), norm.running_var.fill_(4 - norm.eps)
    norm.weight.data.fill_(3.0), norm.bias.data.fill_(1.0)
    fast = for_inference(unit.eval())
    assert isinstance(fast[1], Shift)
    assert fast[0].weight.item() == pytest.approx(1.5)
    assert fast[1].shift.item() == pytest.approx(-2.0)


# --- backbones -----------------------------------------------------------------------------------


TOWERS = {
    "resnet18": lambda: ImageBackbone("resnet18", 3, (64, 80), "none"),
    "resnet50": lambda: ImageBackbone("resnet50", 4, (64, 80), "none"),
    "vgg11_bn": lambda: ImageBackbone("vgg11_bn", 4, (64, 80), "none"),
    "efficientnet": lambda: ImageBackbone("tf_efficientnet_lite0", 3, (64, 80), "none"),
    "pooled": lambda: PooledBackbone("resnet10t", (64, 80), "none"),
}


@pytest.mark.parametrize("name", TOWERS)
def test_a_fused_tower_has_no_normalisation_and_the_same_features(name: str) -> None:
    torch.manual_seed(0)
    plain = lived_in(TOWERS[name]())
    fast = for_inference(plain, "float32")
    assert isinstance(fast, FusedBackbone | FusedPooled)
    assert norms(fast) == 0
    assert any(isinstance(module, FusedConv2d) for module in fast.modules())
    with torch.no_grad():
        for pixels in (images(64, 80), images(64, 80, n=3), images(96, 64)):
            torch.testing.assert_close(fast(pixels), plain(pixels), rtol=1e-3, atol=1e-3 * float(plain(pixels).std()))


WITH_BFLOAT16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no convolutions in bfloat16 on this processor"
)


@WITH_BFLOAT16
def test_bfloat16_leaves_input_and_output_in_float32() -> None:
    torch.manual_seed(0)
    plain = lived_in(TOWERS["resnet18"]())
    fast = for_inference(plain, "bfloat16")
    with torch.no_grad():
        found, expected = fast(images(64, 80)), plain(images(64, 80))
    assert found.dtype == torch.float32
    assert not torch.allclose(found, expected, **CLOSE)
    assert float(torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0)) > 0.999
    dtypes = [conv.conv.weight.dtype for conv in fast.modules() if isinstance(conv, FusedConv2d)]
    assert dtypes[0] == torch.float32
    assert {*dtypes[1:]} == {torch.bfloat16}


@WITH_BFLOAT16
def test_layers_of_single_channels_stay_in_float32() -> None:
    fast = for_inference(TOWERS["efficientnet"](), "bfloat16")
    assert {p.dtype for p in fast.parameters()} == {torch.float32}


def test_a_transformer_stays_as_it_is() -> None:
    plain = ImageBackbone("vit_tiny_patch16_224", 1, (32, 32), "none").eval()
    fast = for_inference(plain)
    with torch.no_grad():
        assert torch.equal(fast(images(32, 32)), plain(images(32, 32)))
    assert fast.has_class_token


# --- the copy ------------------------------------------------------------------------------------


def test_the_copy_is_of_the_same_class_shares_what_is_not_folded_and_leaves_modes_alone() -> None:
    shared = nn.Linear(3, 3)
    plain = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, nn.Dropout()), "none": nn.Identity()}).train()
    fast = for_inference(plain)
    assert type(fast) is nn.ModuleDict
    assert fast["a"] is fast["b"][0]
    assert fast["a"].weight is shared.weight
    assert not any(module.training for module in fast.modules())
    assert all(module.training for module in plain.modules())


def test_a_used_copy_can_be_copied_again() -> None:
    """Weights in the order of oneDNN cannot be copied: they are made again."""
    fast = for_inference(lived_in(TOWERS["resnet18"]()), "float32")
    with torch.no_grad():
        expected = fast(images(64, 80))
        assert torch.equal(copy.deepcopy(fast)(images(64, 80)), expected)


def test_an_unknown_precision_is_said_with_those_there_are() -> None:
    with pytest.raises(CrossplaceError, match=r"bf16.* Available: auto, float32, bfloat16"):
        _dtype("bf16")  # tests check types, so that only what is behind them can be asked
    assert _dtype("float32") == torch.float32


def test_a_processor_without_bfloat16_is_told_what_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    plain = TOWERS["resnet18"]()
    with pytest.raises(CrossplaceError, match="choose float32 or auto"):
        for_inference(plain, "bfloat16")
    for precision in ("float32", "auto"):
        fast = for_inference(plain, precision)  # type: ignore[arg-type]
        assert {p.dtype for p in fast.parameters()} == {torch.float32}
