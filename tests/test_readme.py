"""The README is short and keeps its promises; links of all documents lead somewhere."""

import re
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 130


@pytest.mark.parametrize("session", ["bench", "tests"])
def test_the_readme_begins_with_the_two_commands(session: str) -> None:
    first_screen = README.read_text().splitlines()[:15]
    assert any(f"python -m pip install nox && nox -s {session}" in line for line in first_screen)


def test_the_readme_has_a_place_for_the_leaderboard() -> None:
    text = README.read_text()
    start, end = "<!-- leaderboard -->", "<!-- /leaderboard -->"
    assert text.count(start) == text.count(end) == 1
    between = text[text.index(start) + len(start) : text.index(end)]
    rows = [line for line in between.splitlines() if line.startswith("|")]
    assert len(rows) > 2


def test_the_strip_is_a_small_picture_for_every_page() -> None:
    strip = REPOSITORY / "docs" / "town-strip.jpg"
    assert f"]({strip.relative_to(REPOSITORY).as_posix()})" in README.read_text()
    assert strip.stat().st_size <= 250_000
    with Image.open(strip) as picture:
        assert picture.mode == "RGB", "transparent pictures cannot be read on every page"
        assert 1500 <= picture.width <= 1700


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, heading = link.partition("#")
        if ":" in target:  # https://…, mailto:…
            continue
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), f"{document.name} links to {link}"
        assert not heading or heading in _anchors(path), f"{document.name} links to {link}"


def _anchors(document: Path) -> set[str]:
    """Anchors that GitHub gives to the headings of ``document``."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
