from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
from batches import count
from safetensors.torch import save_file
from torch import Tensor, nn

from datasets.errors import CrossplaceError
from datasets.files import sha256_of
from methods.layers.backbone import ImageBackbone


def pixels(size: int, n: int = 1) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of all of ResNet-18, classifier included, as timm publishes them."""
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), path)
    return path


# --- feature maps --------------------------------------------------------------------------------


def test_vits8_gives_the_tokens_of_its_last_block_without_the_final_norm() -> None:
    backbone = ImageBackbone("vit_small_patch8_224.dino", 11, (224, 224), "none").eval()
    vit = backbone.encoder
    assert backbone.channels == 384
    with torch.no_grad():
        image = pixels(224)
        found = backbone(image)
        tokens = torch.cat([vit.cls_token, vit.patch_embed(image)], dim=1) + vit.pos_embed
        for block in vit.blocks:
            tokens = block(tokens)
    assert len(vit.blocks) == 12
    assert found.shape == (1, 384, 28, 28)
    # row-major: token 1 + 28 · row + column
    for row, column in [(0, 0), (0, 27), (3, 5), (27, 0), (27, 27)]:
        torch.testing.assert_close(found[0, :, row, column], tokens[0, 1 + 28 * row + column], atol=1e-4, rtol=1e-4)
    assert found.std(1).mean() != pytest.approx(1, abs=0.05)  # what a final norm would make it
    assert isinstance(vit.norm, nn.Identity)


@pytest.mark.parametrize(("block", "shape"), [(1, (64, 16, 16)), (2, (128, 8, 8))])
def test_resnet18_gives_the_output_of_a_stage_and_loses_the_later_ones(block: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    backbone = ImageBackbone("resnet18", block, (64, 64), "none").eval()
    torch.manual_seed(0)
    whole = timm.create_model("resnet18").eval()
    with torch.no_grad():
        expected = whole.maxpool(whole.act1(whole.bn1(whole.conv1(pixels(64)))))
        for layer in (whole.layer1, whole.layer2)[:block]:
            expected = layer(expected)
        found = backbone(pixels(64))
    assert found.shape == (1, *shape)
    assert backbone.channels == shape[0]
    torch.testing.assert_close(found, expected)
    n_parameters = count(backbone)
    used = [whole.conv1, whole.bn1, whole.layer1, whole.layer2][: 2 + block]
    assert n_parameters == sum(p.numel() for module in used for p in module.parameters())


def test_a_new_backbone_is_in_training_mode_and_its_statistics_are_untouched() -> None:
    backbone = ImageBackbone("resnet18", 1, (64, 64), "none")
    assert all(module.training for module in backbone.modules())
    assert int(backbone.encoder.bn1.num_batches_tracked) == 0


# --- weights -------------------------------------------------------------------------------------


def test_weights_come_from_a_local_file(resnet_file: Path) -> None:
    torch.manual_seed(1)
    backbone = ImageBackbone("resnet18", 1, (64, 64), str(resnet_file), sha256_of(resnet_file))
    torch.manual_seed(7)
    expected = timm.create_model("resnet18")
    assert torch.equal(backbone.encoder.conv1.weight, expected.conv1.weight)
    assert torch.equal(backbone.encoder.layer1[1].conv2.weight, expected.layer1[1].conv2.weight)


def test_weights_of_another_image_size_have_their_positions_resampled(tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    save_file(timm.create_model("vit_tiny_patch16_224", img_size=32).state_dict(), path)
    backbone = ImageBackbone("vit_tiny_patch16_224", 1, (64, 64), str(path))
    assert backbone(pixels(64)).shape == (1, 192, 4, 4)


def test_a_wrong_hash_is_said_with_both_hashes(resnet_file: Path) -> None:
    with pytest.raises(CrossplaceError, match=rf"{sha256_of(resnet_file)}, expected 0123abcd…; .* fetch it again"):
        ImageBackbone("resnet18", 1, (64, 64), str(resnet_file), "0123abcd")


def test_the_first_digits_of_the_hash_in_a_file_name_are_checked(resnet_file: Path, tmp_path: Path) -> None:
    named = {digits: tmp_path / f"resnet18-{digits}.safetensors" for digits in (sha256_of(resnet_file)[:8], "00000000")}
    for path in named.values():
        path.write_bytes(resnet_file.read_bytes())
    good, bad = named.values()
    ImageBackbone("resnet18", 1, (64, 64), str(good))
    with pytest.raises(CrossplaceError, match="expected 00000000…"):
        ImageBackbone("resnet18", 1, (64, 64), str(bad))


def test_a_missing_file_is_said_with_what_else_to_pass(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"resnet18: no file .*nowhere\.pth; pass --weights FILE"):
        ImageBackbone("resnet18", 1, (64, 64), str(tmp_path / "nowhere.pth"))


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        ("resnet34", "resnet18"),
        ("vit_tiny_patch16_224", "resnet18"),
        ("vit_small_patch16_224.dino", "vit_tiny_patch16_224"),
        ("vit_small_patch16_224.dino", "vit_small_patch8_224.dino"),  # timm alone would resample the patches
    ],
)
def test_a_file_of_another_architecture_is_refused(tmp_path: Path, stored: str, wanted: str) -> None:
    size = {"img_size": 32} if stored.startswith("vit_") else {}
    path = tmp_path / "other.safetensors"
    save_file(timm.create_model(stored, **size).state_dict(), path)
    with pytest.raises(CrossplaceError, match=rf"into {wanted} .*Expected a checkpoint of this") as caught:
        ImageBackbone(wanted, 1, (32, 32), str(path))
    assert len(str(caught.value)) < 500  # a sentence, not a list of all tensors


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.safetensors"
    path.write_text("not a checkpoint")
    with pytest.raises(CrossplaceError, match="Expected a checkpoint of this very architecture"):
        ImageBackbone("resnet18", 1, (64, 64), str(path))


def test_a_download_without_network_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CrossplaceError, match=r"needs a network; .* --weights FILE, or .* --weights none"):
        ImageBackbone("resnet18", 1, (64, 64), "timm")


@pytest.mark.parametrize(
    ("name", "block", "expected"),
    [
        ("resnet81", 1, "backbone 'resnet81': timm .* no such model"),
        ("resnet18", 5, "backbone resnet18: no feature map 5; choose one from 0 to 4"),
        ("vit_tiny_patch16_224", 12, "no feature map 12; choose one from 0 to 11"),
    ],
)
def test_an_unknown_model_or_feature_map_is_said(name: str, block: int, expected: str) -> None:
    with pytest.raises(CrossplaceError, match=expected):
        ImageBackbone(name, block, (64, 64), "none")


@pytest.mark.parametrize(("name", "block", "size"), [("resnet18", 2, (8, 24)), ("vit_tiny_patch16_224", 1, (4, 12))])
def test_images_need_not_be_square(name: str, block: int, size: tuple[int, int]) -> None:
    scale = 8 if name.startswith("resnet") else 16
    backbone = ImageBackbone(name, block, (size[0] * scale, size[1] * scale), "none")
    assert backbone.map_size == size


def test_map_and_class_token_come_from_one_pass() -> None:
    torch.manual_seed(0)
    backbone = ImageBackbone("vit_tiny_patch16_224", 1, (32, 48), "none").eval()
    pixels = torch.randn(2, 3, 32, 48)
    feature_map, token = backbone.map_and_class_token(pixels)
    assert (feature_map.shape, token.shape) == ((2, 192, 2, 3), (2, 192))
    torch.testing.assert_close(feature_map, backbone(pixels))
    torch.testing.assert_close(token, backbone.class_token(pixels))


def test_a_backbone_that_timm_cannot_cut_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(timm.models.vgg.VGG, "prune_intermediate_layers")
    with pytest.raises(CrossplaceError, match=r"timm [\d.]+ cannot give its feature maps; .*timm>=1\.0\.31"):
        ImageBackbone("vgg16", 4, (64, 64), "none")
