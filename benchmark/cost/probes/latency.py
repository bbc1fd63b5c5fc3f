"""Time of each part at batch 1, and of all parts of an image and of a cloud together."""

from collections.abc import Sequence

from benchmark.cost.conditions import conditions, doubt
from benchmark.cost.parts import SPANS, Specimen, parts_of
from benchmark.cost.readings import Reading, hole
from benchmark.cost.stopwatch import WARM_UP_S, Lap, Laps, ready
from datasets.base import MODALITIES
from datasets.errors import CrossplaceError

LEAST, MOST = 2, 300
"""Laps of a span in one round, at least and at most."""
WARM_UP_SHARE = 0.25
"""Share of the time that a warm-up may take."""
QUANTITY, UNIT = "latency", "ms"


def read(specimen: Specimen, seconds: float) -> list[Reading]:
    """A series for each part; the seconds are shared by the spans."""
    readings: list[Reading] = []
    with ready(specimen):
        for span in SPANS:
            readings += _span(specimen, span, seconds / len(SPANS))
    return readings


def _span(specimen: Specimen, span: str, seconds: float) -> list[Reading]:
    names = [*parts_of(span), *([span] if span in MODALITIES else [])]
    try:
        laps = Laps(specimen=specimen, span=span)
    except CrossplaceError as error:
        return [hole(name, QUANTITY, UNIT, str(error)) for name in names]
    laps.warm_up(min(WARM_UP_S, WARM_UP_SHARE * seconds))
    before = conditions(specimen.device)
    timed = laps.run((1 - WARM_UP_SHARE) * seconds, LEAST, MOST)
    reason = doubt(before, conditions(specimen.device))
    return [_reading(specimen, name, timed, reason) for name in names]


def _reading(specimen: Specimen, name: str, timed: Sequence[Lap], reason: str) -> Reading:
    n_inputs = len(specimen.inputs.samples.get(name.partition(".")[0], [0]))  # type: ignore[call-overload]
    return Reading(
        part=name,
        quantity=QUANTITY,
        unit=UNIT,
        samples=[lap.parts_ms.get(name, lap.total_ms) for lap in timed],
        inputs=[lap.number % n_inputs for lap in timed],
        doubt=reason,
    )
