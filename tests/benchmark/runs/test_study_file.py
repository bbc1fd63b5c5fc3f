"""Studies as files: which runs they stand for, and what is wrong with them in a sentence."""

from pathlib import Path

import pytest

from benchmark.registry import METHODS
from benchmark.request import Request, option_types
from benchmark.runs.study_file import AXES, StudyFile, named
from datasets.errors import CrossplaceError


def study(tmp_path: Path, text: str) -> StudyFile:
    (tmp_path / "study.toml").write_text(text)
    return StudyFile.read(tmp_path / "study.toml")


def test_a_study_is_the_product_of_its_lists(tmp_path: Path) -> None:
    found = study(
        tmp_path,
        'methods = ["vxp", "lc2"]\nseeds = [0, 7]\ndatasets = ["town", "kitti"]\n'
        'protocols = ["town-night", "kitti-revisit"]\ncost = false\n[options]\nshare = 2\nruns = "here"\n',
    )
    wanted = found.wanted(Request.of(device="cpu"), measured=True)
    cells = [(w.request.method.name, w.request.data.dataset, w.request.data.protocol) for w in wanted]
    town, kitti = ("town", "town-night"), ("kitti", "kitti-revisit")
    assert cells[::2] == [("vxp", *town), ("vxp", *kitti), ("lc2", *town), ("lc2", *kitti)]
    assert [w.request.method.seed for w in wanted] == [0, 7] * 4
    assert wanted[1].label == "vxp · town · town-night · seed 7"
    assert {w.measured for w in wanted} == {False}
    for request in (w.request for w in wanted):
        assert (request.machine.device, request.method.preset) == ("cpu", "quick"), "what the file leaves out"
        assert (request.method.share, request.machine.runs) == (2.0, Path("here"))


def test_lists_that_are_left_out_have_the_value_of_the_command_line(tmp_path: Path) -> None:
    (wanted,) = study(tmp_path, "").wanted(Request.of(method="lc2", seed=3), measured=True)
    assert (wanted.label, wanted.request.method.seed, wanted.measured) == ("lc2", 3, True)
    assert len(study(tmp_path, 'methods = ["all"]').wanted(Request(), measured=True)) == len(METHODS.names())


def test_variants_are_told_apart(tmp_path: Path) -> None:
    wanted = study(tmp_path, 'variants = ["", "teacher.epochs=8"]').wanted(Request(), measured=True)
    assert [w.label for w in wanted] == ["vxp", "vxp · teacher.epochs=8"]


def test_every_list_has_an_option() -> None:
    assert option_types().keys() >= {*AXES.values()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("methods = ", r"not valid TOML .*; docs/scale.md"),
        ("method = ['vxp']", r"method: Extra inputs .*; a study file has methods, presets"),
        ("seeds = ['one']", r"seeds.0: Input should be a valid integer"),
        ("[options]\nsead = 3", r"options: unknown option 'sead'.* Did you mean seed"),
        ("[options]\nshare = 'much'", r"options.share: Input should be a valid number"),
        ("[options]\nprecision = '8-bit'", r"options.precision: Input should be '32-true'"),
        ("seeds = [1]\n[options]\nseed = 3", r"options.seed: the list seeds says it; leave one"),
        ("seeds = [1, 1]", r"vxp: asked for twice; leave one"),
    ],
)
def test_what_is_wrong_with_a_file_is_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(CrossplaceError, match=words):
        study(tmp_path, text).wanted(Request(), measured=True)


def test_labels_hold_what_differs() -> None:
    requests = [Request.of(method=method, seed=seed) for method in ("vxp", "lc2") for seed in (0, 1)]
    assert [want.label for want in named(requests, measured=True)] == [
        "vxp · seed 0",
        "vxp · seed 1",
        "lc2 · seed 0",
        "lc2 · seed 1",
    ]
