import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datasets.errors import CrossplaceError
from methods.vxp import Vxp
from methods.vxp.config import PRESETS, VxpConfig
from methods.vxp.official import convert

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def ours() -> State:
    """Names and shapes of the whole method."""
    config = PRESETS["published-oxford"]
    assert isinstance(config, VxpConfig)
    return Vxp(replace(config, weights="none")).state_dict()


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("methods"), "propagate", True)
    caplog.set_level(logging.INFO, "methods")
    return caplog


def test_student_and_teacher_together_are_the_whole_method(
    official_files: dict[str, Path], ours: State, messages: pytest.LogCaptureFixture
) -> None:
    found = convert(official_files["student"], official_files["teacher"])
    assert {name: tensor.shape for name, tensor in found.items()} == {name: t.shape for name, t in ours.items()}
    assert {name: tensor.dtype for name, tensor in found.items()} == {name: t.dtype for name, t in ours.items()}
    assert "incomplete" not in messages.text
    swapped = convert(official_files["teacher"], official_files["student"])
    assert all(torch.equal(found[name], swapped[name]) for name in ours)


@pytest.mark.parametrize(
    ("name", "official_name"),
    [
        ("cloud_branch.feature_encoder.vfe_layers.1.linear.weight", "voxel_feat_ext.vfe.vfe_layers.1.linear.weight"),
        (
            "cloud_branch.feature_encoder.vfe_layers.2.norm.running_var",
            "voxel_feat_ext.vfe.vfe_layers.2.norm.running_var",
        ),
        ("cloud_branch.encoder.0.0.weight", "voxel_feat_ext.middle.conv_input.0.weight"),
        ("cloud_branch.encoder.1.1.bias", "voxel_feat_ext.middle.encoder_layers.encoder_layer1.0.1.bias"),
        ("cloud_branch.encoder.4.0.weight", "voxel_feat_ext.middle.encoder_layers.encoder_layer2.2.0.weight"),
        (
            "cloud_branch.encoder.5.1.num_batches_tracked",
            "voxel_feat_ext.middle.encoder_layers.encoder_layer3.0.1.num_batches_tracked",
        ),
        ("cloud_branch.encoder.8.0.weight", "voxel_feat_ext.middle.conv_out.0.weight"),
        ("cloud_branch.pool.p", "gem.p"),
        ("cloud_branch.head.bias", "gem.dense_head.bias"),
        ("image_branch.backbone.encoder.blocks.11.mlp.fc2.weight", "backbone.encoder.blocks.11.mlp.fc2.weight"),
        ("image_branch.backbone.encoder.pos_embed", "backbone.encoder.pos_embed"),
        ("image_branch.pool.p", "pooling.p"),
        ("image_branch.head.weight", "pooling.dense_head.weight"),
    ],
)
def test_each_tensor_goes_where_it_belongs(
    name: str, official_name: str, official: dict[str, State], official_files: dict[str, Path]
) -> None:
    found = convert(official_files["student"], official_files["teacher"])
    both = official["student"] | official["teacher"]
    assert torch.equal(found[name], both[official_name])
    assert len(found) == len(both) - 2  # all but DINO's last normalisation


@pytest.mark.parametrize(
    ("kind", "branch", "lacking"),
    [
        ("local student", "cloud_branch.", "cloud_branch.head.bias"),
        ("student", "cloud_branch.", "image_branch.backbone"),
        ("teacher", "image_branch.", "cloud_branch.encoder"),
    ],
)
def test_a_single_file_is_converted_and_said_to_be_incomplete(
    kind: str, branch: str, lacking: str, official_files: dict[str, Path], messages: pytest.LogCaptureFixture
) -> None:
    found = convert(official_files[kind])
    assert {name.partition(".")[0] + "." for name in found} == {branch}
    assert re.search(rf"pth: {kind}, {len(found)} tensors", messages.text)
    assert re.search(rf"incomplete: \d+ tensors such as {lacking}", messages.text)


def test_a_teacher_without_the_unused_normalisation_is_welcome(
    official: dict[str, State], official_files: dict[str, Path], tmp_path: Path
) -> None:
    kept = {name: t for name, t in official["teacher"].items() if not name.startswith("backbone.encoder.norm.")}
    torch.save(kept, tmp_path / "teacher.pth")
    assert convert(tmp_path / "teacher.pth").keys() == convert(official_files["teacher"]).keys()


def test_kernels_of_spconv_1_are_turned_and_named(
    official: dict[str, State], official_files: dict[str, Path], tmp_path: Path, messages: pytest.LogCaptureFixture
) -> None:
    turned = {n: t.permute(1, 2, 3, 4, 0).contiguous() if t.ndim == 5 else t for n, t in official["student"].items()}
    torch.save(turned, tmp_path / "student.pth")
    found, expected = convert(tmp_path / "student.pth"), convert(official_files["student"])
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert messages.text.count("the layout of spconv 1 and mmcv") == 9


def without(name: str) -> Callable[[State], Any]:
    return lambda state: {n: t for n, t in state.items() if n != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("gem.p"), r"student\.pth: lacks gem\.p \(1 of 75\); expected the whole state dict of a VXP student"),
        (
            without("voxel_feat_ext.middle.conv_out.1.num_batches_tracked"),
            r"lacks voxel_feat_ext\.middle\.conv_out\.1\.num_batches_tracked",
        ),
        (lambda state: state | {"gem.q": torch.ones(1)}, r"has surplus gem\.q"),
        (
            lambda state: state | {"gem.dense_head.weight": torch.ones(128, 384)},
            r"gem\.dense_head\.weight has shape \(128, 384\), expected \(256, 384\)",
        ),
        (
            lambda state: state | {"voxel_feat_ext.middle.conv_input.0.weight": torch.ones(16, 3, 3, 3, 4)},
            r"conv_input\.0\.weight has shape .*; weights of another architecture cannot be converted",
        ),
        (lambda state: {"state_dict": state}, r"expected a bare state dict, name → tensor"),
        (lambda state: [1, 2], r"expected a bare state dict"),
        (lambda state: {}, r"none of its 0 names is one of VXP's"),
        (lambda state: {"conv.weight": torch.ones(1)}, r"none of its 1 names such as 'conv\.weight' is one of VXP's"),
    ],
    ids=["missing", "statistics", "surplus", "shape", "kernel", "wrapped", "list", "empty", "foreign"],
)
def test_what_is_wrong_with_a_state_dict_is_said(
    change: Callable[[State], Any], message: str, official: dict[str, State], tmp_path: Path
) -> None:
    torch.save(change(official["student"]), tmp_path / "student.pth")
    with pytest.raises(CrossplaceError, match=message):
        convert(tmp_path / "student.pth")


def test_two_files_of_the_same_kind_are_refused(official_files: dict[str, Path]) -> None:
    with pytest.raises(CrossplaceError, match=r"cloud_branch\.\S+ is in both files; expected one file of a student"):
        convert(official_files["student"], official_files["local student"])


class Bomb:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"student\.pth: no readable torch file \(FileNotFoundError\)"),
        (b"", r"student\.pth: no readable torch file \(EOFError\)"),
        (b"no pickle at all", r"student\.pth: no"),
        (b"PK\x03\x04 no zip either", r"student\.pth: no"),
    ],
    ids=["absent", "empty", "text", "broken archive"],
)
def test_a_file_that_is_no_torch_file_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "student.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CrossplaceError, match=message):
        convert(path)


def test_a_truncated_file_is_named(official_files: dict[str, Path], tmp_path: Path) -> None:
    content = official_files["student"].read_bytes()
    (tmp_path / "student.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(CrossplaceError, match=r"student\.pth: no readable torch file"):
        convert(tmp_path / "student.pth")


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"gem.p": Bomb()}, tmp_path / "student.pth")
    with pytest.raises(CrossplaceError, match=r"student\.pth: no file of tensors alone; .* holds code that is not run"):
        convert(tmp_path / "student.pth")
    assert not Path("exploded").exists()
