"""The committed results stay loadable and belong to the tables beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.pages import PAGES, filled, leaderboard_table, markers
from benchmark.evaluation.metrics import DEPTHS
from benchmark.evaluation.rankers import CHANCE
from benchmark.records.collection import Collection, Run, collect
from benchmark.records.cost import CostSheet
from benchmark.records.leaderboard import LEADERBOARD, write_leaderboard
from benchmark.records.schema import RANKS, RESULT, Result
from benchmark.registry import METHODS
from benchmark.report.documents import DOCUMENTS, TABLES, write_tables
from benchmark.report.formats import markdown
from datasets.files import sha256_of

REPOSITORY = Path(__file__).parents[1]
STORED = sorted(path.parent for path in (REPOSITORY / "results").rglob(RESULT))
GOLDEN = sorted(path.parent for path in (REPOSITORY / "tests" / "golden").rglob(RESULT))
"""Results as earlier versions wrote them: one folder a schema version."""


@pytest.fixture(scope="module")
def collection() -> Collection:
    """All committed results."""
    return collect(REPOSITORY / "results")


@pytest.mark.parametrize("folder", [*STORED, *GOLDEN], ids=lambda folder: folder.name)
def test_a_stored_result_loads_and_agrees_with_its_ranks(folder: Path) -> None:
    result = Result.read(folder)
    if not (folder / RANKS).is_file():
        assert result.dataset.is_real
        return
    with np.load(folder / RANKS, allow_pickle=False) as ranks:
        for number, direction in enumerate(ranks["directions"]):
            rank = ranks["query_first_positive_rank"][ranks["query_direction"] == number]
            counted = rank[rank > 0]
            pooled = result.directions[str(direction)].pooled
            if result.method.name == CHANCE:  # the expectation, whatever was drawn
                continue
            assert pooled.n_counted == len(counted)
            assert pooled.recall_at == pytest.approx([float(np.mean(counted <= depth)) for depth in DEPTHS])


def test_results_of_all_versions_share_one_board_a_protocol(collection: Collection) -> None:
    """Protocols get fields later, which older results lack; equal protocols must stay equal."""
    boards = [(g.board.fingerprint, g.board.protocol["name"]) for g in collection.groups]
    assert len(boards) == len(set(boards))
    assert len(boards) >= 6


def test_the_tables_are_those_of_the_stored_results(collection: Collection, tmp_path: Path) -> None:
    for path in write_tables(collection, tmp_path):
        stored = REPOSITORY / "results" / "tables" / path.name
        assert path.read_bytes() == stored.read_bytes(), f"{path.name}: run nox -s tables"
    tables = REPOSITORY / "results" / "tables"
    assert {path.name for path in tables.iterdir()} == {f"{kind}.{ending}" for kind in TABLES for ending in DOCUMENTS}


@pytest.mark.parametrize("name", METHODS.names())
def test_shipped_weights_are_the_files_that_the_method_names(name: str) -> None:
    for weights in METHODS.get(name).shipped:
        assert sha256_of(weights.file) == weights.sha256
        assert weights.file.stat().st_size < 10_000_000


def test_what_travels_and_what_the_readme_shows_follow_from_the_stored_results(
    collection: Collection, tmp_path: Path
) -> None:
    write_leaderboard([group.results for group in collection.groups], tmp_path / LEADERBOARD)
    stored = REPOSITORY / "benchmark" / "records" / LEADERBOARD
    assert (tmp_path / LEADERBOARD).read_text() == stored.read_text(), "run: nox -s tables"
    for page, tables in PAGES.items():
        written = (REPOSITORY / page).read_text()
        assert all(marker in written for name in tables for marker in markers(name))
        assert filled(written, tables, collection) == written, "run: nox -s tables"


def test_the_readme_marks_rows_from_imagenet_and_no_other(collection: Collection) -> None:
    note = "- † starts from ImageNet weights (preset `pretrained`)"
    plain = markdown(leaderboard_table(collection))
    rows = [line for line in plain.splitlines() if line.startswith("| `")]
    assert "`lc2`" in plain
    assert [row for row in rows if "†" in row] == [row for row in rows if "pretrained" in row]
    groups = [replace(group, runs=[_from_imagenet(run) for run in group.runs]) for group in collection.groups]
    marked = markdown(leaderboard_table(replace(collection, groups=groups)))
    assert "`lc2`†" in marked
    assert "`range_plain`†" not in marked
    assert note in marked.splitlines()


def test_times_of_the_readme_are_of_the_machine_that_measured_most_methods(collection: Collection) -> None:

    def moved(sheet: CostSheet) -> CostSheet:
        elsewhere = {**sheet.environment, "device": "Another Processor"}
        return sheet.model_copy(update={"environment": elsewhere}) if sheet.method == "lc2" else sheet

    lines = markdown(leaderboard_table(collection)).splitlines()
    other = markdown(leaderboard_table(replace(collection, costs=[moved(s) for s in collection.costs]))).splitlines()
    assert [line for line in lines if "`lc2`" not in line] == [line for line in other if "`lc2`" not in line]
    row, without = (next(line for line in table if "`lc2`" in line).split("|")[-3:-1] for table in (lines, other))
    assert all(float(cell.strip(" ?")) > 0 for cell in row)
    assert [cell.strip() for cell in without] == ["–", "–"]
    assert sum(line.startswith("- ms: ") and "Another" not in line for line in other) == 1

    def shaky(sheet: CostSheet) -> CostSheet:
        return sheet.model_copy(
            update={"measures": [m.model_copy(update={"unstable": "rounds disagree"}) for m in sheet.measures]}
        )

    marked = markdown(leaderboard_table(replace(collection, costs=[shaky(s) for s in collection.costs]))).splitlines()
    rows = [line for line in marked if line.startswith("| `")]
    timed = [row for row in rows if row.split("|")[-2].strip() != "–"]
    assert [row for row in rows if row not in timed] == [row for row in rows if "pretrained" in row]
    assert all(line.count("?") == 2 for line in timed)


def _from_imagenet(run: Run) -> Run:
    method = run.result.method
    if method.name != "lc2":
        return run
    changed = method.model_copy(update={"backbone_weights": "package"})
    return replace(run, result=run.result.model_copy(update={"method": changed}))
