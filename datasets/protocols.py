"""Every protocol of the suite, as one readable table."""

from dataclasses import replace

from datasets.base import Protocol, Selection, Split
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

_NOTHING = Selection(traversals=())
_TOWN_SPLIT = Split(train=Selection(traversals=("train-*",)), validation=Selection(traversals=("validation-*",)))
_TOWN_TEST = Selection(traversals=("test-*",))  # frames 5 to 12 m apart, by preset
_TOWN_SEEN = Selection(traversals=("test-*", "!test-night", "!test-winter"))
_TOWN_BY_DAY = Selection(traversals=("test-day", "test-day-*"))
_KITTI_11_TO_21 = Selection(traversals=tuple(str(n) for n in range(11, 22)))
_KITTI_TEST = Selection(traversals=("00", "02", "05", "06", "07", "08"))

_TABLE = (
    Protocol(
        name="town",
        version=2,
        title="Procedural town: another drive (light, traffic; neither night nor winter), same heading, 20 m",
        dataset="town",
        split=_TOWN_SPLIT,
        query=_TOWN_SEEN,
        database=_TOWN_SEEN,
        pairs="across",
        radius_m=20.0,
        heading_limit_rad=0.5,
    ),
    Protocol(
        name="town-night",
        version=1,
        title="Procedural town: by night, searched by day, same heading, 20 m",
        dataset="town",
        split=_TOWN_SPLIT,
        query=Selection(traversals=("test-night",)),
        database=_TOWN_BY_DAY,
        pairs="across",
        radius_m=20.0,
        heading_limit_rad=0.5,
    ),
    Protocol(
        name="town-winter",
        version=1,
        title="Procedural town: in winter, searched in summer by day, same heading, 20 m",
        dataset="town",
        split=_TOWN_SPLIT,
        query=Selection(traversals=("test-winter",)),
        database=_TOWN_BY_DAY,
        pairs="across",
        radius_m=20.0,
        heading_limit_rad=0.5,
    ),
    # A tour drives every street once in each direction, so that it comes back the other way round: a heading limit
    # would leave only chance meetings at junctions. The LiDAR sees all around, the camera only ahead. Within half a
    # minute a vehicle has driven some 200 m of path, more than the side of a block.
    Protocol(
        name="town-revisit",
        version=1,
        title="Procedural town: back within one drive, after 30 s or more, any heading, 20 m",
        dataset="town",
        split=_TOWN_SPLIT,
        query=_TOWN_TEST,
        database=_TOWN_TEST,
        pairs="within",
        radius_m=20.0,
        min_gap_s=30.0,
        earlier_only=True,
    ),
    # The protocol of ModaLink's and RangeBEV's KITTI tables: one sequence against itself, neighbours in time count.
    Protocol(
        name="kitti-synchronous-10m",
        version=1,
        title="KITTI odometry: each sequence against itself, own frame dropped, 10 m",
        dataset="kitti",
        split=Split(train=_KITTI_11_TO_21, validation=Selection(traversals=("10",))),
        query=_KITTI_TEST,
        database=_KITTI_TEST,
        pairs="within",
        radius_m=10.0,
    ),
)

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _TABLE}

OTHER_SPLITS: dict[str, tuple[Split, ...]] = {
    # Without SemanticKITTI's poses of 11-21. No sequence is left for validation: the training loss selects.
    "kitti-synchronous-10m": (Split(train=Selection(traversals=("01", "03", "04", "09", "10")), validation=_NOTHING),),
}
"""Splits to fall back to, in order, when no frame of a protocol's own training selection is there."""


def resolve(name: str, dataset: PreparedDataset) -> tuple[Protocol, list[str]]:
    """The protocol called ``name`` as it applies to what ``dataset`` holds, and what a reader must be warned of.

    A protocol of another dataset is an error. Where the sequences that it trains or tests on are absent, the result
    is a smoke run on what is there: it shows that everything runs, and its recall means nothing.
    """
    protocol, names = PROTOCOLS[name], list(dataset.traversals)
    if protocol.dataset != dataset.name:
        raise CrossplaceError(
            f"protocol {name} is for dataset {protocol.dataset!r}, but {dataset.folder} holds {dataset.name!r}; "
            f"choose another with --protocol (crossplace list protocols)"
        )
    tested = [t for t in names if protocol.query.includes(t)]
    splits = (protocol.split, *OTHER_SPLITS.get(name, ()))
    split = next((s for s in splits if any(s.train.includes(t) for t in names)), None)
    if not tested or split is None:
        warning = f"smoke run: the data lacks the sequences that {name} trains or tests on; recall means nothing"
        return smoke(protocol), [warning]
    warnings = []
    if split is not protocol.split:
        warnings.append(f"trained on {', '.join(t for t in names if split.train.includes(t))}: not the published split")
    for part, selection in (("training", split.train), ("validation", split.validation), ("test", protocol.query)):
        missing = [t for t in selection.traversals if not set(t) & set("*!") and t not in names]
        if missing:
            warnings.append(f"partial: {part} sequences {', '.join(missing)} are absent")
    return replace(protocol, split=split), warnings


def smoke(protocol: Protocol) -> Protocol:
    """``protocol`` trained and tested on everything that is there."""
    everything = Selection()
    return replace(
        protocol,
        split=replace(protocol.split, train=everything, validation=_NOTHING),
        query=everything,
        database=everything,
        smoke=True,
    )


def own_data(dataset: PreparedDataset) -> Protocol:
    """A protocol for a prepared folder that no named protocol is for: everything against everything, 20 m."""
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
