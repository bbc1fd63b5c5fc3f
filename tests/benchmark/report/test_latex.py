"""LaTeX compiles: every document of the suite, and every table with names that mean harm."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmark.records.collection import collect
from benchmark.report.documents import DOCUMENTS, TABLES
from benchmark.report.formats import FORMATS
from benchmark.report.latex import SPECIAL
from benchmark.report.table import Cell, Column, Table, text

REPOSITORY = Path(__file__).parents[3]
PDFLATEX = shutil.which("pdflatex")
needs_latex = pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
NASTY = (
    *("".join(SPECIAL), "[x]", "*", "\\", "\\\\", "\\end{document}", "\\input{/etc/passwd}", "%", "&&", "$x_1$"),
    *("^^5e", "{", "}", "#1", "~", "`` '' \" '", "-- ---", "a & b \\\\ c", "\x1b[31mred", "[1.0, 2.0]", " [x]"),
    *("日本語", "Ζ", "é ñ ß ø", "🙂", "", " "),
)


def compiled(folder: Path, body: str) -> str:
    """The log of pdflatex over a whole document around ``body``; the test fails where it does."""
    lines = [r"\documentclass{article}", r"\usepackage{booktabs}", r"\begin{document}", body, r"\end{document}"]
    (folder / "whole.tex").write_text("\n".join(lines))
    command = [str(PDFLATEX), "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "whole.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-3000:]
    assert "root:" not in log
    return log


def apart(document: str) -> str:
    """A document of many tables whose pages LaTeX can place: it holds no more than some twenty that float."""
    return document.replace(r"\end{table}", "\\end{table}\n\\clearpage")


@needs_latex
def test_every_document_of_the_committed_results_compiles(tmp_path: Path) -> None:
    collection = collect(REPOSITORY / "results")
    documents = [DOCUMENTS["tex"](kind, kind.sections(collection)) for kind in TABLES.values()]
    n_tables = sum(document.count(r"\begin{table}") for document in documents)
    log = compiled(tmp_path, "\n".join(map(apart, documents)))
    assert n_tables > 40
    assert re.search(r"Output written on whole\.pdf \((\d+) pages?", log)
    assert (tmp_path / "whole.pdf").stat().st_size > 10_000


@needs_latex
def test_a_collection_with_harmful_names_compiles(tmp_path: Path, synthetic: Path) -> None:
    collection = collect(synthetic)
    kinds = {name: kind for name, kind in TABLES.items() if not name.startswith("paper-")}
    documents = [DOCUMENTS["tex"](kind, kind.sections(collection)) for kind in kinds.values()]
    compiled(tmp_path, "\n".join(map(apart, documents)))


def tables_of(words: Sequence[str]) -> list[Table]:
    """Each text in every place of a table that can hold words."""
    return [
        Table(
            title=one,
            columns=[Column(name=one or "x"), Column(name="number", unit=one), Column(name="reason")],
            rows=[
                [
                    text(one or "–", one),
                    Cell(value=1.5, low=1.0, high=2.0, letters="ab", mark="best"),
                    Cell(reason=one),
                ],
                [text("a", one), Cell(value=-2.5, deviation=0.1, under=one, mark="second"), text(one or "–")],
            ],
            notes=[one],
        )
        for one in words
    ]


@needs_latex
def test_every_table_with_words_that_latex_would_obey_compiles(tmp_path: Path) -> None:
    tables = [apart(FORMATS["tex"](table)) for table in tables_of(NASTY)]
    compiled(tmp_path, "\n".join(tables))


@needs_latex
def test_the_compiler_finds_what_is_not_escaped(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="Undefined control sequence"):
        compiled(tmp_path, r"\notacommand")
