"""Frames in a second at the best size of a batch, from stored image or cloud to descriptor."""

from collections.abc import Sequence

import torch

from benchmark.cost.conditions import conditions, doubt
from benchmark.cost.parts import Specimen
from benchmark.cost.readings import Reading, hole
from benchmark.cost.stopwatch import Laps, now, ready
from datasets.base import MODALITIES, Modality
from datasets.errors import CrossplaceError

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
MOST = 20
"""Laps with one size at most."""
SEARCH_S = 1.5
"""Seconds that the search for the best size may take, however short the round is."""
WORSE, IN_A_ROW = 0.9, 2
"""The search for the best size ends where so many sizes, one after the other, fall below this share of the best: a
single one may have met other work of the machine."""
QUANTITY, UNIT = "throughput", "1/s"


def read(specimen: Specimen, seconds: float) -> list[Reading]:
    """A series for images and one for clouds, each at the best size, which the first round finds for all rounds."""
    with ready(specimen):
        return [_modality(specimen, modality, seconds / len(MODALITIES)) for modality in MODALITIES]


def _modality(specimen: Specimen, modality: Modality, seconds: float) -> Reading:
    before = conditions(specimen.device)
    try:
        samples = _rates(specimen, modality, seconds)
    except CrossplaceError as error:
        return hole(modality, QUANTITY, UNIT, str(error))
    return Reading(
        part=modality,
        quantity=QUANTITY,
        unit=UNIT,
        samples=samples,
        values={"batch": float(specimen.best_batch[modality])},
        doubt=doubt(before, conditions(specimen.device)),
    )


def _rates(specimen: Specimen, modality: Modality, seconds: float) -> list[float]:
    """Rates at the best size, which the first round looks for."""
    size = specimen.best_batch.get(modality)
    if not size:
        samples, specimen.best_batch[modality] = _best(specimen, modality, max(seconds, SEARCH_S))
        return samples
    laps = Laps(specimen=specimen, span=modality, size=size)
    ends = now(specimen.device) + seconds
    laps.lap(0)  # the first one warms up
    return [size / s for s in _seconds(laps, ends - now(specimen.device))]


def _best(specimen: Specimen, modality: Modality, left: float) -> tuple[list[float], int]:
    """Rates at the best size of a batch, and that size; larger ones are tried while time and memory allow it."""
    best, best_size, n_worse = [0.0], 0, 0
    for size in SIZES:
        laps = Laps(specimen=specimen, span=modality, size=size)
        try:
            expected_s = laps.lap(0).total_ms / 1e3  # the first one warms up
            found = [expected_s] if 2 * expected_s > left else _seconds(laps, left / 3)
        except torch.OutOfMemoryError:
            if not best_size:
                raise
            break
        rates = [size / s for s in found]
        if middle(rates) > middle(best):
            best, best_size = rates, size
        left -= expected_s + sum(found)
        n_worse = n_worse + 1 if middle(rates) < WORSE * middle(best) else 0
        if n_worse == IN_A_ROW or left < 4 * expected_s:
            break
    return best, best_size


def _seconds(laps: Laps, seconds: float) -> list[float]:
    return [lap.total_ms / 1e3 for lap in laps.run(seconds, 1, MOST)]


def middle(numbers: Sequence[float]) -> float:
    """The upper of the middle numbers, which was measured."""
    return sorted(numbers)[len(numbers) // 2]
