"""Docstrings that can be read alone and in one breath.

An editor, and ``--help``, show the docstring of one field at a time: it must be a whole phrase. Many readers are not
native speakers: no sentence is longer than thirty words.
"""

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 30
"""Most words of a sentence."""
FRAGMENTS = ("Of ", "of ", "…", "None:", "none:")
"""Beginnings of docstrings that go on from the name before them, or from the field above."""
NOT_YET: tuple[str, ...] = ()
"""Rooms whose docstrings have not been rewritten. Take a room away when it passes; add none."""


@dataclass(frozen=True)
class Docstring:
    """One docstring and where it begins."""

    where: str
    text: str


def rooms() -> dict[str, list[Path]]:
    """Python files by room: datasets, methods, every package in benchmark, and the files of benchmark itself."""
    found: dict[str, list[Path]] = {}
    for package in ("datasets", "methods", "benchmark"):
        for path in sorted((ROOT / package).rglob("*.py")):
            inner = path.relative_to(ROOT).parts[1:-1]
            room = f"{package}.{inner[0]}" if package == "benchmark" and inner else package
            found.setdefault(room, []).append(path)
    return found


def docstrings(path: Path) -> Iterator[Docstring]:
    """Docstrings of the module, its classes and functions, and strings below a field or constant."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for statement in node.body:
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield Docstring(f"{path.relative_to(ROOT)}:{statement.lineno}", text)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a docstring. Paragraphs, items of lists and colons end them; code counts as one word."""
    text = re.sub(r"(:\w+:)?``?[^`]+``?", "CODE", text)
    for paragraph in re.split(r"(?:\n\s*)+[-*•] |\n\s*\n", text):
        for sentence in re.split(r"[.:;?!][)”\"]*(?=\s|$)", paragraph):
            if words := sentence.split():
                yield " ".join(words)


def n_words(sentence: str) -> int:
    """Words that are read as such: dashes and signs of arithmetic are none."""
    return sum(any(letter.isalnum() for letter in word) for word in sentence.split())


def faults(path: Path) -> list[str]:
    """What cannot be read alone, or in one breath, each with its place."""
    found = []
    for docstring in docstrings(path):
        if docstring.text.startswith(FRAGMENTS):
            found.append(f"{docstring.where}: begins in the middle: {docstring.text.splitlines()[0]}")
        for sentence in sentences(docstring.text):
            if n_words(sentence) > LONGEST:
                found.append(f"{docstring.where}: {n_words(sentence)} words: {sentence}")
    return found


@pytest.mark.parametrize(
    "room",
    [
        pytest.param(room, marks=pytest.mark.xfail(strict=False, reason="not rewritten yet"))
        if room in NOT_YET
        else room
        for room in rooms()
    ],
)
def test_docstrings_are_whole_phrases_of_at_most_thirty_words(room: str) -> None:
    wrong = [fault for path in rooms()[room] for fault in faults(path)]
    assert not wrong, "\n" + "\n".join(wrong)


WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for paths in rooms().values()
    for path in paths
    if ">>> " in path.read_text()
]
"""Modules with examples in their docstrings."""


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings_are_true(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert (found.attempted > 0, found.failed) == (True, 0)


def test_rooms_that_are_still_to_be_rewritten_exist() -> None:
    assert set(NOT_YET) <= set(rooms())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two; three: four? Five!", ["One", "Two", "three", "four", "Five"]),
        ("At 0.5 m, v1.2 of\n    the map.", ["At 0.5 m, v1.2 of the map"]),
        ("Two kinds\n\n    - the first\n    - the second.", ["Two kinds", "the first", "the second"]),
        ("As ``a b; c. d`` says (in part). So.", ["As CODE says (in part)", "So"]),
        ("Whole.\n\n    Raises:\n        Error: it failed.", ["Whole", "Raises", "Error", "it failed"]),
        ("See :func:`read. it` now", ["See CODE now"]),
    ],
)
def test_sentences_end_where_a_reader_breathes(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


def test_signs_are_no_words() -> None:
    assert n_words("a – b × c → d = 3") == 5


def test_faults_are_found_with_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    long = " ".join(["word"] * 31)
    (tmp_path / "a.py").write_text(
        f'"""Fine."""\n\nclass A:\n    """Fine."""\n\n    b: int\n    """Of a."""\n\nC = 1\n"""{long}"""\n'
    )
    assert [fault.split(": ")[:2] for fault in faults(tmp_path / "a.py")] == [
        ["a.py:10", "31 words"],
        ["a.py:7", "begins in the middle"],
    ]
