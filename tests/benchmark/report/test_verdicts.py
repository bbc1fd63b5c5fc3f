"""Letters and marks: only what a test separates is bold or underlined, and only rows that may be ranked are tested."""

from pathlib import Path

import pytest

from benchmark.records.collection import Group, collect
from benchmark.records.comparison import Standing
from benchmark.records.leaderboard import Entry
from benchmark.report.comparison import Comparison, Verdicts, footnotes, judged, means_over_seeds
from benchmark.report.comparison import _verdicts as verdicts_of
from benchmark.report.tables import recall_table


@pytest.fixture(scope="module")
def groups(synthetic: Path) -> dict[str, Group]:
    return {group.board.dataset: group for group in collect(synthetic).groups}


def means(group: Group) -> Comparison:
    return means_over_seeds(Comparison.of(group.results, alone=True))


@pytest.mark.parametrize(
    ("p_values", "marks"),
    [
        ([[1, 0.01, 0.01], [0.01, 1, 0.01], [0.01, 0.01, 1]], ["best", "second", ""]),
        ([[1, 0.01, 0.01], [0.01, 1, 0.2], [0.01, 0.2, 1]], ["best", "", ""]),
        ([[1, 0.2, 0.01], [0.2, 1, 0.01], [0.01, 0.01, 1]], ["", "", ""]),
        ([[1, 0.05, 0.01], [0.05, 1, 0.01], [0.01, 0.01, 1]], ["", "", ""]),
        ([[1]], [""]),
    ],
)
def test_a_mark_needs_a_difference_to_the_next_row(
    groups: dict[str, Group], p_values: list[list[float]], marks: list[str]
) -> None:
    rows = list(means(groups["first"]).entries)[: len(marks)]
    standing = Standing(
        rows=tuple(range(len(rows))),
        values=tuple(0.9 - n / 10 for n in range(len(rows))),
        p_values=tuple(tuple(map(float, row)) for row in p_values),
        letters=tuple("abc"[: len(rows)]),
        unit="9 blocks",
    )
    found = verdicts_of(standing, rows)
    assert [found.marks.get(row.runs, "") for row in rows] == marks
    assert [found.letters[row.runs] for row in rows] == list("abc"[: len(rows)])


def test_cells_of_the_first_metric_carry_letters_and_marks(groups: dict[str, Group]) -> None:
    comparison = means(groups["first"])
    first, second, *_ = comparison.entries
    verdicts = Verdicts(letters={first.runs: "a", second.runs: "b"}, marks={first.runs: "best"}, unit="3 blocks")
    given = Comparison(
        board=comparison.board, entries=comparison.entries, bounds=(), verdicts={"image->cloud": verdicts}
    )
    rows = recall_table(given, "R@1").rows
    assert [(row[1].letters, row[1].mark) for row in rows[:3]] == [("a", "best"), ("b", ""), ("", "")]
    assert all(row[2].letters == "" for row in rows)
    assert all(row[1].letters == "" for row in recall_table(given, "R@5").rows)
    assert any("paired sign flips over 3 blocks" in note for note in footnotes(given))


def test_rows_are_tested_where_ranks_are_there(groups: dict[str, Group]) -> None:
    found = judged(means(groups["first"]), groups["first"])
    assert set(found.verdicts) == set(found.directions)
    for verdicts in found.verdicts.values():
        assert len(verdicts.letters) == len(found.entries)


def test_smoke_runs_are_not_tested(groups: dict[str, Group]) -> None:
    comparison = means(groups["fourth-smoke"])
    assert judged(comparison, groups["fourth-smoke"]) == comparison


def test_aggregates_of_few_traversals_are_not_tested_and_it_is_said(groups: dict[str, Group]) -> None:
    found = judged(means(groups["fifth-real"]), groups["fifth-real"])
    assert not found.verdicts
    assert any("Rows were not tested against each other" in note for note in footnotes(found))


def test_untrained_and_perturbed_rows_have_no_letters(groups: dict[str, Group]) -> None:
    comparison = means(groups["first"])
    changes: list[dict[str, str]] = [{"origin": "untrained"}, {"perturbation": "fog 3"}]
    entries: list[Entry] = [
        entry.model_copy(update=change)
        for entry, change in zip(comparison.entries, [*changes, *[{}] * 20], strict=False)
    ]
    found = judged(Comparison(board=comparison.board, entries=entries, bounds=()), groups["first"])
    for verdicts in found.verdicts.values():
        assert set(verdicts.letters) == {entry.runs for entry in entries[2:]}
