"""The clocks of camera, LiDAR and GPS: whether they agree, which one does not, and the option that mends it.

Times are those of headers. Each sensor has its own clock, and the LiDAR's counts from its start. The times at which the
messages were recorded are of one clock, that of the recording computer. They tell which header is wrong.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from datasets.errors import CrossplaceError
from datasets.vivid.messages import CAMERA, GPS, LIDAR

SENSORS = {"camera": CAMERA, "lidar": LIDAR, "gps": GPS}
"""The names of the sensors in options, and their topics."""
LEAST_SHARE = 0.5
"""An option is offered if clouds have so much of the shorter drive in common with images, and with fixes."""
SUSPECT_NS = 10 * 10**9
"""A clock that is further than this from two others which agree is named, though there is time in common."""

Span = tuple[int, int]
"""First and last time in nanoseconds."""


class Inspection(NamedTuple):
    """A bag at a glance: how many messages each topic has, and when the first and the last were measured."""

    messages: dict[str, int]
    interval_ns: dict[str, Span]
    """By topic, the times in the headers of the first and of the last message."""
    recorded_ns: dict[str, Span]
    """By topic, the times at which these messages were recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """How the times of one run are taken."""

    lidar_offset_ns: int
    """Added to the times in the headers of clouds."""
    recorded: frozenset[str] = frozenset()
    """Topics whose times are those of recording; the offset is then not added."""

    def spans(self, found: Inspection) -> dict[str, Span]:
        """By topic, the first and the last time as they are taken."""
        spans = {topic: (found.recorded_ns if topic in self.recorded else found.interval_ns)[topic] for topic in TOPICS}
        if LIDAR not in self.recorded:
            spans[LIDAR] = (spans[LIDAR][0] + self.lidar_offset_ns, spans[LIDAR][1] + self.lidar_offset_ns)
        return spans


TOPICS = (CAMERA, LIDAR, GPS)

# --- options -------------------------------------------------------------------------------------


def clocks_of(run: str, offset_s: float, offset_of: Sequence[str], recorded_of: Sequence[str]) -> Clocks:
    """How the times of ``run`` are taken by the options ``lidar_offset_s``, ``lidar_offset_of``, ``recorded_times_of``.

    Raises:
        CrossplaceError: an entry of any run cannot be read.
    """
    offsets_ns = {name: nanoseconds(text) for name, text in _entries("lidar_offset_of", offset_of, "city_day2=0")}
    recorded = _entries("recorded_times_of", recorded_of, "city_day2=camera")
    unknown = [sensor for _, sensor in recorded if sensor not in SENSORS]
    if unknown:
        raise CrossplaceError(
            f"vivid: recorded_times_of: no sensor {unknown[0]!r}; expected one of {', '.join(SENSORS)}"
        )
    return Clocks(
        lidar_offset_ns=offsets_ns.get(run, nanoseconds(str(offset_s))),
        recorded=frozenset(SENSORS[sensor] for name, sensor in recorded if name == run),
    )


def _entries(option: str, entries: Sequence[str], example: str) -> list[tuple[str, str]]:
    for entry in entries:
        if "=" not in entry:
            value = "SECONDS" if option == "lidar_offset_of" else "SENSOR"
            raise CrossplaceError(f"vivid: {option}: {entry!r}: expected RUN={value}, such as {example}")
    return [(run, value) for run, _, value in (entry.partition("=") for entry in entries)]


def nanoseconds(seconds: str) -> int:
    """``seconds`` in nanoseconds, exactly; a float would hold a time since 1970 to a quarter of a microsecond."""
    try:
        return int((Decimal(seconds) * 1_000_000_000).to_integral_value())
    except (ArithmeticError, ValueError) as error:
        raise CrossplaceError(f"vivid: {seconds!r} is no number of seconds") from error


def cure_in_words(
    run: str, now: Clocks, cure: Clocks | None, offset_of: Sequence[str], recorded_of: Sequence[str]
) -> str:
    """The options that turn the clocks of ``run`` into ``cure``, with the entries of other runs."""
    if cure is None:
        return "no times in this bag make its sensors agree, so it cannot be used: leave the run out (runs)"
    sensors = [f"{run}={name}" for name, topic in SENSORS.items() if topic in cure.recorded]
    offset = [f"{run}={Decimal(cure.lidar_offset_ns).scaleb(-9):.3f}"]
    options = [
        ("recorded_times_of", recorded_of, sensors, cure.recorded != now.recorded),
        ("lidar_offset_of", offset_of, offset, cure.lidar_offset_ns != now.lidar_offset_ns),
    ]
    words = []
    for name, before, own, is_changed in options:
        if is_changed:
            entries = [*(entry for entry in before if entry.partition("=")[0] != run), *own]
            words.append(f"'{name}={json.dumps(entries)}'")
    return f"by the times of recording, this mends it: --dataset-options {' '.join(words)}"


# --- which clock is wrong ------------------------------------------------------------------------


def fault_of(found: Inspection, now: Clocks) -> tuple[str, Clocks | None]:
    """What is wrong with the clocks in words (empty if nothing is), and the smallest change that mends it, if any."""
    stuck, spans = _stuck(found, now), now.spans(found)
    apart = [topic for topic in (CAMERA, GPS) if _common_ns(spans[LIDAR], spans[topic]) < 0]
    if not stuck and not apart:
        return "", None
    words = [f"all headers of {topic} have the time {spans[topic][0] / 1e9:.3f} s" for topic in stuck]
    cure = next((change for change in _changes(found, now) if _is_right(found, change)), None)
    if apart:
        times = ", ".join(f"{topic} {a / 1e9:.3f} s to {b / 1e9:.3f} s" for topic, (a, b) in spans.items())
        words.append(f"clouds and {' and '.join(apart)} have no time in common ({times}){_odd_one(now, cure)}")
    return "; ".join(words), cure


def suspect(found: Inspection, now: Clocks) -> tuple[str, float]:
    """The topic whose clock is far from two others that agree, by the times of recording, and its error in seconds.

    The topic is empty if there is none.
    """
    spans = now.spans(found)
    ahead_ns = {topic: spans[topic][0] - found.recorded_ns[topic][0] for topic in TOPICS}
    for odd in TOPICS:
        one, two = (ahead_ns[topic] for topic in TOPICS if topic != odd)
        if abs(one - two) < SUSPECT_NS / 10 and min(abs(ahead_ns[odd] - one), abs(ahead_ns[odd] - two)) > SUSPECT_NS:
            return odd, (ahead_ns[odd] - one) / 1e9
    return "", 0.0


def _odd_one(now: Clocks, cure: Clocks | None) -> str:
    """The clock that two others speak against, in words."""
    if cure is None:
        return ""
    changed = [*(cure.recorded - now.recorded)] or [LIDAR]
    others = [topic for topic in TOPICS if topic not in changed]
    return f": {' and '.join(others)} agree, and {changed[0]} does not" if len(changed) == 1 else ""


def _stuck(found: Inspection, now: Clocks) -> list[str]:
    """Topics whose headers have one time throughout."""
    return [
        topic
        for topic in TOPICS
        if topic not in now.recorded
        and found.interval_ns[topic][0] == found.interval_ns[topic][1]
        and found.messages[topic] > 1
    ]


def _changes(found: Inspection, now: Clocks) -> Iterator[Clocks]:
    """Other ways to take the times, the smallest changes first."""
    for topic in (CAMERA, GPS):  # an offset keeps the LiDAR's own clock, which is more exact than that of recording
        start_ns = now.spans(found)[topic][0] - found.recorded_ns[topic][0]
        offset_ns = found.recorded_ns[LIDAR][0] - found.interval_ns[LIDAR][0] + start_ns
        yield replace(now, lidar_offset_ns=offset_ns, recorded=now.recorded - {LIDAR})
    others = [topic for topic in TOPICS if topic not in now.recorded]
    for n in range(1, len(others) + 1):
        for topics in itertools.combinations(others, n):
            yield replace(now, recorded=now.recorded | {*topics})


def _is_right(found: Inspection, clocks: Clocks) -> bool:
    spans = clocks.spans(found)
    return not _stuck(found, clocks) and all(
        _common_ns(spans[LIDAR], spans[topic]) >= LEAST_SHARE * min(_length_ns(spans[LIDAR]), _length_ns(spans[topic]))
        for topic in (CAMERA, GPS)
    )


def _common_ns(one: Span, other: Span) -> int:
    """How long two spans overlap; negative if they do not."""
    return min(one[1], other[1]) - max(one[0], other[0])


def _length_ns(span: Span) -> int:
    return span[1] - span[0]
