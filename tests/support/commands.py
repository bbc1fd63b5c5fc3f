"""Commands as a person types them, in this process, and what they leave behind."""

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.records.schema import Result

DIRECTIONS = ["image->cloud", "cloud->image", "image->image", "cloud->cloud"]


def crossplace(*arguments: object) -> None:
    """A command that must succeed."""
    assert main([str(a) for a in arguments]) == 0


def sentence(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command that must fail says: one line on standard error, after nothing on standard output."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == ""
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


def written(folder: Path) -> list[Path]:
    """Files below ``folder``, but for what plans remember of methods."""
    return [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "declared"]


def results_in(runs: Path) -> dict[str, Result]:
    found = [Result.read(path.parent) for path in runs.glob("results/*/result.json")]
    assert len({result.method.name for result in found}) == len(found)
    return {result.method.name: result for result in found}
