"""What papers print for the data of a row: numbers under its rule or, where no paper has it, under other rules."""

from collections.abc import Sequence

from benchmark.records.leaderboard import Board
from benchmark.records.published import PublishedRow
from benchmark.report.comparison import FIRST, arrow
from benchmark.report.table import Cell, Column, Table, number, text


def printed_by_papers(board: Board, published: Sequence[PublishedRow]) -> Table | None:
    """Recall@1 in the direction that most papers print, a column a sequence; ``None`` where no paper prints any.

    Generated data has none. Rows under the board's protocol come alone; otherwise the notes name the rules of the rows.
    """
    rows = [row for row in published if board.is_real and row.dataset == board.dataset and FIRST in row.values]
    name = str(board.protocol["name"])
    rows = [row for row in rows if row.protocol_id == name] or rows
    if not rows:
        return None
    directions = [row.direction for row in rows]
    direction = max(dict.fromkeys(directions), key=directions.count)
    rows = [row for row in rows if row.direction == direction]
    splits = list(dict.fromkeys(row.split for row in rows))
    shared = [words for words in _background(rows[0]) if all(words in _background(row) for row in rows)]
    lines: dict[tuple[str, str], dict[str, PublishedRow]] = {}
    for row in rows:
        under = ", ".join(words for words in _background(row) if words not in shared)
        lines.setdefault((" ".join(filter(None, [row.method, row.variant])), under), {})[row.split] = row
    digits = max(-int(row.values[FIRST].as_tuple().exponent) for row in rows)
    return Table(
        title=f"{FIRST} {arrow(direction)} on {board.dataset}, %, as papers print it",
        columns=[Column(name="paper"), *(Column(name=split or "all", digits=digits) for split in splits)],
        rows=[[text(*named), *(_cell(of.get(split)) for split in splits)] for named, of in lines.items()],
        notes=[*_rules(rows, name), *([f"All: {', '.join(shared)}."] if shared else [])],
    )


def _background(row: PublishedRow) -> list[str]:
    """What a network was trained on, and where its numbers stand."""
    return [*([f"trained on {row.train_split}"] if row.train_split else []), row.origin]


def _cell(row: PublishedRow | None) -> Cell:
    return number(float(row.values[FIRST])) if row else Cell()


def _rules(rows: Sequence[PublishedRow], name: str) -> list[str]:
    """Whether the rule is the same, and what of it is not known."""
    if all(row.protocol_id == name for row in rows):
        rule = f"Their rule is that of {name}."
    else:
        of_protocols = [f"that of {row.protocol_id}" for row in rows if row.protocol_id]
        rules = "; ".join(dict.fromkeys(of_protocols or [row.note for row in rows if row.note]))
        rule = f"No paper is known to use {name}, so differences mean little. Their rule: {rules or 'not stated'}."
    unknown = "; ".join(dict.fromkeys(word for row in rows for word in row.open_rule.split("; ") if word))
    return [rule, *([f"Not known of their rule: {unknown}."] if unknown else [])]
