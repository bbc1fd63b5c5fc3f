"""A method with its weights where no dataset is."""

from pathlib import Path

import pytest
import torch

from benchmark.deploy.weights import method_with_weights
from benchmark.registry import METHODS
from benchmark.training.checkpoint import checksum_of, save_weights
from datasets.errors import CrossplaceError


@pytest.mark.parametrize("name", [name for name in METHODS.names() if METHODS.get(name).shipped])
def test_weights_of_the_suite_are_read_without_their_dataset(name: str, data_folder: Path) -> None:
    before = sorted(data_folder.rglob("dataset.json"))
    method, again = method_with_weights(name), method_with_weights(name, METHODS.get(name).shipped[0].file)
    assert checksum_of(method) == checksum_of(again)
    assert not method.training
    assert sorted(data_folder.rglob("dataset.json")) == before
    torch.manual_seed(3)
    assert checksum_of(METHODS.get(name)(method.config)) != checksum_of(method)


def test_weights_that_nobody_has_are_trained_and_given(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"no weights of range_plain come with the suite .*crossplace train"):
        method_with_weights("range_plain")
    kind = METHODS.get("range_plain")
    trained = kind(kind.presets["quick"])
    save_weights(trained, tmp_path / "w.safetensors")
    assert checksum_of(method_with_weights("range_plain", tmp_path / "w.safetensors")) == checksum_of(trained)
    with pytest.raises(CrossplaceError, match="name the method, preset and variant that it is for"):
        method_with_weights("twin_layout", tmp_path / "w.safetensors")
    with pytest.raises(CrossplaceError, match="no such file; crossplace train or convert makes one"):
        method_with_weights("range_plain", tmp_path / "none.safetensors")
    with pytest.raises(CrossplaceError, match=r"unknown method 'rangeplain'\. Did you mean"):
        method_with_weights("rangeplain")
    assert method_with_weights("height_histogram").card.name == "height_histogram"
    with pytest.raises(CrossplaceError, match="no weights of vxp come with the suite"):
        method_with_weights("vxp", variant="nearest-wins")
