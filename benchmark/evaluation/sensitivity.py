"""How recall depends on what is counted as right and on the map: the same descriptors under many settings.

An axis changes one thing and leaves all others as the protocol has them. All settings of one map are ranked from one
pass over the distances.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.distractors import Foreign, among_foreign, n_nearer
from benchmark.evaluation.evaluate import Block, PairEvaluation, Scored, from_descriptors, joined, scored
from benchmark.evaluation.ranks import rank_queries
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import ordered_pairs, relate
from benchmark.protocol.selection import Selected, by_traversal, median_spacing_m
from datasets.base import Frames, Protocol

Value = float | None
"""A value on an axis; None where a rule has no limit."""

LEAST_STEP = 1.5
"""A spacing below this many steps of the data would keep every frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one number is counted under."""

    protocol: Protocol
    spacing_m: float | None = None
    """Path between frames of the map, beyond what the protocol thins."""
    n_foreign: int = 0
    """Foreign frames in the map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What axes must know of the data."""

    protocol: Protocol
    spacing_m: float | None
    """Median path between neighbouring frames of the map; none where no drive has two."""
    database_size: float
    """Frames of the map, as a mean over traversal pairs."""
    n_foreign: int = 0
    """Foreign frames that there are."""
    why_no_foreign: str = ""
    """Why foreign frames cannot be ranked, if they cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One thing that recall may depend on."""

    title: str
    unit: str
    values: tuple[Value, ...]
    """Values that are tried; the protocol's own one is added."""
    own: Callable[[Ground], Value]
    """The value that the protocol has."""
    change: Callable[[Setting, float | None, Ground], Setting]
    """The protocol's setting with another value."""
    why_not: Callable[[Ground, Value], str] = lambda *_: ""
    """Why a value cannot be tried on this data; empty if it can."""


def _too_dense(ground: Ground, value: Value) -> str:
    if ground.spacing_m is None or value is None:
        return "no drive of the map has two frames"
    is_too_dense = value < LEAST_STEP * ground.spacing_m
    return f"the frames of the map are {ground.spacing_m:.1f} m apart already" if is_too_dense else ""


def _too_many(ground: Ground, value: Value) -> str:
    if ground.why_no_foreign:
        return ground.why_no_foreign
    wanted = _n_foreign(ground, value)
    return (
        f"{wanted:,} foreign frames are needed, and there are {ground.n_foreign:,}" if wanted > ground.n_foreign else ""
    )


def _under(base: Setting, **rules: Any) -> Setting:
    """``base`` with some rules of its protocol changed."""
    return replace(base, protocol=replace(base.protocol, **rules))


def _n_foreign(ground: Ground, value: Value) -> int:
    return round((value or 0) * ground.database_size)


AXES: dict[str, Axis] = {
    "radius": Axis(
        title="Place radius: how near a frame of the map must be to be right",
        unit="m",
        values=(5.0, 10.0, 15.0, 20.0, 25.0, 50.0),
        own=lambda ground: ground.protocol.radius_m,
        change=lambda base, value, _: _under(base, radius_m=value),
    ),
    "spacing": Axis(
        title="Map spacing: path between neighbouring frames of the map; all queries stay",
        unit="m",
        values=(5.0, 10.0, 20.0, 50.0),
        own=lambda ground: None if ground.spacing_m is None else round(ground.spacing_m, 1),
        change=lambda base, value, _: replace(base, spacing_m=value),
        why_not=_too_dense,
    ),
    "heading": Axis(
        title="Heading limit: whether the opposite direction of travel is right too",
        unit="rad",
        values=(0.5, None),
        own=lambda ground: ground.protocol.heading_limit_rad,
        change=lambda base, value, _: _under(base, heading_limit_rad=value),
    ),
    "distractors": Axis(
        title="Distractors: foreign frames in the map, none of them right, as multiples of its size",
        unit="×",
        values=(0.0, 1.0, 2.0, 5.0, 10.0),
        own=lambda _: 0.0,
        change=lambda base, value, ground: replace(base, n_foreign=_n_foreign(ground, value)),
        why_not=_too_many,
    ),
}
"""Everything that recall is plotted against, by the name that ``--axes`` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One value of an axis: a setting, or the reason for which it is left out."""

    value: Value
    is_own: bool
    """Whether it is the protocol's own value."""
    setting: Setting
    why_not: str = ""


def ground_of(chosen: Selected, *, n_foreign: int = 0, why_no_foreign: str = "") -> Ground:
    """What axes must know of the frames that take part."""
    frames, protocol = chosen.frames, chosen.protocol
    asking, searched = by_traversal(frames, chosen.query), by_traversal(frames, chosen.database)
    pairs = ordered_pairs(protocol, list(asking), list(searched))
    sizes = [len(searched[pair.database_traversal]) for pair in pairs]
    return Ground(
        protocol=protocol,
        spacing_m=median_spacing_m(frames, chosen.database),
        database_size=float(np.mean(sizes)) if sizes else 0.0,
        n_foreign=n_foreign,
        why_no_foreign=why_no_foreign,
    )


def tried_on(axis: Axis, ground: Ground) -> list[Tried]:
    """The values of an axis on this data, ascending, a missing limit last; the protocol's own is always there."""
    base, own = Setting(protocol=ground.protocol), axis.own(ground)
    values = sorted({*axis.values, own}, key=lambda value: (value is None, value or 0.0))
    return [
        Tried(
            value=value,
            is_own=value == own,
            setting=base if value == own else axis.change(base, value, ground),
            why_not="" if value == own else axis.why_not(ground, value),
        )
        for value in values
    ]


def evaluate_settings(
    frames: Frames,
    protocol: Protocol,
    descriptors: Descriptors,
    settings: Collection[Setting],
    foreign: Foreign | None = None,
) -> dict[Setting, list[PairEvaluation]]:
    """All traversal pairs in all directions under each of ``settings``, which change ``protocol`` or its map.

    Settings may change what is right, and not what may be found. ``foreign`` holds the foreign frames that any of them
    asks for.
    """
    scorer = from_descriptors(descriptors, frames, directions=Direction.among(descriptors.arrays))
    blocks: dict[Setting, list[Block]] = {setting: [] for setting in settings}
    for spacing_m in dict.fromkeys(setting.spacing_m for setting in blocks):
        here = [setting for setting in blocks if setting.spacing_m == spacing_m]
        chosen = Selected(frames=frames, protocol=protocol, spacing_m=spacing_m)
        for part in scored({"": scorer}, chosen):
            for setting, block in _ranked(part, frames, descriptors, here, foreign):
                blocks[setting].append(block)
    return {s: joined(blocks[s], s.protocol, n_foreign=s.n_foreign) for s in blocks}


def _ranked(
    part: Scored, frames: Frames, descriptors: Descriptors, settings: Sequence[Setting], foreign: Foreign | None
) -> Iterator[tuple[Setting, Block]]:
    """One block under each setting of one map; settings with the same rules are ranked once."""
    asked, direction = part.asked, part.direction
    query, database = frames.take(asked.query_rows), frames.take(asked.database_rows)
    for rules in dict.fromkeys(setting.protocol for setting in settings):
        relation = relate(query, database, rules)
        ranking = rank_queries(
            part.distances, relation, top_k=1, search_depth=rules.search_depth
        )  # counts need no list
        numbers = sorted({s.n_foreign for s in settings if s.protocol == rules and s.n_foreign})
        nearer = {0: np.zeros(len(asked.query_rows), dtype=np.int64)}
        if numbers:
            assert foreign is not None, "no foreign frames"
            assert len(foreign) >= numbers[-1], "too few foreign frames"
            found = n_nearer(
                descriptors.at(direction.query, frames, asked.query_rows),
                foreign.descriptors[direction.database],
                ranking.best_positive_distance,
                foreign.distance,
                numbers,
            )
            nearer |= dict(zip(numbers, found.T, strict=True))
        for setting in settings:
            if setting.protocol == rules:
                number = setting.n_foreign
                yield setting, Block.of(part, among_foreign(ranking, nearer[number], number))
