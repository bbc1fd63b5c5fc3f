"""What becomes of a protocol on the data that is there."""

from collections.abc import Sequence
from dataclasses import replace

from datasets.base import Protocol, Selection, Split
from datasets.derived import base_and_change
from datasets.errors import CrossplaceError
from datasets.places import PLANE
from datasets.prepared import PreparedDataset
from datasets.protocols import OTHER_SPLITS, PROTOCOLS

_NOTHING = Selection(traversals=())


def resolve(name: str, dataset: PreparedDataset) -> tuple[Protocol, list[str]]:
    """The protocol called ``name`` as it applies to what ``dataset`` holds, and what a reader must be warned of.

    A protocol of another dataset is an error. If some of its test traversals are absent, the result is marked as
    partial. If all its test pairs, or all its training traversals, are absent, a smoke run on everything that is there
    takes its place: it shows that everything runs, and its recall means nothing. A derived protocol follows from
    whatever became of its base (:mod:`datasets.derived`).
    """
    base, change = base_and_change(name)
    protocol, warnings = _resolved(base, dataset)
    return change(protocol), warnings


def _resolved(name: str, dataset: PreparedDataset) -> tuple[Protocol, list[str]]:
    """A protocol of the table on this data."""
    protocol, names = PROTOCOLS[name], list(dataset.traversals)
    if protocol.dataset != dataset.name:
        raise CrossplaceError(
            f"protocol {name} is for dataset {protocol.dataset!r}, but {dataset.folder} holds {dataset.name!r}; "
            f"choose another with --protocol (crossplace list protocols)"
        )
    _check_axes(protocol, dataset)
    pairs = _pairs_among(protocol, names)
    splits = (protocol.split, *OTHER_SPLITS.get(name, ()))
    split = next((s for s in splits if any(s.train.includes(t) for t in names)), None)
    if not pairs or split is None:
        warning = f"smoke run: the data lacks the sequences that {name} trains or tests on; recall means nothing"
        return smoke(protocol, names), [warning]
    warnings = []
    if split is not protocol.split:
        warnings.append(f"trained on {', '.join(t for t in names if split.train.includes(t))}: not the published split")
    missing = {
        "training": _absent(names, split.train),
        "validation": _absent(names, split.validation),
        "test": _absent(names, protocol.query, protocol.database),
    }
    warnings += [f"partial: {part} sequences {', '.join(ts)} are absent" for part, ts in missing.items() if ts]
    if not isinstance(protocol.pairs, str):
        protocol = replace(protocol, pairs=pairs)
    return replace(protocol, split=split, absent=missing["test"]), warnings


def _pairs_among(protocol: Protocol, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The traversal pairs that ``protocol`` tests and whose two traversals are both among ``names``."""
    asked = [t for t in names if protocol.query.includes(t)]
    searched = [t for t in names if protocol.database.includes(t)]
    if not isinstance(protocol.pairs, str):
        return tuple((q, d) for q, d in protocol.pairs if q in asked and d in searched)
    return tuple((q, d) for q in asked for d in searched if (q == d) == (protocol.pairs == "within"))


def _absent(names: Sequence[str], *selections: Selection) -> tuple[str, ...]:
    """Traversals that are selected by name and are not among ``names``; patterns match only traversals that exist."""
    parts = [part for selection in selections for part in selection.alternatives()]
    named = dict.fromkeys(t for part in parts for t in part.traversals if not set(t) & set("*?[!"))
    return tuple(t for t in named if t not in names)


def _check_axes(protocol: Protocol, dataset: PreparedDataset) -> None:
    """Refuse distances over other axes than east and north if the data is on a map.

    Protocols with other axes follow evaluators that measured in the axes of the first camera, turned to x forward.
    Positions on a map do not have these axes.
    """
    on_a_map = [t.name for t in dataset.traversals.values() if t.georeferenced and protocol.query.includes(t.name)]
    if protocol.distance_axes != PLANE and on_a_map:
        raise CrossplaceError(
            f"protocol {protocol.name} measures distances over {' and '.join(protocol.distance_axes)}, forward and up "
            f"as the first camera stood, but {', '.join(on_a_map)} in {dataset.folder} are georeferenced; prepare the "
            "dataset in the first camera's axes (kitti: poses=odometry)"
        )


def smoke(protocol: Protocol, names: Sequence[str]) -> Protocol:
    """A copy of ``protocol`` that trains and tests on all frames of the traversals ``names``."""
    everything = Selection()
    is_within = protocol.pairs == "within" or len(names) == 1
    return replace(
        protocol,
        split=replace(protocol.split, train=everything, validation=_NOTHING),
        query=everything,
        database=everything,
        pairs="within" if is_within else "across",
        smoke=True,
    )


def own_data(dataset: PreparedDataset) -> Protocol:
    """A protocol for a prepared folder that has no named protocol: all frames against all frames, within 20 m."""
    return Protocol(
        name="own-data-20m",
        version=1,
        title="Prepared folder: train and test on all of it, 20 m",
        dataset=dataset.name,
        split=Split(train=Selection(), validation=_NOTHING),
        query=Selection(),
        database=Selection(),
        pairs="across" if len(dataset.traversals) > 1 else "within",
        radius_m=20.0,
        heading_limit_rad=0.5,
        smoke=True,
    )
