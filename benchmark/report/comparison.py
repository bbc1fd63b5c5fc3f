"""Rows under one protocol on one dataset, and how to read them: title, notes, and what all rows share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmark.evaluation.significance import LEVEL
from benchmark.records.collection import Group
from benchmark.records.comparison import Standing
from benchmark.records.leaderboard import IMAGENET, SCRATCH, Board, Entry, merged, published
from benchmark.records.schema import MethodRecord, Result
from benchmark.report.table import Mark
from datasets.errors import CrossplaceError

FIRST = "R@1"
"""The metric that rows are sorted by, and that the first table shows."""
BOUNDS = {"random": "by chance (exact expectation)", "constant": "constant descriptors", "oracle": "oracle"}
"""Rankers of the harness, as the line below a table calls them."""
FOUND = {"image": "the place of {value} % of the images", "cloud": "the place of {value} % of the clouds"}
STARTED = {
    SCRATCH: "trained from scratch: no pretrained backbone",
    IMAGENET: f"{IMAGENET}: the image backbone starts from ImageNet weights",
}
"""What the words for the start of training mean."""
Shared = Mapping[str, str]
"""Words that all rows have in common, and the notes that say them once."""


Runs = tuple[str, ...]
"""The runs of a row, by which it is known."""


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What a test said of the rows of a table in one direction."""

    letters: Mapping[Runs, str]
    """Rows that share a letter cannot be told apart."""
    marks: Mapping[Runs, Mark]
    """The best row and the second, each only if the test separates it from the row behind it."""
    unit: str
    """What was resampled."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rows under one protocol on one dataset, with what bounds them."""

    board: Board
    entries: Sequence[Entry]
    """Rows of methods, best first."""
    bounds: Sequence[Entry]
    warnings: Sequence[str] = ()
    holes: Mapping[str, str] = field(default_factory=dict)
    """Methods without a result, with the reason."""
    verdicts: Mapping[str, Verdicts] = field(default_factory=dict)
    """By direction, how the rows stand by the first metric; empty where they were not tested."""

    @classmethod
    def of(
        cls, results: Sequence[Result], *, alone: bool = False, holes: Mapping[str, str] | None = None
    ) -> "Comparison":
        """The rows of ``results`` and, unless ``alone``, the published rows of other methods on the same board."""
        board = Board.of(results[0])
        entries = [Entry.of(result) for result in results]
        own = [entry for entry in entries if entry.origin != "ranker"]
        names = {(entry.method, entry.preset, entry.variant) for entry in own}
        others = [] if alone or any(entry.perturbation for entry in own) else published(board)
        own += [entry for entry in others if (entry.method, entry.preset, entry.variant) not in names]
        first = next(iter(entries[0].recall))
        return cls(
            board=board,
            entries=sorted(own, key=lambda entry: -entry.percent(first, FIRST)),
            bounds=[entry for entry in entries if entry.origin == "ranker"],
            warnings=list(dict.fromkeys(warning for result in results for warning in result.warnings)),
            holes=holes or {},
        )

    @property
    def directions(self) -> list[str]:
        """Directions of any row, in the order of the first."""
        return list(dict.fromkeys(direction for entry in self.entries for direction in entry.recall))

    def sentence(self) -> str:
        """What the first row of this machine found, in words."""
        own = next((entry for entry in self.entries if not entry.is_published), None)
        if own is None:
            return ""
        direction = self.directions[0]
        value = own.percent(direction, FIRST)
        if value < 0:
            return ""
        what = FOUND[direction.split("->")[0]].format(value=f"{value:.1f}")
        chance = next((entry for entry in self.bounds if entry.method == "random"), None)
        beside = f"; by chance {chance.percent(direction, FIRST):.1f} %" if chance else ""
        return f"{own.method} finds {what} at first try{beside}."


def means_over_seeds(comparison: Comparison) -> Comparison:
    """The same comparison with a row for each configuration: means over seeds, best first."""
    first = next(iter(comparison.directions), "")
    entries = sorted(merged(comparison.entries), key=lambda entry: -entry.percent(first, FIRST))
    return replace(comparison, entries=entries)


def clean_rows(group: Group) -> list[Entry]:
    """Configurations that were ranked on frames as recorded: means over seeds, best first; no ranker of the harness."""
    comparison = means_over_seeds(Comparison.of(group.results, alone=True))
    return [entry for entry in comparison.entries if not entry.perturbation]


def judged(comparison: Comparison, group: Group) -> Comparison:
    """The same with letters and marks, from paired tests between all rows that may be ranked."""
    may_be_ranked = [entry for entry in comparison.entries if not entry.perturbation and entry.origin != "untrained"]
    rows = [entry for entry in may_be_ranked if group.folders.keys() >= set(entry.runs)]  # published rows have none
    protocol = comparison.board.protocol
    if len(rows) < 2 or protocol["smoke"] or not protocol["is_ranked"]:
        return comparison
    try:
        found = group.standings([entry.runs for entry in rows])
    except CrossplaceError as error:
        return replace(comparison, warnings=[*comparison.warnings, f"Rows were not tested against each other: {error}"])
    return replace(comparison, verdicts={direction: _verdicts(standing, rows) for direction, standing in found.items()})


def _verdicts(standing: Standing, rows: Sequence[Entry]) -> Verdicts:
    """Letters of all rows; a mark needs a difference to the next row, and the second also one to the first."""
    order = [rows[number].runs for number in standing.rows]
    is_apart = [standing.p_values[n][n + 1] < LEVEL for n in range(len(order) - 1)]
    marks: dict[Runs, Mark] = {}
    if is_apart[:1] == [True]:
        marks[order[0]] = "best"
        if is_apart[1:2] == [True]:
            marks[order[1]] = "second"
    return Verdicts(letters=dict(zip(order, standing.letters, strict=True)), marks=marks, unit=standing.unit)


def stand_in_note(is_real: bool) -> str:
    """What the title of a table on generated data must say."""
    return "" if is_real else " · procedural stand-in, never to be compared with real data"


def marks(protocol: Mapping[str, object]) -> str:
    """What keeps numbers under ``protocol`` from being what its name promises."""
    absent = protocol["absent"]
    assert isinstance(absent, list | tuple)
    found = []
    if protocol["smoke"]:
        found.append("SMOKE RUN: recall means nothing")
    if absent:
        found.append(f"PARTIAL: {len(absent)} test traversals are absent")
    if not protocol["is_ranked"]:
        found.append("NOT RANKED: too few queries")
    return "".join(f" · {mark}" for mark in found)


def title(board: Board) -> str:
    """What every number of a comparison shares."""
    protocol = board.protocol
    named = f"{board.data} · {protocol['name']} v{protocol['version']}"
    return named + stand_in_note(board.is_real) + marks(protocol)


def footnotes(comparison: Comparison) -> list[str]:
    """How to read the numbers, and every warning of the results."""
    protocol, entries = comparison.board.protocol, comparison.entries
    headline = "mean over ordered traversal pairs" if protocol["averaging"] == "pairs" else "all queries pooled"
    counted = "; ".join(dict.fromkeys(f"{e.n_counted} of {e.n_queries}" for e in entries))
    left_out = "count as misses" if protocol["no_positive"] == "miss" else "are left out"
    notes = [
        f"Recall in %: {headline}, [95 % interval over places]; of several seeds: mean ± standard deviation.",
        f"Queries: {counted} counted; queries without a right answer in the database {left_out}.",
    ]
    if comparison.verdicts:
        units = "; ".join(dict.fromkeys(verdicts.unit for verdicts in comparison.verdicts.values() if verdicts.unit))
        notes.append(
            f"{FIRST}: rows that share a letter in a column cannot be told apart (paired sign flips over {units}, "
            f"Holm, {100 * LEVEL:.0f} %). Bold is the best and underlined the second, each only if the next row is "
            "worse by this test, which does not hold the spread between seeds."
        )
    if any(entry.perturbation for entry in entries):
        notes.append(
            "Perturbation: frames of its modality are changed, on whichever side they are. Among frames of one "
            "modality the queries alone are changed (docs/robustness.md)."
        )
    if not protocol["is_ranked"]:
        n = max((entry.n_counted for entry in entries), default=0)
        notes.append(
            f"One query of the {n} is {100 / max(n, 1):.1f} percentage points: this table must not rank methods."
        )
    if shared := shared_words(entries):
        notes.append(f"{'; '.join(shared.values())}.")
    if IMAGENET not in shared and any(IMAGENET in entry.learnt for entry in entries):
        notes.append(f"{STARTED[IMAGENET]}.")
    notes += [f"No result of {name}: {reason}" for name, reason in comparison.holes.items()]
    return [*notes, *comparison.warnings]


def shared_words(entries: Sequence[Entry]) -> Shared:
    """What stands in a note instead of in every row: the preset, and what all trainings began with."""
    found = {}
    presets = {preset_of(entry) for entry in entries if entry.preset}
    if len(presets) == 1:
        (preset,) = presets
        found[preset] = f"All methods with the preset {preset}"
    trained = [entry.learnt for entry in entries if entry.shares]
    return found | {word: note for word, note in STARTED.items() if trained and all(word in of for of in trained)}


def conditions_among(results: Iterable[Result]) -> dict[str, str]:
    """Condition of each traversal, from whichever result knows it."""
    return {name: condition for result in results for name, condition in result.dataset.conditions.items()}


def crosses(direction: str) -> bool:
    """Whether a direction leads from one modality to the other."""
    query, _, database = direction.partition("->")
    return query != database


def crossing(directions: Iterable[str]) -> list[str]:
    """The directions across modalities, or all where there is none."""
    every = list(directions)
    return [*filter(crosses, every)] or every


def arrow(direction: str) -> str:
    """A direction as people read it."""
    return direction.replace("->", "→")


def preset_of(row: Entry | MethodRecord) -> str:
    """Preset and variant of a row, as tables write them."""
    return "+".join(filter(None, [row.preset, row.variant]))
