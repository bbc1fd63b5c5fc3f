"""Members of archives on a server, against Python's own reader."""

import io
import zipfile
from collections.abc import Callable

import pytest
from http_store import HttpStore, content_of, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.errors import CrossplaceError
from datasets.fetching.remote_zip import RemoteZip
from datasets.fetching.transfer import Transfer

NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\\"), min_size=1, max_size=20)
COMMENTS = st.binary(max_size=30).filter(lambda comment: b"PK\x05\x06" not in comment)
"""zipfile itself takes the mark of an end for the end."""
FILES = st.dictionaries(NAMES, st.binary(max_size=400), max_size=6)
METHODS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])


def archive(
    files: dict[str, bytes], method: int, *, comment: bytes = b"", before: bytes = b"", limit: int | None = None
) -> bytes:
    """An archive by ``zipfile``, which writes zip64 for sizes above ``limit``."""
    buffer, usual = io.BytesIO(), zipfile.ZIP64_LIMIT
    buffer.write(before)
    written = zipfile.ZipFile(buffer, "a" if before else "w", method)
    written.comment = comment
    for name, content in files.items():
        written.writestr(name, content)
    zipfile.ZIP64_LIMIT = usual if limit is None else limit  # type: ignore[misc]
    try:
        written.close()  # which writes the central directory
    finally:
        zipfile.ZIP64_LIMIT = usual  # type: ignore[misc]
    return buffer.getvalue()


def opened(transfer: Transfer, server: HttpStore, content: bytes) -> RemoteZip:
    server.files["/a.zip"] = content
    return RemoteZip.read(transfer, f"{server.address}/a.zip")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES, METHODS, COMMENTS, st.binary(max_size=30), st.sampled_from([None, 0, 100]))
def test_members_are_those_that_zipfile_reads(
    transfer: Transfer, server: HttpStore, files: dict[str, bytes], method: int, comment: bytes, before: bytes,
    limit: int | None,
) -> None:  # fmt: skip
    content = archive(files, method, comment=comment, before=before, limit=limit)
    found = opened(transfer, server, content)
    with zipfile.ZipFile(io.BytesIO(content)) as own:
        assert sorted(found.members) == sorted(own.namelist())
        for name in own.namelist():
            assert found.content(transfer, name) == own.read(name)


def test_zip64_numbers_are_read(transfer: Transfer, server: HttpStore) -> None:
    """What an archive of more than 4 GB has at its end: numbers too large for 32 bits."""
    content = archive({"a": b"one" * 50, "b": b"two" * 50}, zipfile.ZIP_STORED, limit=10)
    assert b"PK\x06\x06" in content
    assert opened(transfer, server, content).content(transfer, "b") == b"two" * 50


def test_an_archive_of_many_members_is_read_in_few_requests(transfer: Transfer, server: HttpStore) -> None:
    """A central directory that does not fit into the tail is one more request; a member is one."""
    files = {f"dataset/sequences/00/velodyne/{row:06d}.bin": bytes([row % 256]) * 9 for row in range(3000)}
    found = opened(transfer, server, zipped(files))
    assert len(server.seen) == 3
    assert len(found.members) == 3000
    assert found.content(transfer, "dataset/sequences/00/velodyne/001234.bin") == bytes([1234 % 256]) * 9
    assert len(server.seen) == 4


def test_a_member_that_arrives_damaged_is_asked_for_again(transfer: Transfer, server: HttpStore) -> None:
    found = opened(transfer, server, zipped({"a": content_of("a", 5000)}))
    asked = len(server.seen)
    server.fault = lambda path, number: {asked: "corrupted", asked + 1: "truncated"}.get(number, "")
    assert found.content(transfer, "a") == content_of("a", 5000)
    assert len(server.seen) == asked + 3


def test_an_archive_that_changed_is_refused_and_read_anew(transfer: Transfer, server: HttpStore) -> None:
    found = opened(transfer, server, zipped({"a": b"old"}))
    server.files["/a.zip"] = zipped({"a": b"new!"})
    with pytest.raises(CrossplaceError, match="changed on the server while it was read; give the same command again"):
        found.content(transfer, "a")
    assert RemoteZip.read(transfer, found.url).content(transfer, "a") == b"new!"


def with_byte(at: Callable[[bytes], int], value: int) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        place = at(content)
        return content[:place] + bytes([value]) + content[place + 1 :]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content[:-30], "no end record"),
        (lambda content: b"<html>", "no end record"),
        (lambda content: content[40:], "cut off"),
        (with_byte(lambda content: content.index(b"PK\x01\x02"), 0), "central directory is damaged"),
        (with_byte(lambda content: content.index(b"PK\x01\x02") + 8, 1), "encrypted"),
        (with_byte(lambda content: content.rindex(b"PK\x05\x06") + 10, 9), "cut off|damaged|requires"),
    ],
)
def test_what_is_no_archive_is_refused_by_its_address(
    change: Callable[[bytes], bytes], said: str, transfer: Transfer, server: HttpStore
) -> None:
    good = zipped({"a": b"content"})
    with pytest.raises(CrossplaceError, match=rf"^{server.address}/a.zip: .*({said}).*--mirror"):
        opened(transfer, server, change(good))
    assert opened(transfer, server, good).content(transfer, "a") == b"content"


def test_members_that_are_not_there_or_packed_otherwise(transfer: Transfer, server: HttpStore) -> None:
    found = opened(transfer, server, zipped({"a": b"content"}, zipfile.ZIP_BZIP2))
    with pytest.raises(CrossplaceError, match="no member b; found 1 others"):
        found.content(transfer, "b")
    with pytest.raises(CrossplaceError, match="compressed in a way that is not read"):
        found.content(transfer, "a")


def test_a_wrong_checksum_in_the_archive_itself_ends_in_a_sentence(transfer: Transfer, server: HttpStore) -> None:
    good = zipped({"a": b"content"})
    wrong = good.replace(b"content", b"kontent")
    with pytest.raises(CrossplaceError, match="CRC-32 that the archive says, 4 times"):
        opened(transfer, server, wrong).content(transfer, "a")
