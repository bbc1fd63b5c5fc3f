from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.keys import key_of, plain
from benchmark.registry import METHODS
from benchmark.request import MethodOptions
from benchmark.training.configuring import configure, without_path
from benchmark.training.declared import declare
from datasets.errors import CrossplaceError
from methods.base import ImageInput
from methods.layers.package_weights import LITE0, PACKAGED

METHOD = METHODS.get("range_plain")


def asked(**options: str) -> MethodOptions:
    return MethodOptions(**{"name": "range_plain", "preset": "pretrained", **options})


def test_weights_of_a_package_are_identified_by_what_they_hold_on_every_machine(tmp_path: Path) -> None:
    config = configure(METHOD, asked())
    assert config == METHOD.presets["pretrained"]
    identity = declare(asked(), tmp_path).identity
    assert identity == plain(without_path(config), with_defaults=False)
    assert (identity["weights"], identity["weights_sha256"]) == ("package", PACKAGED[LITE0].sha256)
    assert declare(asked(weights="package"), tmp_path).identity == identity


def test_a_preset_without_its_package_forgets_the_packages_hash() -> None:
    scratch = configure(METHOD, asked(weights="none"))
    assert (scratch.weights, scratch.weights_sha256, scratch.backbone) == ("none", "", LITE0)
    assert key_of(without_path(scratch)) != key_of(without_path(METHOD.presets["pretrained"]))


def test_a_named_hash_counts_for_the_weights_of_a_preset() -> None:
    assert configure(METHOD, asked(weights_sha256="57934424")).weights_sha256 == "57934424"


def test_a_preset_whose_backbone_no_package_has_is_refused_and_another_preset_is_the_cure() -> None:
    with pytest.raises(CrossplaceError, match=rf"no package has weights of resnet18; there are those of {LITE0}, .*"):
        configure(METHOD, asked(preset="quick", weights="package"))
    assert configure(METHOD, asked(weights="package")).weights == "package"


def test_a_method_without_a_backbone_has_no_use_for_a_package() -> None:
    kind, name = METHODS.get("height_histogram"), "height_histogram"
    with pytest.raises(CrossplaceError, match=r"this method has no image backbone; .* or leave --weights out"):
        configure(kind, asked(name=name, preset="quick", weights="package"))
    configure(kind, asked(name=name, preset="quick"))


def test_images_that_the_weights_do_not_expect_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    off = replace(METHOD.presets["pretrained"], image=ImageInput(height=80, width=112))
    monkeypatch.setitem(METHOD.presets, "off", off)
    with pytest.raises(CrossplaceError, match=r"expect images with mean 0\.498 and deviation 0\.502 in all channels"):
        configure(METHOD, asked(preset="off"))
    configure(METHOD, asked(preset="pretrained"))
