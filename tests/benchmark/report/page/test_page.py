"""The page as a file: its sections, what it must never obey, its size, and equal bytes for equal results."""

import html
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from reports import HOSTILE, change, method

from benchmark.frames.preparing import look_at
from benchmark.records import collection as collection_of_results
from benchmark.records.collection import collect
from benchmark.report.page import page as pages
from benchmark.report.page.drawings import Drawing, drawings
from benchmark.report.page.page import LARGEST_BYTES, report, write_report
from benchmark.report.table import printable
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

REPOSITORY = Path(__file__).parents[4]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><script>boom()</script></svg>'


class Outline(HTMLParser):
    """Elements of a page, and its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[int, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_data(self, data: str) -> None:
        if self.headings and not self.headings[-1][1] and data.strip():
            self.headings[-1] = (self.headings[-1][0], data.strip())

    def ids(self) -> list[str]:
        return [found for _, attributes in self.elements if (found := attributes.get("id"))]


def text_of(page: str) -> str:
    """What a reader reads."""
    visible = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", visible)).split())


def test_every_part_is_there_and_the_contents_lead_to_it(stored: Path) -> None:
    page = report(collect(stored), drawings=[Drawing(title="A figure", svg=SVG, csv="a,b\n")])
    outline = Outline(page)
    assert [words for level, words in outline.headings if level == 2] == [
        "Contents",
        "In short",
        "How to read the numbers",
        "Results: small_world, protocol small",
        "Figures",
        "Map of queries",
        "Methods as configured",
        "Machines",
        "Commands",
    ]
    targets = {str(a["href"])[1:] for tag, a in outline.elements if tag == "a" and str(a["href"]).startswith("#")}
    assert targets <= set(outline.ids())
    assert len(outline.ids()) == len(set(outline.ids()))
    levels = [level for level, _ in outline.headings]
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_what_a_reader_must_know_is_said(stored: Path) -> None:
    harness = {"version": "9.9", "git_revision": "c0ffee" * 8, "dirty": False}
    for folder in stored.iterdir():
        change(folder, harness=harness)
    change(stored / "run-1-s0", harness=harness | {"dirty": True})
    short = method("second", share_of_schedule=0.5)
    change(stored / "run-1-s1", method=short, warnings=["a warning of this run"])
    said = text_of(report(collect(stored)))
    for words in (
        "first finds the place of 100.0 % of the images at first try",
        "1 of 7 runs are dirty: files of the suite differed from its revision",
        "1 of 7 runs did a part or a multiple of their schedule",
        "a warning of this run",
        "c0ffeec0ff",
        "50 % of the schedule",
        "A retrieved place is right if it is at most 13 m from the query.",
        "Both headings must also differ by less than 29°",
        "grid.lower_m 0.0, -1.0",
        "Seed 0: trained (only 3 of 3 epochs, 12 s). SHA-256 abab",
        "Test CPU",
        "run-1-s1",
        str(stored / "run-1-s1"),
        "crossplace bench --method first --preset quick --seed 1 --retrain --weights none --dataset FOLDER",
    ):
        assert words in said, words


def test_a_stand_in_is_marked_and_real_positions_are_warned_of(stored: Path) -> None:
    stand_in, licence = (
        "procedural stand-in: never to be compared with real data",
        "Maps of real data hold its positions",
    )
    real = text_of(report(collect(stored)))
    assert licence in real
    assert stand_in not in real
    collection = collect(REPOSITORY / "results")
    whole = report(collection)
    assert len(whole.encode()) <= 4_000_000, "ten methods under six protocols"
    generated = text_of(whole)
    assert stand_in in generated
    assert licence not in generated
    assert all(study.title() in generated.title() for study in ("Ablation: vxp",))


def test_facts_are_those_of_the_doctor_if_it_has_looked(
    stored: Path, small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))
    assert "This machine has not looked at this data" in text_of(report(collect(stored)))
    found = look_at(small_world)
    said = text_of(report(collect(stored)))
    assert "This machine has not looked at this data" not in said
    assert f"{found.n_sampled} frames were read." in said
    assert all(sentence in said for sentence in map(normalised, found.doubts().values()))
    (kept,) = (tmp_path / "data" / "examined").glob("*.json")
    kept.write_text("broken")
    assert "This machine has not looked at this data" in text_of(report(collect(stored)))


def normalised(words: str) -> str:
    return " ".join(words.split())


def test_a_name_is_never_obeyed(hostile: Path) -> None:
    collection = collect(hostile)
    page = report(collection, drawings=[Drawing(title=name, svg=SVG, csv=name) for name in HOSTILE])
    outline = Outline(page)
    scripts = [attributes for tag, attributes in outline.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "map-data"}, {}]
    assert all(str(a["src"]).startswith("data:image/svg+xml;base64,") for tag, a in outline.elements if tag == "img")
    assert not [name for _, attributes in outline.elements for name in attributes if name.startswith("on")]
    assert not any("style" in attributes for _, attributes in outline.elements)
    assert "\u202e" not in page
    said = text_of(page)
    assert all(normalised(printable(name)) in said for name in HOSTILE)


def test_nothing_is_asked_of_the_network(stored: Path) -> None:
    page = report(collect(stored))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert html.unescape(policy[1]).startswith("default-src 'none'; style-src 'sha256-")
    addresses = [
        value
        for tag, attributes in Outline(page).elements
        for name, value in attributes.items()
        if name in ("href", "src", "action", "data", "srcset") and value and not value.startswith(("#", "data:"))
    ]
    assert addresses == []
    assert "url(" not in page
    assert "@import" not in page


def test_rows_of_a_board_are_tested_against_each_other_once(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lead of a board and its table of recall show the same test, which reads every file of ranks."""
    asked: list[object] = []
    monkeypatch.setattr(collection_of_results, "ranking", lambda groups: asked.append(groups) or {})
    collection = collect(stored)
    first = report(collection)
    assert len(asked) == len(collection.groups) == 1
    assert report(collect(stored)) == first
    assert len(asked) == 2, "another collection reads the files again"


def test_equal_results_give_equal_bytes(stored: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_report(collect(stored), tmp_path / name / "report.html")
    assert (tmp_path / "one" / "report.html").read_bytes() == (tmp_path / "other" / "report.html").read_bytes()


def test_a_page_keeps_its_size_by_leaving_out_figures_and_queries(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = [Drawing(title=f"figure {number}", svg="x" * 100_000) for number in range(4)]
    whole = report(collect(stored), drawings=figures)
    assert all(f"figure {number}" in whole for number in range(4))
    monkeypatch.setattr(pages, "LARGEST_BYTES", len(whole) - 200_000)
    smaller = report(collect(stored), drawings=figures)
    assert len(smaller.encode()) <= len(whole) - 200_000
    assert "more figures would make this page too large" in smaller
    without_maps = len(report(collect(stored)))
    monkeypatch.setattr(pages, "LARGEST_BYTES", without_maps - 2_000)
    thin = report(collect(stored))
    assert len(thin.encode()) <= without_maps - 2_000


@pytest.mark.parametrize("change_folder", ["rankers", "nothing"])
def test_without_a_method_there_is_nothing_to_report(stored: Path, change_folder: str, tmp_path: Path) -> None:
    folder = {"rankers": stored / "oracle", "nothing": tmp_path / "empty"}[change_folder]
    with pytest.raises(CrossplaceError, match="no result of any method here; run crossplace bench"):
        report(collect(folder))


def test_a_study_alone_is_a_page() -> None:
    said = text_of(report(collect(REPOSITORY / "results" / "studies")))
    assert "A study changes one thing at a time" in said
    assert "There is no map" in said


def test_a_folder_is_no_file(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=re.escape(f"name a file in it, such as {tmp_path / 'report.html'}")):
        write_report(collect(stored), tmp_path)
    write_report(collect(stored), tmp_path / "report.html")
    assert (tmp_path / "report.html").is_file()


def test_methods_without_a_result_are_rows_with_their_reason(stored: Path) -> None:
    said = text_of(report(collect(stored), holes={"third": "it was killed"}))
    assert "No result of third: it was killed" in said


def test_folders_in_each_other_count_once(stored: Path) -> None:
    assert report(collect(stored, stored / "run-0-s0")) == report(collect(stored))


def test_a_page_of_many_results_holds_every_board_and_obeys_no_name(synthetic: Path) -> None:
    """Ten methods on five datasets with three seeds: holes, ties, scratch, partial, real data without ranks."""
    collection = collect(synthetic)
    page = report(collection, drawings=drawings(collection, ["recall", "seeds"]))
    assert len(page.encode()) <= LARGEST_BYTES
    said = text_of(page)
    for group in collection.groups:
        assert f"Results: {group.board.dataset}, protocol small" in said
    for mark in ("PARTIAL: 2 test traversals are absent", "SMOKE RUN", "scratch", "33 % of schedule"):
        assert mark in said, mark
    assert "<script>alert(1)" not in page
    assert len(re.findall(r"<script\b", page)) == 2, "its own, and the data of its maps"
