"""What a bag has besides pixels and points: times of measurement, places of messages, GPS fixes."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from datasets.errors import CrossplaceError
from datasets.vivid.bags import Place, Topic, read_message, reading, topics_of
from datasets.vivid.messages import (
    CAMERA,
    GPS,
    STAMP_BYTES,
    TYPES,
    check_types,
    decoded,
    position_of,
    stamp_ns,
)

Content = TypeVar("Content")


class Survey(NamedTuple):
    """Everything in a bag except pixels and points, as plain data. Times are those of headers, in nanoseconds."""

    images: list[tuple[int, Place]]
    clouds: list[tuple[int, Place]]
    fixes: list[tuple[int, float, float, float]]
    """GPS fixes: time, latitude, longitude, altitude."""
    without_fix: list[int]
    """Times of GPS messages that state to have no fix."""


def survey(path: Path) -> Survey:
    """Read a bag from its beginning to its end: its index, the head of every image and cloud, and all GPS messages.

    Raises:
        CrossplaceError: the bag is damaged, or topics are missing or of other types (all faults at once).
    """
    topics = checked_topics(path)
    found = Survey([], [], [], [])
    messages = [(place, name, number) for name in TYPES for number, place in enumerate(topics[name].places)]
    with path.open("rb") as file:
        for place, name, number in sorted(messages):  # sorted by chunk, so that each compressed chunk is opened once
            with reading(path, f"{name}, message {number}"):
                message = read_message(path, file, place, None if name == GPS else STAMP_BYTES)
                time_ns = stamp_ns(message)
                if name != GPS:
                    (found.images if name == CAMERA else found.clouds).append((time_ns, place))
                elif (position := position_of(decoded(message, GPS))) is None:
                    found.without_fix.append(time_ns)
                else:
                    found.fixes.append((time_ns, *position))
    return found


def checked_topics(path: Path) -> dict[str, Topic]:
    """The topics of a bag; raises :class:`CrossplaceError` if one is missing, empty or of another type."""
    topics = topics_of(path)
    if faults := check_types(topics):
        raise CrossplaceError(f"{path}: {'; '.join(faults)}")
    return topics


def content_of(bag: Path, file: IO[bytes], topic: str, place: Place, read: Callable[[Any], Content]) -> Content:
    """What ``read`` makes of a message; what is wrong with it becomes a sentence that names bag and message."""
    where = f"{topic}, message recorded at {place.recorded_ns} ns"
    with reading(bag, where):
        message = decoded(read_message(bag, file, place), topic)
        try:
            return read(message)
        except CrossplaceError as error:
            raise CrossplaceError(f"{bag}: {where}: {error}") from error


class Inspection(NamedTuple):
    """A bag at a glance: how many messages each topic has, and the interval in which they were measured."""

    messages: dict[str, int]
    interval_ns: dict[str, tuple[int, int]]
    """By topic, the times in the headers of the first and of the last message."""
    delay_ns: dict[str, int]
    """By topic, the time from the header of the first message to its recording."""


def inspect(path: Path, first_reads: dict[str, Callable[[Any], Any]]) -> Inspection:
    """Look at the index and at the first and last message of each topic; the first is read by ``first_reads``."""
    topics = checked_topics(path)
    intervals, delays = {}, {}
    with path.open("rb") as file:
        for name, read in first_reads.items():
            first, last = topics[name].places[0], topics[name].places[-1]
            content_of(path, file, name, first, read)
            with reading(path, name):
                times = [stamp_ns(read_message(path, file, place, STAMP_BYTES)) for place in (first, last)]
            intervals[name] = (times[0], times[1])
            delays[name] = first.recorded_ns - times[0]
    return Inspection({name: len(topics[name].places) for name in first_reads}, intervals, delays)
