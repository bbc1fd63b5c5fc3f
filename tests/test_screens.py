"""What a person sees: screens of commands at several widths, through a real pseudo-terminal."""

import re
from pathlib import Path

import pytest
from terminal import shown

from benchmark.cli.repository import WIDTHS, screens, screens_document
from benchmark.records.collection import collect

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "results"
COMMANDS = ["crossplace bench", "crossplace sweep", "crossplace list methods"]


def test_the_screens_in_the_documents_are_those_of_today() -> None:
    stored = (REPOSITORY / "docs" / "screens.md").read_text()
    assert screens_document(collect(RESULTS)) == stored, "run: nox -s tables"


@pytest.mark.parametrize("columns", [*WIDTHS, 120, 200])
def test_no_number_and_no_name_is_cut_on_a_terminal(columns: int, tmp_path: Path) -> None:
    """Each command is drawn by a process of its own for the width that the terminal has."""
    code = (
        "from pathlib import Path; from benchmark.cli.repository import screens; "
        "from benchmark.report.screen import terminal_width; from benchmark.records.collection import collect; "
        f"results = Path({str(RESULTS)!r}); width = terminal_width(); "
        "[print('#', command, draw(width), sep='\\n') for command, draw in screens(collect(results)).items()]"
    )
    seen = shown(["-c", code], columns, tmp_path)
    assert "…" not in seen
    assert max(len(line) for line in seen.splitlines() if not line.startswith("crossplace ")) <= columns
    everything = screens(collect(RESULTS))
    for command, draw in everything.items():
        for value in re.findall(r"[-+]?\d+\.\d|[a-z0-9]+_[a-z_]+", draw(10_000)):
            assert value in seen, f"{command}: {value} is cut at {columns} columns"


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize(
    "arguments", [["list", "methods"], ["list", "presets"], ["list", "protocols"], ["list", "variants"]], ids=" ".join
)
def test_the_command_itself_fits_its_terminal(arguments: list[str], columns: int, tmp_path: Path) -> None:
    seen = shown(["-m", "benchmark.cli.main", *arguments], columns, tmp_path)
    assert max(map(len, seen.splitlines())) <= columns
    assert "…" not in seen
