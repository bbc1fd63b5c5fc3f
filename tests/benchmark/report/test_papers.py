"""The tables of papers as data: every name in them is one of the suite's, and every cell of a template has its line."""

import re

import pytest
from printed import COMMITTED, REPOSITORY

from benchmark.records.published import DIRECTIONS, QUANTITIES, folded, published_in
from benchmark.registry import METHODS
from benchmark.report.paper_tables import is_cell
from benchmark.report.papers import PAPERS, PaperTable
from datasets.protocols import PROTOCOLS

TABLES_OF = [(name, table) for name, paper in PAPERS.items() for table in paper.tables]


@pytest.mark.parametrize(("name", "table"), TABLES_OF, ids=lambda value: value if isinstance(value, str) else "")
def test_a_table_names_what_the_suite_has(name: str, table: PaperTable) -> None:
    assert PROTOCOLS[table.protocol].dataset == table.dataset
    for line in table.lines:
        if line.method:
            assert not line.variant or line.variant in METHODS.get(line.method).variants
    for column in table.columns:
        assert column.metric in {quantity.name for quantity in QUANTITIES.values()}
        assert column.direction in (*DIRECTIONS, "")
        assert PROTOCOLS[column.part.on_town].dataset == "town"


def test_every_paper_has_a_file_and_a_page() -> None:
    files = {path.stem for path in COMMITTED.glob("*.csv")}
    assert set(PAPERS) <= files
    page = (REPOSITORY / "docs" / "papers.md").read_text()
    assert all(f"`{name}`" in page for name in PAPERS)


@pytest.mark.parametrize("name", ["vxp", "lc2", "liploc"])
def test_each_cell_of_a_template_has_a_line_and_each_line_a_cell(name: str) -> None:
    rows = published_in(COMMITTED)[name]
    used = set()
    for table in PAPERS[name].tables:
        for line in table.lines:
            for column in table.columns:
                (row,) = [row for row in rows if is_cell(table, line, column, row)]
                assert folded(row.method) == folded(line.name)
                assert row.method_id == line.method
                used.add(row.line)
    assert used == {row.line for row in rows}


def test_lines_of_a_method_that_papers_quote_name_the_method_of_the_suite() -> None:
    methods = {folded(line.name): line.method for _, table in TABLES_OF for line in table.lines if line.method}
    for rows in published_in(COMMITTED).values():
        for row in rows:
            if (known := methods.get(folded(row.method))) is not None:
                assert row.method_id == known, row.where


@pytest.mark.parametrize(("file", "protocol"), [("rangebev", "kitti-synchronous-10m"), ("dxpr", "kitti-00head-10m")])
def test_what_the_readme_says_of_modalink_is_printed(file: str, protocol: str) -> None:
    (row,) = [
        row
        for row in published_in(COMMITTED)[file]
        if (row.method_id, row.split, row.protocol_id) == ("modalink", "00", protocol)
    ]
    readme, page = ((REPOSITORY / name).read_text() for name in ("README.md", "docs/papers.md"))
    assert re.search(rf"ModaLink is printed with \[[^]]*{row.values['R@1']:.1f}[^]]* %\]\(docs/papers.md\)", readme)
    assert f"{row.values['R@1']} %" in page
    assert f"results/published/{file}.csv" in page
