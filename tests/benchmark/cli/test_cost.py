"""The command ``cost``: what is refused before anything is prepared, and what it writes and prints."""

import json
import re
from pathlib import Path

import pytest
from terminal import shown

from benchmark.cli.main import main
from benchmark.cost.probes import memory
from benchmark.frames import preparing
from benchmark.records.cost import sheets_in
from datasets.prepared import PreparedDataset


@pytest.mark.parametrize(
    ("wrong", "sentence", "right"),
    [
        (["--methods", "vpx"], "unknown method 'vpx'", ["--methods", "height_histogram"]),
        (["--presets", "quik"], "unknown preset 'quik'", ["--presets", "quick"]),
        (["--minutes", "0"], "--minutes: expected a finite number above 0, found 0", ["--minutes", "0.001"]),
        (["--minutes", "nan"], "--minutes: expected a finite number above 0, found nan", ["--minutes", "0.001"]),
        (["--device", "gpu"], "unknown device 'gpu'", ["--device", "cpu"]),
    ],
)
def test_a_mistake_is_a_sentence_whose_cure_helps(
    wrong: list[str], sentence: str, right: list[str], small_world: PreparedDataset, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(memory, "in_its_own_process", lambda *_: {"resident": 400.0})
    usual = {"--methods": "height_histogram", "--presets": "quick", "--minutes": "0.001", "--device": "cpu"}
    common = ["cost", "--dataset", str(small_world.folder), "--output", str(tmp_path)]
    for options, code in ((wrong, 1), (right, 0)):
        given = usual | dict([options])
        assert main([*common, *(word for pair in given.items() for word in pair)]) == code
        assert (sentence in " ".join(capsys.readouterr().err.split())) == bool(code)


def test_no_preset_is_a_sentence_before_anything_is_prepared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "prepare", lambda *_: pytest.fail("prepared"))
    assert main(["cost", "--methods", "height_histogram", "--device", "cpu", "--presets"]) == 1
    assert "--presets needs names of presets, such as quick; leave it out" in " ".join(capsys.readouterr().err.split())


def test_a_session_writes_a_sheet_and_tables_in_three_forms_and_finds_them_again(
    small_world: PreparedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(memory, "in_its_own_process", lambda *_: asked.append(1) or {"resident": 400.0})
    command = ["cost", "--methods", "height_histogram", "--dataset", str(small_world.folder), "--minutes", "0.001"]
    assert main([*command, "--output", str(tmp_path)]) == 0
    first = capsys.readouterr().out
    quick, paper = sorted(sheets_in(tmp_path), key=lambda sheet: sheet.hole)
    assert (quick.preset, paper.preset) == ("quick", "paper")
    assert {measure.part for measure in quick.measures} >= {"image.encode", "search.1000", "method"}
    assert json.loads(quick.path_in(tmp_path).read_text())["seal"]
    tables = {path.name for path in (tmp_path / "tables").iterdir()}
    assert tables == {"cost-sessions.md", "cost-sessions.tex", "cost-sessions.csv"}
    assert "height_histogram quick" in (tmp_path / "tables" / "cost-sessions.md").read_text()
    assert "(1) height_histogram has no preset with a paper's architecture, only quick" in first
    assert main([*command, "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out == first
    assert len(asked) == 1, "measured once"


@pytest.mark.parametrize("columns", [80, 100])
def test_the_help_fits_its_terminal(columns: int, tmp_path: Path) -> None:
    coloured = shown(["-m", "benchmark.cli.main", "cost", "--help"], columns, tmp_path)
    seen = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert max(map(len, seen.splitlines())) <= columns
    assert "--again" in seen
