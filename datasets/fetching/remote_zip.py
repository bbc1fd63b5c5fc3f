"""Single members of a zip archive on a server, by range requests; the archive itself is never fetched.

The central directory at the end says where each member is. Members are stored or deflated; archives of more than 4 GB
(zip64) and those with bytes before their first member are read too. Source: PKWARE's APPNOTE.TXT, version 6.3.10.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from datasets.errors import CrossplaceError
from datasets.fetching.transfer import Hiccup, Transfer

END, END_64, LOCATOR_64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
ENTRY, LOCAL = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s5H3L2H")
LONGEST_COMMENT = 0xFFFF
IN_EXTRA, ZIP64 = 0xFFFFFFFF, 0x0001
ENCRYPTED, UTF_8 = 0x1, 0x800
STORED, DEFLATED = 0, 8
NOT_READ = "take another address (--mirror)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of an archive, and where it is."""

    name: str
    method: int
    crc32: int
    stored_bytes: int
    n_bytes: int
    start: int
    """Where its local header begins."""
    stop: int
    """Where the next member, or the central directory, begins."""


@dataclass(frozen=True, kw_only=True)
class RemoteZip:
    """An archive whose central directory has been read."""

    url: str
    etag: str
    members: dict[str, Member]

    @classmethod
    def read(cls, transfer: Transfer, url: str) -> "RemoteZip":
        """Read the central directory; raises :class:`CrossplaceError`, which begins with the address."""
        head = transfer.part(url, 0, 1)
        first = max(0, head.total - END.size - LONGEST_COMMENT - LOCATOR_64.size - END_64.size)
        tail = transfer.part(url, first, head.total, etag=head.etag).data
        try:
            end = _end(tail, first)
            begin = end.directory_at - first
            directory = tail[begin : begin + end.directory_bytes] if begin >= 0 else b""
            if begin < 0:
                stop = end.directory_at + end.directory_bytes
                directory = transfer.part(url, end.directory_at, stop, etag=head.etag).data
            members = {member.name: member for member in _members(directory, end)}
        except (ValueError, struct.error) as error:
            raise CrossplaceError(f"{url}: no zip archive that can be read ({error}); {NOT_READ}") from error
        return cls(url=url, etag=head.etag, members=members)

    def member(self, name: str) -> Member:
        """The member called ``name``."""
        if name not in self.members:
            raise CrossplaceError(f"{self.url}: no member {name}; found {len(self.members):,} others; {NOT_READ}")
        return self.members[name]

    def content(self, transfer: Transfer, name: str) -> bytes:
        """The bytes of a member, checked by its length and CRC-32."""
        member = self.member(name)
        if member.method not in (STORED, DEFLATED):
            raise CrossplaceError(f"{self.url}: {name} is compressed in a way that is not read; {NOT_READ}")
        return transfer.checked_part(
            self.url, member.start, member.stop, self.etag, lambda content: unpacked(content.data, member)
        )


def unpacked(data: bytes, member: Member) -> bytes:
    """The content of a member from its local header on; raises :class:`Hiccup` if anything is wrong with it."""
    try:
        signature, *_, name_bytes, extra_bytes = LOCAL.unpack_from(data)
        if signature != b"PK\x03\x04":
            raise Hiccup(f"{member.name} does not begin where the archive says")
        stored = data[LOCAL.size + name_bytes + extra_bytes :][: member.stored_bytes]
        content = stored if member.method == STORED else zlib.decompressobj(-15).decompress(stored, member.n_bytes + 1)
    except (struct.error, zlib.error) as error:
        raise Hiccup(f"{member.name} is damaged") from error
    if len(content) != member.n_bytes or zlib.crc32(content) != member.crc32:
        raise Hiccup(f"{member.name} does not have the length and the CRC-32 that the archive says")
    return content


# --- the end of an archive ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _End:
    """What the end of an archive says about its central directory."""

    entries: int
    directory_at: int
    directory_bytes: int
    before: int
    """Bytes before the first member that the archive's own numbers do not count."""


def _end(tail: bytes, first: int) -> _End:
    """What the end says; ``tail`` are the last bytes of the archive, from ``first`` on."""
    at = _place_of_end(tail)
    *_, entries, size, begin, _ = END.unpack_from(tail, at)
    locator = at - LOCATOR_64.size
    if locator >= 0 and tail.startswith(b"PK\x06\x07", locator):
        at = locator - END_64.size
        if at < 0 or not tail.startswith(b"PK\x06\x06", at):
            raise ValueError("its zip64 end is not where it must be")
        *_, entries, size, begin = END_64.unpack_from(tail, at)
    directory_at = first + at - size
    if directory_at < begin:
        raise ValueError("it is cut off")
    return _End(entries, directory_at, size, directory_at - begin)


def _place_of_end(tail: bytes) -> int:
    """Where the end record begins, which only a comment of the stated length may follow."""
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + END.size <= len(tail) and at + END.size + END.unpack_from(tail, at)[-1] == len(tail):
            return at
        at = tail.rfind(b"PK\x05\x06", 0, at)
    raise ValueError("it has no end record")


def _members(directory: bytes, end: _End) -> Iterator[Member]:
    """The members in the order in which they lie in the archive."""
    entries = sorted(_entries(directory, end), key=lambda entry: entry.start)
    starts = [*(entry.start for entry in entries), end.directory_at]
    for entry, stop in zip(entries, starts[1:], strict=True):
        yield replace(entry, stop=stop)


def _entries(directory: bytes, end: _End) -> Iterator[Member]:
    """The entries of the central directory, which do not say where a member stops."""
    at = 0
    for _ in range(end.entries):
        fields = ENTRY.unpack_from(directory, at)
        flags, method, crc32, stored_bytes, n_bytes = fields[3], fields[4], *fields[7:10]
        name_bytes, extra_bytes, comment_bytes, start = *fields[10:13], fields[-1]
        if fields[0] != b"PK\x01\x02":
            raise ValueError("its central directory is damaged")
        if flags & ENCRYPTED:
            raise ValueError("it is encrypted")
        at += ENTRY.size
        name, extra = directory[at : at + name_bytes], directory[at + name_bytes :][:extra_bytes]
        at += name_bytes + extra_bytes + comment_bytes
        n_bytes, stored_bytes, start = _in_64_bits(extra, [n_bytes, stored_bytes, start])
        yield Member(
            name=name.decode("utf-8" if flags & UTF_8 else "cp437"),
            method=method,
            crc32=crc32,
            stored_bytes=stored_bytes,
            n_bytes=n_bytes,
            start=start + end.before,
            stop=0,
        )
    if at > len(directory):
        raise ValueError("its central directory is cut off")


def _in_64_bits(extra: bytes, values: list[int]) -> list[int]:
    """The values, of which those too large for 32 bits stand in the zip64 part of the extra field, in their order."""
    while len(extra) >= 4:
        kind, n_bytes = struct.unpack_from("<2H", extra)
        if kind == ZIP64:
            large = iter(struct.unpack_from(f"<{min(n_bytes, len(extra) - 4) // 8}Q", extra, 4))
            return [next(large, value) if value == IN_EXTRA else value for value in values]
        extra = extra[4 + n_bytes :]
    return values
