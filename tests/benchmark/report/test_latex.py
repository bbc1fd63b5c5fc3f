"""LaTeX that compiles: every document of the committed results, and names that would do something."""

import shutil
import subprocess
from pathlib import Path

import pytest
from synthetic import METHODS

from benchmark.records.collection import collect
from benchmark.report.documents import DOCUMENTS, TABLES
from benchmark.report.formats import FORMATS
from benchmark.report.latex import written
from benchmark.report.table import Cell, Column, Table, number, text

PDFLATEX = shutil.which("pdflatex") or ""
NEEDS_LATEX = pytest.mark.skipif(
    not PDFLATEX, reason="pdflatex is not installed: install texlive-latex-recommended to compile the tables"
)
RESULTS = Path(__file__).parents[3] / "results"
LONGEST_S = 60
NAMES = (*METHODS, "[x]", " [1.0, 2.0]", "*", "\\\\[1cm]", "日本語", "Ζ", "🙂", "^^5e", "#1")


def compiled(body: str, folder: Path) -> str:
    """Compile ``body`` as a document with booktabs alone; returns the log. LaTeX may read and write only here."""
    preamble = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (folder / "tables.tex").write_text(f"{preamble}{body}\n\\end{{document}}\n")
    done = subprocess.run(
        [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "tables.tex"],
        cwd=folder,
        capture_output=True,
        timeout=LONGEST_S,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-3000:]
    assert (folder / "tables.pdf").stat().st_size > 0
    return said


def cleared(documents: list[str]) -> str:
    """Documents behind each other; floats are put out at once, because LaTeX holds only a few."""
    return "\n".join(documents).replace("\\end{table}", "\\end{table}\\clearpage")


@NEEDS_LATEX
def test_every_document_of_the_committed_results_compiles(tmp_path: Path) -> None:
    collection = collect(RESULTS)
    documents = [DOCUMENTS["tex"](kind, kind.sections(collection)) for kind in TABLES.values()]
    said = compiled(cleared(documents), tmp_path)
    assert "Output written on tables.pdf" in said.replace("\n", "")


@NEEDS_LATEX
def test_names_that_would_do_something_compile_as_words(tmp_path: Path) -> None:
    """Each stands as title, heading, name, word below, reason and note; none reads a file or is a command."""
    tables = [
        Table(
            title=name,
            columns=[Column(name="method"), Column(name=name, unit="%")],
            rows=[
                [text(name, name), Cell(value=12.3, low=1.0, high=99.0, letters="ab", mark="best")],
                [text("½ ² µ → ↔ ± × ≤ ≥ − Δ – — · ° … “é”"), Cell(value=1.0, deviation=0.5, mark="second")],
                [text("none"), number(None, reason=name)],
            ],
            notes=[name],
        )
        for name in NAMES
    ]
    said = compiled(cleared([FORMATS["tex"](table) for table in tables]), tmp_path)
    assert "passwd" not in said
    assert "root:" not in said


def test_options_of_a_command_keep_their_hyphens() -> None:
    assert written("crossplace bench --dry-run") == "crossplace bench -{}-dry-run"
    assert written("12.3 – 4") == "12.3 -- 4", "a dash of the suite is one of LaTeX"


@NEEDS_LATEX
def test_a_name_that_is_not_escaped_would_not_compile(tmp_path: Path) -> None:
    """The check can fail."""
    with pytest.raises(AssertionError, match="Undefined control sequence"):
        compiled("\\nosuchcommand", tmp_path)
