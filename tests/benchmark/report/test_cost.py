"""Tables of costs: the same bytes from the same sheets, and never two machines in one column."""

from pathlib import Path

import pytest

from benchmark.records.collection import Collection
from benchmark.records.cost import CostSheet, Measure
from benchmark.report.cost import cost_sections
from benchmark.report.documents import DOCUMENTS, write_tables
from benchmark.report.screen import screen_section

GOLDEN = Path(__file__).parents[2] / "golden"
KIND = "cost-sessions"


@pytest.fixture
def sheets() -> list[CostSheet]:
    return [CostSheet.read(path) for path in sorted((GOLDEN / "cost-schema-1.0").glob("*.json"))]


def test_the_tables_of_stored_sheets_have_the_same_bytes(sheets: list[CostSheet], tmp_path: Path) -> None:
    written = write_tables(Collection(groups=(), costs=sheets), tmp_path, [KIND])
    assert [path.name for path in written] == [f"{KIND}.{ending}" for ending in DOCUMENTS]
    for path in written:
        assert path.read_bytes() == (GOLDEN / "cost-tables" / path.name).read_bytes()


def test_the_order_of_the_sheets_does_not_matter(sheets: list[CostSheet]) -> None:
    assert cost_sections(sheets) == cost_sections(sheets[::-1])


def test_numbers_of_different_settings_and_of_different_frames_never_share_a_column(sheets: list[CostSheet]) -> None:
    (one, *_) = (sheet for sheet in sheets if sheet.preset == "quick")
    other = one.model_copy(update={"environment": one.environment | {"device": "Xeon"}})
    frames = one.model_copy(update={"inputs": one.inputs.model_copy(update={"fingerprint": "ffff"})})
    found = cost_sections([one, other, frames])
    assert [section.title for section in found] == [
        *["Cost on AMD EPYC, 2 threads"] * 2,
        "Cost on Xeon, 2 threads",
    ]
    assert all(len(section.tables[0].rows) == 1 for section in found)


def test_every_sheet_is_a_row_and_every_missing_number_has_its_reason(sheets: list[CostSheet]) -> None:
    (section,) = cost_sections(sheets)
    for table in section.tables[:-1]:
        assert [row[0].words for row in table.rows] == ["height_histogram paper", "vxp quick", "vxp paper-oxford"]
        for row in table.rows:
            assert all((cell.value is not None) != bool(cell.reason) for cell in row[1:])


def test_a_quantity_that_nobody_has_is_a_note_and_no_column(sheets: list[CostSheet]) -> None:
    (section,) = cost_sections(sheets)
    headings = [column.name for table in section.tables for column in table.columns]
    assert "resident memory" in headings
    assert "allocated memory" not in headings
    assert any(note.startswith("Without allocated memory: torch counts") for note in section.notes)


def test_what_two_sessions_measured_is_shown_where_they_disagree(sheets: list[CostSheet]) -> None:
    (section,) = cost_sections(sheets)
    table = section.tables[-1]
    assert [(row[1].words, row[2].value, row[3].value) for row in table.rows] == [
        ("latency search.1000, ms", 0.04, 0.05)
    ]
    assert table.notes[0].startswith("Both sessions agree within 10 % for 5 of 6 series (83 %)")
    once = [sheet.model_copy(update={"before": []}) for sheet in sheets]
    assert len(cost_sections(once)[0].tables) == len(section.tables) - 1


def test_a_probe_of_tomorrow_is_shown_without_a_change_here(sheets: list[CostSheet]) -> None:
    further = Measure(part="method", quantity="time to load", unit="s", values={"value": 1.5})
    more = [sheet.model_copy(update={"measures": [*sheet.measures, further]}) for sheet in sheets if not sheet.hole]
    assert any(column.heading == "time to load s" for t in cost_sections(more)[0].tables for column in t.columns)


def test_sheets_without_any_number_are_a_table_of_reasons(sheets: list[CostSheet]) -> None:
    (section,) = cost_sections([sheet for sheet in sheets if sheet.hole])
    assert section.tables[0].rows[0][0].words == "height_histogram paper"
    seen = " ".join(screen_section(section, 80).split())
    assert "height_histogram paper height_histogram has no preset with a paper's architecture, only quick" in seen


@pytest.mark.parametrize("width", [80, 100])
def test_nothing_is_cut_off_on_a_terminal(sheets: list[CostSheet], width: int) -> None:
    shown = "\n".join(screen_section(section, width) for section in cost_sections(sheets))
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    for words in ("vxp paper-oxford", "290.0", "(p95 362.5)", "unstable", "(batch 8)", "search.10000 ms"):
        assert words in shown
