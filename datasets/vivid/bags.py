"""ROS1 bags: what is in them, and single messages read from their places.

``rosbags`` reads the index. Messages are then read one at a time from their places. A process that knows the places
does not need the index, and reads only its messages, or their chunks if the bag is compressed.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from datasets.errors import CrossplaceError, install
from datasets.files import unreadable

if TYPE_CHECKING:
    from rosbags.rosbag1 import Reader

MAGIC = b"#ROSBAG V2.0\n"
NEEDED = f"ViViD++ needs the extra 'vivid': {install('vivid')}"
INDEX_RECORD_BYTES = 55
"""Size of a connection's index after a chunk, to which each message adds ``INDEX_ENTRY_BYTES``."""
INDEX_ENTRY_BYTES = 12


class Damage(ValueError):
    """Something in a bag that contradicts itself; the message is made for people."""


class Place(NamedTuple):
    """Where a message lies in its bag, as plain data."""

    chunk_at: int
    """Byte of the file at which the chunk's content begins."""
    chunk_bytes: int
    compression: str
    """The compression of the chunk: none, lz4 or bz2."""
    offset: int
    """Byte of the chunk's (decompressed) content at which the message's record begins."""
    connection: int
    recorded_ns: int
    """Time at which the message was recorded, not that of its measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic of a bag."""

    message_type: str
    """Name of the type as in ROS1, package/Type."""
    definition_md5: str
    places: list[Place]
    """Places of the topic's messages, in the order in which they were recorded."""


@contextmanager
def reading(path: Path, what: str = "") -> Iterator[None]:
    """Turn any exception that a damaged bag causes into a sentence that names ``what``, a topic or message."""
    try:
        yield
    except CrossplaceError:
        raise
    except ImportError as error:
        raise CrossplaceError(NEEDED) from error
    except Exception as error:  # depends on the damage: ReaderError, SerdeError, AssertionError, OSError …
        if isinstance(error, OSError) and error.errno:
            raise unreadable(path, error) from error
        place = f"{path}: {what}" if what else f"{path}"
        raise CrossplaceError(f"{place}: not readable as a ROS1 bag ({_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    """What is wrong with a bag, and the cure; the words of libraries are not for people."""
    again = "fetch it again, or try `rosbag reindex` on a copy of it"
    if isinstance(error, Damage):
        return f"{error}); {again}"
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start != MAGIC:
        what = "it does not begin as bags of version 2.0 do" if start else "the file is empty"
        return f"{what}); fetch it again, or convert it to a ROS1 bag"
    if "not indexed" in str(error):
        return f"it is not indexed, because its recording was not finished); {again}"
    return f"the file is cut off or damaged); {again}"


def topics_of(path: Path) -> dict[str, Topic]:
    """Every topic of the bag at ``path`` with the places of its messages; only the index is read.

    Raises:
        CrossplaceError: the bag is not whole, its index does not cover all of the file, or the extra is not installed.
    """
    with reading(path):
        from rosbags.rosbag1 import Reader
        from rosbags.typesys.msg import denormalize_msgtype

        with Reader(path) as reader:
            _check_index(path, reader)
            topics: dict[str, Topic] = {}
            for name, info in reader.topics.items():
                kinds = {(connection.msgtype, connection.digest) for connection in info.connections}
                if len(kinds) != 1:
                    raise CrossplaceError(f"{path}: {name}: messages of several types; expected one a topic")
                ((message_type, md5),) = kinds
                places = [place for connection in info.connections for place in _places(reader, connection.id)]
                topics[name] = Topic(
                    message_type=denormalize_msgtype(message_type),
                    definition_md5=md5,
                    places=sorted(places, key=lambda place: place.recorded_ns),
                )
            return topics


def _places(reader: "Reader", connection: int) -> Iterator[Place]:
    names = {function: name for name, function in _decompressors().items()}
    for recorded_ns, chunk_at, offset in reader.indexes[connection]:
        chunk = reader.chunks[chunk_at]
        yield Place(chunk.datapos, chunk.datasize, names[chunk.decompressor], offset, connection, recorded_ns)


def _decompressors() -> dict[str, Any]:
    from rosbags.rosbag1.reader import decompressors

    return decompressors


def _check_index(path: Path, reader: "Reader") -> None:
    """Refuse an index that leaves out a part of the file, or contradicts itself: messages would be lost silently."""
    with path.open("rb") as file:
        index_at, at = _landmarks(file)
    counted = {connection.id: 0 for connection in reader.connections}
    for info in sorted(reader.chunk_infos, key=lambda info: info.pos):
        if info.pos != at:
            raise Damage(f"the index knows a chunk at byte {info.pos}, not the one expected at {at}")
        at = reader.chunks[info.pos].datapos + reader.chunks[info.pos].datasize
        for connection, count in info.connection_counts.items():
            counted[connection] += count
            at += INDEX_RECORD_BYTES + INDEX_ENTRY_BYTES * count
    if at != index_at:
        raise Damage(f"the index knows the file up to byte {at} of {index_at}")
    if {connection: len(entries) for connection, entries in reader.indexes.items()} != counted:
        raise Damage("the index of the file and those of its chunks count different messages")


def _landmarks(file: IO[bytes]) -> tuple[int, int]:
    """The byte at which the index begins, and the byte at which the bag's padded header ends."""
    from rosbags.rosbag1.reader import Header, RecordType, read_uint32

    file.seek(len(MAGIC))
    header = Header.read(file, RecordType.BAGHEADER)
    padding = read_uint32(file)
    return header.get_uint64("index_pos"), file.tell() + padding


def index_sha256(path: Path) -> str:
    """The SHA-256 of the bag's header and index: topics, and place, time and message count of every chunk."""
    with reading(path), path.open("rb") as file:
        index_at, first_chunk_at = _landmarks(file)
        file.seek(0)
        digest = hashlib.sha256(file.read(first_chunk_at))
        file.seek(index_at)
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()


@lru_cache(maxsize=8)
def _decompressed(path: Path, at: int, n_bytes: int, compression: str) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        content: bytes = _decompressors()[compression](file.read(n_bytes))
    return content


def read_message(path: Path, file: IO[bytes], place: Place, at_most: int | None = None) -> bytes:
    """The serialized message at ``place`` of the bag at ``path``, opened as ``file``; or its first ``at_most`` bytes.

    The exceptions of a damaged bag are those that :func:`reading` turns into a sentence.
    """
    from rosbags.rosbag1.reader import Header, RecordType, read_bytes, read_uint32

    source, start, end = file, place.chunk_at, place.chunk_at + place.chunk_bytes
    if place.compression != "none":
        chunk = _decompressed(path, *place[:3])
        source, start, end = io.BytesIO(chunk), 0, len(chunk)
    source.seek(start + place.offset)
    while (kind := (header := Header.read(source)).get_uint8("op")) == RecordType.CONNECTION:
        source.seek(read_uint32(source), io.SEEK_CUR)
    if kind != RecordType.MSGDATA:
        raise Damage(f"a record of type {kind} where a message is expected")
    if (header.get_uint32("conn"), header.get_time("time")) != (place.connection, place.recorded_ns):
        raise Damage("another message than the index says")
    n_bytes = read_uint32(source)
    if source.tell() + n_bytes > end:
        raise Damage("the message goes on beyond its chunk")
    content: bytes = read_bytes(source, n_bytes if at_most is None else min(n_bytes, at_most))
    return content
