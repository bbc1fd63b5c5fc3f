"""What a bag has besides pixels and points: times of measurement, places of messages, GPS fixes."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from datasets.errors import CrossplaceError
from datasets.vivid.bags import Place, Topic, read_message, reading, topics_of
from datasets.vivid.clocks import Inspection
from datasets.vivid.messages import (
    CAMERA,
    COMPRESSED_CAMERA,
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
    image_type: str = TYPES[CAMERA]
    """The type of the messages with images."""


def survey(path: Path, recorded: Collection[str] = ()) -> Survey:
    """Read a bag from its beginning to its end: its index, the head of every image and cloud, and all GPS messages.

    The times of the topics ``recorded`` are those at which their messages were recorded.

    Raises:
        CrossplaceError: the bag is damaged, or topics are missing or of other types (all faults at once).
    """
    topics = checked_topics(path)
    found = Survey([], [], [], [], topics[CAMERA].message_type)
    messages = [(place, name, number) for name in TYPES for number, place in enumerate(topics[name].places)]
    with path.open("rb") as file:
        for place, name, number in sorted(messages):  # sorted by chunk, so that each compressed chunk is opened once
            with reading(path, f"{name}, message {number}"):
                message = read_message(path, file, place, None if name == GPS else STAMP_BYTES)
                time_ns = place.recorded_ns if name in recorded else stamp_ns(message)
                if name != GPS:
                    (found.images if name == CAMERA else found.clouds).append((time_ns, place))
                elif (position := position_of(decoded(message, TYPES[GPS]))) is None:
                    found.without_fix.append(time_ns)
                else:
                    found.fixes.append((time_ns, *position))
    return found


def checked_topics(path: Path) -> dict[str, Topic]:
    """The topics of a bag; raises :class:`CrossplaceError` if one is missing, empty or of another type."""
    topics = topics_of(path)
    if CAMERA not in topics and COMPRESSED_CAMERA in topics:
        topics = topics | {CAMERA: topics[COMPRESSED_CAMERA]}
    if faults := check_types(topics):
        raise CrossplaceError(f"{path}: {'; '.join(faults)}")
    return topics


def content_of(
    bag: Path, file: IO[bytes], topic: str, place: Place, read: Callable[[Any], Content], message_type: str = ""
) -> Content:
    """What ``read`` makes of a message; what is wrong with it becomes a sentence that names bag and message.

    ``message_type`` is by default the usual one of the topic.
    """
    where = f"{topic}, message recorded at {place.recorded_ns} ns"
    with reading(bag, where):
        message = decoded(read_message(bag, file, place), message_type or TYPES[topic])
        try:
            return read(message)
        except CrossplaceError as error:
            raise CrossplaceError(f"{bag}: {where}: {error}; fetch it again or leave the run out (runs)") from error


def inspect(path: Path, first_reads: dict[str, Callable[[Any], Any]]) -> Inspection:
    """Look at the index and at the first and last message of each topic; the first is read by ``first_reads``."""
    topics = checked_topics(path)
    intervals, recorded = {}, {}
    with path.open("rb") as file:
        for name, read in first_reads.items():
            first, last = topics[name].places[0], topics[name].places[-1]
            content_of(path, file, name, first, read, topics[name].message_type)
            with reading(path, name):
                times = [stamp_ns(read_message(path, file, place, STAMP_BYTES)) for place in (first, last)]
            intervals[name] = (times[0], times[1])
            recorded[name] = (first.recorded_ns, last.recorded_ns)
    return Inspection({name: len(topics[name].places) for name in first_reads}, intervals, recorded)
