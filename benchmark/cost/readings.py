"""From what a probe reads in several rounds to one measure, with a mark where the number is not to be believed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from benchmark.records.cost import AGREE, Measure, apart

WIDEST = 0.20
"""Largest interquartile range of a series, as a share of its median."""
LEAST_FOR_P99 = 200
"""Samples from which on the 99th percentile is given."""
MANY = 5
"""Rounds from which on the fastest and the slowest one are no sign of an unstable series."""
LEAST_PER_INPUT = 3
"""Samples of each input from which on the spread is that within inputs: clouds differ, and so do their times."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a probe read of one quantity of one part: a series of samples, a number, or the reason for neither."""

    part: str
    quantity: str
    unit: str
    samples: Sequence[float] = ()
    """A series, in the order of time."""
    inputs: Sequence[int] = ()
    """The number of the input of each sample; empty if all samples are of one input."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Numbers by name that are exact, or that say more about a series."""
    hole: str = ""
    doubt: str = ""
    """Why the conditions speak against the reading."""


def hole(part: str, quantity: str, unit: str, reason: str) -> Reading:
    """A reading that could not be had."""
    return Reading(part=part, quantity=quantity, unit=unit, hole=reason)


def exact(part: str, quantity: str, unit: str, value: float) -> Reading:
    """A number that does not vary."""
    return Reading(part=part, quantity=quantity, unit=unit, values={"value": value})


def measures_of(readings: Iterable[Reading]) -> list[Measure]:
    """One measure for each quantity of each part, from its readings in the order of the rounds."""
    groups: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        groups.setdefault((reading.part, reading.quantity), []).append(reading)
    return [_measure(group) for group in groups.values()]


def _measure(rounds: Sequence[Reading]) -> Measure:
    first, read = rounds[0], [reading for reading in rounds if not reading.hole]
    series = [reading for reading in read if reading.samples]
    values = {name: value for reading in read for name, value in reading.values.items()}
    if series:
        values = _summary(series) | values
    return Measure(
        part=first.part,
        quantity=first.quantity,
        unit=first.unit,
        values=values,
        hole="" if read else first.hole,
        unstable=_unstable(series, values) if series else "",
    )


def _summary(series: Sequence[Reading]) -> dict[str, float]:
    samples = np.array([sample for reading in series for sample in reading.samples])
    values = {"p50": float(np.median(samples)), "p95": float(np.quantile(samples, 0.95))}
    if len(samples) >= LEAST_FOR_P99:
        values["p99"] = float(np.quantile(samples, 0.99))
    return {**values, "iqr": spread(series), "n": float(len(samples))}


def spread(series: Sequence[Reading]) -> float:
    """Interquartile range of a series, without the differences between inputs where each came often enough.

    The level of an input is the median of its samples. All levels are brought to the median of all samples.
    """
    pairs = [
        (number, sample)
        for reading in series
        for number, sample in zip(reading.inputs or [0] * len(reading.samples), reading.samples, strict=True)
    ]
    samples, numbers = np.array([sample for _, sample in pairs]), np.array([number for number, _ in pairs])
    of_input = {number: samples[numbers == number] for number in set(numbers.tolist())}
    if min(map(len, of_input.values())) >= LEAST_PER_INPUT:
        levels = np.array([np.median(of_input[number]) for number in numbers.tolist()])
        samples = np.divide(samples, levels, out=np.ones_like(samples), where=levels > 0) * np.median(samples)
    low, high = np.quantile(samples, [0.25, 0.75])
    return float(high - low)


def usual(medians: Iterable[float]) -> list[float]:
    """The medians of all rounds in order, without the lowest and the highest if there are :data:`MANY` rounds.

    One round that met other work, or a faster clock, moves the median of many rounds hardly at all.
    """
    ordered = sorted(medians)
    return ordered[1:-1] if len(ordered) >= MANY else ordered


def _unstable(series: Sequence[Reading], values: Mapping[str, float]) -> str:
    """The first reason not to believe a series; empty if there is none."""
    if doubt := next((reading.doubt for reading in series if reading.doubt), ""):
        return doubt
    medians = usual(median(reading.samples) for reading in series)
    if apart(medians) > AGREE:
        return f"rounds disagree: their medians go from {medians[0]:.4g} to {medians[-1]:.4g} {series[0].unit}"
    if values["iqr"] > WIDEST * values["p50"]:
        return f"the interquartile range is {100 * values['iqr'] / values['p50']:.0f} % of the median"
    return ""
