"""Where queries fail: the share whose first place is wrong, by the conditions of both drives."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy import ndarray

from benchmark.evaluation.metrics import is_counted, is_hit
from benchmark.records.collection import Group, Run
from benchmark.records.leaderboard import Board, Entry
from benchmark.records.ranks import conditions_in, read_ranks
from benchmark.report.comparison import arrow, clean_rows, preset_of, shared_words
from benchmark.report.table import Cell, Column, Table, text

NO_RANKS = "no ranks.npz beside this result: published results of real data hold aggregates only"
Conditions = tuple[str, str]
"""Condition of the query and condition of the traversal that is searched."""
Counts = dict[str, dict[Conditions, tuple[int, int]]]
"""Misses and counted queries by direction and conditions."""


def heading(board: Board) -> str:
    """A board in a few words."""
    return f"{board.data}, protocol {board.protocol['name']}"


def labels(entries: Sequence[Entry]) -> list[str]:
    """Each row in a few words: :func:`words_of` it, but for what all share."""
    shared = shared_words(entries)
    return [" ".join(word for word in words_of(entry) if word not in shared) for entry in entries]


def words_of(entry: Entry) -> list[str]:
    """What a row is: its method, its preset and variant, and weights that were not trained."""
    origin = entry.origin if entry.origin in ("untrained", "given", "foreign") else ""
    return [*filter(None, (entry.method, preset_of(entry), origin))]


def failure_tables(group: Group) -> list[Table]:
    """A table a direction: a row for each two conditions, a column for each row of the leaderboard."""
    entries = clean_rows(group)
    counts = [_added([_counts(group.named[run]) for run in entry.runs]) for entry in entries]
    directions = dict.fromkeys(direction for found in counts for direction in found)
    return [_table(direction, entries, [found.get(direction) for found in counts]) for direction in directions]


def _table(
    direction: str, entries: Sequence[Entry], counts: Sequence[Mapping[Conditions, tuple[int, int]] | None]
) -> Table:
    conditions = dict.fromkeys(both for found in counts if found for both in found)
    rows = [
        [text(f"{query} → {database}"), *(_cell(found, (query, database)) for found in counts)]
        for query, database in conditions
    ]
    return Table(
        title=f"{arrow(direction)}: queries whose first place is wrong, %",
        columns=[Column(name="query → database"), *(Column(name=name) for name in labels(entries))],
        rows=rows,
        notes=["Below each share: wrong queries of all that count. Seeds are added up."],
    )


def _cell(found: Mapping[Conditions, tuple[int, int]] | None, both: Conditions) -> Cell:
    if found is None:
        return Cell(reason=NO_RANKS)
    misses, counted = found.get(both, (0, 0))
    return Cell(value=100 * misses / counted, under=f"{misses:,} of {counted:,}") if counted else Cell()


def _counts(run: Run) -> Counts:
    """Misses of one run; empty without ranks."""
    ranks = read_ranks(run.folder)
    if ranks is None:
        return {}
    query, database = _conditions(ranks)
    rank = ranks["query_first_positive_rank"]
    is_asked = is_counted(rank, run.result.protocol["no_positive"])
    found: Counts = {}
    for number, direction in enumerate(ranks["directions"].tolist()):
        of_direction = is_asked & (ranks["query_direction"] == number)
        kinds = list(dict.fromkeys(zip(query[of_direction].tolist(), database[of_direction].tolist(), strict=True)))
        for one, other in kinds:
            chosen = of_direction & (query == one) & (database == other)
            misses = int((~is_hit(rank[chosen], 1)).sum())
            found.setdefault(direction, {})[one, other] = (misses, int(chosen.sum()))
    return found


def _conditions(ranks: Mapping[str, ndarray]) -> tuple[ndarray, ndarray]:
    """Condition of each query, and of the traversal that it is asked in."""
    by_traversal = conditions_in(ranks)
    searched = np.array([by_traversal.get(database, "") for _, database in ranks["pairs"].tolist()], dtype=object)
    return ranks["frame_condition"][ranks["query_frame"]], searched[ranks["query_pair"]]


def _added(counts: Sequence[Counts]) -> Counts:
    total: Counts = {}
    for found in counts:
        for direction, by_conditions in found.items():
            mine = total.setdefault(direction, {})
            for both, (misses, counted) in by_conditions.items():
                before = mine.get(both, (0, 0))
                mine[both] = (before[0] + misses, before[1] + counted)
    return total
