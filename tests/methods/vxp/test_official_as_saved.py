"""Official weights as training programs save them: by DataParallel, by Lightning, beside epochs and optimizers."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmark.cli.main import main
from benchmark.training.bare import bare

State = dict[str, Tensor]


def named(change: Callable[[str], str]) -> Callable[[State], Any]:
    return lambda state: OrderedDict((change(name), tensor) for name, tensor in state.items())


FORMS: dict[str, Callable[[State], Any]] = {
    "DataParallel": named(lambda name: f"module.{name}"),
    "DataParallel of a branch": named(lambda name: name.replace("voxel_feat_ext.", "voxel_feat_ext.module.")),
    "torch.compile": named(lambda name: f"_orig_mod.{name}"),
    "both": named(lambda name: f"module._orig_mod.{name}"),
    "Lightning": lambda state: {"epoch": 3, "state_dict": named(lambda name: f"model.{name}")(state)},
    "a checkpoint": lambda state: {"epoch": 3, "model": state, "optimizer": {"state": {}, "param_groups": []}},
    "a checkpoint of DataParallel": lambda state: {"model_state_dict": named(lambda name: f"module.{name}")(state)},
    "twice wrapped": lambda state: {"model": {"state_dict": named(lambda name: f"module.net.{name}")(state)}},
}


@pytest.fixture
def bare_result(official_files: dict[str, Path], tmp_path: Path) -> State:
    target = tmp_path / "bare.safetensors"
    assert main(["convert", "vxp-official", str(official_files["student"]), str(target)]) == 0
    return load_file(target)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_around_the_weights_is_taken_off_and_said(
    form: str, official: dict[str, State], bare_result: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "student.pth", tmp_path / "out.safetensors"
    torch.save(FORMS[form](official["student"]), source)
    assert main(["convert", "vxp-official", str(source), str(target)]) == 0
    found = load_file(target)
    assert found.keys() == bare_result.keys()
    assert all(torch.equal(found[name], bare_result[name]) for name in found)
    said = capsys.readouterr().err
    assert f"{source}: " in said
    assert "shortened to" in said or "taken out of model" in said


def test_a_wrapped_teacher_beside_a_bare_student(
    official: dict[str, State], official_files: dict[str, Path], tmp_path: Path
) -> None:
    torch.save(FORMS["DataParallel"](official["teacher"]), tmp_path / "teacher.pth")
    words = ["convert", "vxp-official", str(official_files["student"]), str(tmp_path / "out.safetensors")]
    assert main([*words, "--teacher", str(tmp_path / "teacher.pth")]) == 0
    assert len(load_file(tmp_path / "out.safetensors")) == len(official["student"]) + len(official["teacher"]) - 2


def test_what_is_wrong_inside_is_said_of_the_file_that_was_given(
    official: dict[str, State], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = FORMS["a checkpoint of DataParallel"](official["student"])
    del state["model_state_dict"]["module.gem.p"]
    torch.save(state, tmp_path / "student.pth")
    words = ["convert", "vxp-official", str(tmp_path / "student.pth"), str(tmp_path / "out.safetensors")]
    assert main(words) == 1
    assert f"error: {tmp_path / 'student.pth'}: lacks gem.p" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    "content",
    [
        {"gem.p": torch.ones(1)},
        {},
        [1, 2],
        {"epoch": 3},
        {"model": 7},
        {"module.a": torch.ones(1), "a": torch.ones(1)},  # taking it off would lose one
    ],
)
def test_a_file_without_anything_around_is_left_to_its_reader(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "file.pth")
    assert bare(tmp_path / "file.pth") is None
    assert bare(tmp_path / "none.pth") is None
