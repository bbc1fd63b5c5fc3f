"""Rows of tables as small values: of results of this machine, and of the published results that travel with the suite.

``leaderboard.json`` beside this file holds the published rows, so that a first run stands beside others wherever the
suite is installed. ``crossplace tables`` writes it from results/.
"""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from benchmark.keys import plain
from benchmark.records.schema import CostNumber, DatasetRecord, DirectionRecord, MethodRecord, Result
from benchmark.registry import DATASETS
from datasets.base import Dataset
from datasets.errors import CrossplaceError
from datasets.files import write_atomically

TRAINED = ("shipped", "trained")
"""Origins of weights that the suite's own training made."""
SCRATCH, IMAGENET = "scratch", "from ImageNet"
"""Words for training without a pretrained backbone, and with one from ImageNet."""
STARTS = {"none": SCRATCH, "package": IMAGENET, "timm": "from timm's weights"}
"""What training began with, in words, by the backbone weights of a result. The others are files."""
LEADERBOARD = "leaderboard.json"
REMEDY = "install the suite anew, or write the file anew with crossplace tables"


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True)


class Value(_Model):
    """A number with the ends of its interval over places and, for several seeds, their standard deviation."""

    value: float
    low: float | None = None
    high: float | None = None
    deviation: float | None = None


class Board(_Model):
    """What all rows of one table share: the data and the protocol."""

    dataset: str
    fingerprint: str
    is_real: bool
    protocol: dict[str, Any]
    options: dict[str, Any] = {}
    """Options of the dataset that are not as usual."""

    @classmethod
    def of(cls, result: Result) -> "Board":
        """The board that a result belongs to."""
        data = result.dataset
        return cls(
            dataset=data.name,
            fingerprint=data.fingerprint,
            is_real=data.is_real,
            protocol=dict(result.protocol),
            options=_unusual(data),
        )

    @property
    def data(self) -> str:
        """The data in words, such as ``town preset=large``."""
        return " ".join([self.dataset, *(f"{name}={value}" for name, value in self.options.items())])


def _unusual(data: DatasetRecord) -> dict[str, Any]:
    """Options that differ from the defaults of a registered dataset."""
    if data.name not in DATASETS.names():
        return {}
    kind = DATASETS.get(data.name)()
    usual = plain(Dataset.options(kind) | kind.options())  # also those that a dataset leaves out while they are unused
    return {name: value for name, value in data.options.items() if name in usual and value != usual[name]}


class Entry(_Model):
    """One row: a configured method, over one seed or several."""

    method: str
    preset: str
    variant: str
    config_key: str
    origin: str
    learnt: tuple[str, ...]
    """What training began with, and where depth of images came from, in words."""
    shares: tuple[int, ...]
    """Least and greatest share of the schedule that was done, in percent; empty for what was not trained."""
    seeds: tuple[int, ...]
    perturbation: str
    machine: str
    """Processor or GPU, and threads, that the cost was measured on; empty without a cost."""
    n_counted: int
    n_queries: int
    recall: dict[str, dict[str, Value | None]]
    """Values in percent by direction and metric; none where no query counts."""
    cost: dict[str, CostNumber]
    runs: tuple[str, ...] = ()
    """Folders of the results, one a seed."""
    is_dirty: bool = False
    """Whether files of the suite differed from its revision when a number was measured."""
    is_published: bool = False

    @classmethod
    def of(cls, result: Result) -> "Entry":
        """The row of one result."""
        method, cost = result.method, result.cost
        threads = result.environment.get("threads")
        machine = ", ".join(filter(None, [result.environment["device"], f"{threads} threads" if threads else ""]))
        first = result.headline(next(iter(result.directions)))
        return cls(
            method=method.name,
            preset=method.preset,
            variant=method.variant,
            config_key=method.config_key,
            origin=method.origin,
            learnt=_learnt_from(result),
            shares=(_percent(method.share_of_schedule),) * 2 if method.origin in TRAINED else (),
            seeds=(result.seed,),
            perturbation=_perturbation(result),
            machine=machine if cost else "",
            n_counted=first.n_counted,
            n_queries=first.n_queries,
            recall={name: _values(result, name, record) for name, record in result.directions.items()},
            cost={name: CostNumber(value=n.value, unit=n.unit) for name, n in cost.numbers.items()} if cost else {},
            runs=(result.run_id,),
            is_dirty=bool(result.harness.get("dirty")),
        )

    def percent(self, direction: str, metric: str) -> float:
        """The value of a metric, for sorting: what is not there comes last."""
        found = self.recall.get(direction, {}).get(metric)
        return found.value if found else -1.0


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """Entries of one configuration that training made with several seeds as one entry with their means.

    Where two entries have one seed, that with shipped weights counts, else the first, and never the better one.
    Anything that was not trained stays as it is. Costs are medians over the seeds of one machine, the first.
    """
    groups: dict[tuple[Any, ...], dict[int, Entry]] = {}
    for number, entry in enumerate(sorted(entries, key=lambda entry: entry.origin != TRAINED[0])):
        same = (entry.method, entry.preset, entry.variant, entry.config_key, entry.perturbation)
        key = same if entry.origin in TRAINED else (*same, number)
        groups.setdefault(key, {}).setdefault(entry.seeds[0], entry)
    return [_mean([*seeds.values()]) for seeds in groups.values()]


def _mean(entries: Sequence[Entry]) -> Entry:
    first = entries[0]
    if len(entries) == 1:
        return first
    machine = next((entry.machine for entry in entries if entry.cost), "")
    measured = [entry for entry in entries if entry.cost and entry.machine == machine]
    learnt = tuple(dict.fromkeys(words for entry in entries for words in entry.learnt))
    shares = [share for entry in entries for share in entry.shares]
    return first.model_copy(
        update={
            "seeds": tuple(sorted(entry.seeds[0] for entry in entries)),
            "runs": tuple(run for entry in sorted(entries, key=lambda entry: entry.seeds[0]) for run in entry.runs),
            "is_dirty": any(entry.is_dirty for entry in entries),
            "learnt": learnt,
            "shares": (min(shares), max(shares)) if shares else (),
            "recall": {
                direction: {name: _spread([e.recall.get(direction, {}).get(name) for e in entries]) for name in metrics}
                for direction, metrics in first.recall.items()
            },
            "machine": machine,
            "cost": {
                name: CostNumber(value=_middle([e.cost[name].value for e in measured if name in e.cost]), unit=n.unit)
                for name, n in (measured[0].cost if measured else {}).items()
            },
        }
    )


def _spread(values: Sequence[Value | None]) -> Value | None:
    """Mean of seeds with their standard deviation; none if a seed lacks the value.

    The ends are the means of the seeds' ends. An interval over places of the mean is never wider than that: a
    standard error of a mean is at most the mean of the standard errors, whatever the seeds have in common.
    """
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return None
    ends = {name: [end for value in found if (end := getattr(value, name)) is not None] for name in ("low", "high")}
    means = {name: fmean(of) if len(of) == len(found) else None for name, of in ends.items()}
    numbers = [value.value for value in found]
    return Value(value=fmean(numbers), deviation=stdev(numbers), **means)


def _middle(values: Sequence[float]) -> float:
    """The median: what one noisy machine measured does not move it."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _values(result: Result, direction: str, record: DirectionRecord) -> dict[str, Value | None]:
    found = {}
    for name, value in result.headline(direction).values.items():
        ends = record.intervals.get(name)
        low, high = (100 * ends[0], 100 * ends[1]) if ends else (None, None)
        found[name] = None if value is None else Value(value=100 * value, low=low, high=high)
    return found


def _learnt_from(result: Result) -> tuple[str, ...]:
    """What training began with, and where depth came from."""
    depth = f"depth by {source}" if (source := _depth_source(result.method.config)) else ""
    return tuple(filter(None, [start_words(result.method), depth]))


def start_words(method: MethodRecord) -> str:
    """What training of the backbone began with; nothing for what the suite's training did not make."""
    start = method.backbone_weights
    return STARTS.get(start, f"from {start}") if start and method.origin in TRAINED else ""


def _depth_source(config: dict[str, Any]) -> str | None:
    """Where a method that needs depth from one image had it from. Older results have it as ``depth`` itself."""
    depth = config.get("depth")
    source = depth.get("source") if isinstance(depth, dict) else None
    return source.get("kind") if isinstance(source, dict) else source


def _percent(share: float | None) -> int:
    """Whole percent; 100 only of the whole."""
    return 100 if share is None or share >= 1 else min(round(100 * share), 99)


def _perturbation(result: Result) -> str:
    found = result.perturbation
    return f"{found.name} {found.severity}: {found.value:g} {found.unit}" if found else ""


# --- the published rows --------------------------------------------------------------------------


class _Published(_Model):
    board: Board
    entries: tuple[Entry, ...]


_LEADERBOARD = TypeAdapter(list[_Published])


def published(board: Board) -> list[Entry]:
    """The published rows of methods under exactly this protocol and data; those of perturbed frames are left out."""
    content = (files("benchmark.records") / LEADERBOARD).read_bytes()
    try:
        found = _LEADERBOARD.validate_json(content)
    except ValueError as error:
        raise CrossplaceError(
            f"{LEADERBOARD}: not the published rows ({str(error).splitlines()[0]}); {REMEDY}"
        ) from error
    return [entry for group in found if group.board == board for entry in group.entries]


def write_leaderboard(groups: Iterable[Sequence[Result]], path: Path) -> None:
    """Write the published rows, seeds as means; rankers, foreign descriptors and perturbed frames are left out."""
    content = []
    for group in groups:
        chosen = [r for r in group if r.method.origin not in ("ranker", "foreign") and not r.perturbation]
        entries = tuple(e.model_copy(update={"is_published": True}) for e in merged(map(Entry.of, chosen)))
        if entries:
            content.append(_Published(board=Board.of(chosen[0]), entries=entries))
    write_atomically(path, _LEADERBOARD.dump_json(content, indent=1) + b"\n")
