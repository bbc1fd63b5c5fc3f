"""What a bag has, all but pixels and points: when things were measured, where their messages lie, GPS fixes."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from datasets.errors import CrossplaceError
from datasets.vivid.bags import Place, Topic, read_message, reading, topics_of
from datasets.vivid.messages import (
    CAMERA,
    GPS,
    LIDAR,
    STAMP_BYTES,
    check_types,
    decoded,
    position_of,
    stamp_ns,
)

Content = TypeVar("Content")


class Survey(NamedTuple):
    """Everything in a bag but pixels and points, as plain data. Times are those of headers, nanoseconds."""

    images: list[tuple[int, Place]]
    clouds: list[tuple[int, Place]]
    fixes: list[tuple[int, float, float, float]]
    """Time, latitude, longitude, altitude."""
    without_fix: int


def survey(path: Path) -> Survey:
    """Read the index of a bag, the head of every image and cloud and all GPS messages.

    Raises:
        CrossplaceError: damage; topics that are missing or of other types (all of them at once).
    """
    topics = checked_topics(path)
    with path.open("rb") as file:
        fixes = []
        for number, place in enumerate(topics[GPS].places):
            with reading(path, f"{GPS}, message {number}"):
                message = read_message(path, file, place)
                fix = position_of(decoded(message, GPS))
                fixes.append((stamp_ns(message), fix))
        return Survey(
            images=_stamped(path, file, topics[CAMERA], CAMERA),
            clouds=_stamped(path, file, topics[LIDAR], LIDAR),
            fixes=[(time, *fix) for time, fix in fixes if fix is not None],
            without_fix=sum(fix is None for _, fix in fixes),
        )


def checked_topics(path: Path) -> dict[str, Topic]:
    """The topics of a bag that has all that is needed."""
    topics = topics_of(path)
    if faults := check_types(topics):
        raise CrossplaceError(f"{path}: {'; '.join(faults)}")
    return topics


def _stamped(path: Path, file: IO[bytes], topic: Topic, name: str) -> list[tuple[int, Place]]:
    stamped = []
    for number, place in enumerate(topic.places):
        with reading(path, f"{name}, message {number}"):
            stamped.append((stamp_ns(read_message(path, file, place, STAMP_BYTES)), place))
    return stamped


def content_of(bag: Path, file: IO[bytes], topic: str, place: Place, read: Callable[[Any], Content]) -> Content:
    """What ``read`` makes of a message; whatever is wrong with it becomes a sentence that names bag and message."""
    where = f"{topic}, message recorded at {place.recorded_ns} ns"
    with reading(bag, where):
        message = decoded(read_message(bag, file, place), topic)
        try:
            return read(message)
        except CrossplaceError as error:
            raise CrossplaceError(f"{bag}: {where}: {error}") from error


class Inspection(NamedTuple):
    """A bag at a glance: how many messages a topic has, and from when to when."""

    messages: dict[str, int]
    interval_ns: dict[str, tuple[int, int]]
    """Time of the first and of the last message, by their headers; by topic."""
    delay_ns: dict[str, int]
    """How much later than it says the first message of a topic was recorded."""


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
