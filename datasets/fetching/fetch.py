"""From a wish to a folder of files that are whole: tables first, then the frames that they name, several at a time."""

import hashlib
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock

from datasets.errors import CrossplaceError
from datasets.fetching.manifest import Entry, Manifest
from datasets.fetching.remote_zip import RemoteZip
from datasets.fetching.store import MB, Item, Store, Wish, size
from datasets.fetching.transfer import Transfer, md5_of
from datasets.files import locked, unreadable, write_atomically, writing
from datasets.origin import Origin, is_stated, write_origin

REMEMBER_S = 5.0
"""The manifest is written this often, and at the end."""


def announcement(store: Store, wish: Wish, folder: Path) -> list[str]:
    """What would be fetched, from where, under which licence: lines for a person to read before the first byte."""
    runs = store.chosen(wish.runs)
    about, most = size(store.usual_bytes(wish)), size(store.most_bytes(wish))
    return [
        f"dataset   {store.dataset}: {wish.in_words()} of {len(runs)} runs",
        *(f"run       {run} ({store.parts[run].condition})" for run in runs),
        f"size      about {about}, at most {most}, in up to {store.most_frames(wish):,} pairs of files",
        f"from      {store.at}",
        f"to        {folder}",
        f"licence   {store.licence}; terms: {store.terms}",
        f"cite      {store.citation}",
    ]


def check_room(store: Store, wish: Wish, folder: Path) -> None:
    """Refuse a wish that the disk has no room for."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with writing(folder):
        free = shutil.disk_usage(there).free
    found = Manifest.found(folder)
    needed = max(0, store.most_bytes(wish) - (found.n_bytes if found else 0))
    if free < needed:
        raise CrossplaceError(
            f"{folder}: up to {size(needed)} are to come and {size(free)} are free; free space, name a folder on "
            "another disk (--to), or wish for less (--runs, --limit-m, --spacing)"
        )


@contextmanager
def fetching(
    store: Store, wish: Wish, folder: Path, transfer: Transfer, *, connections: int = 8
) -> Iterator["Fetching"]:
    """Hold ``folder`` while ``wish`` is fetched into it, which :class:`Fetching` does in two parts.

    Raises:
        CrossplaceError: the disk has no room, or the folder holds something else.
    """
    check_room(store, wish, folder)
    with locked(folder):
        manifest = Manifest.of(folder, store.dataset, store.licence, store.citation)
        manifest.is_complete = False
        if not is_stated(folder):
            write_origin(folder, Origin(is_synthetic=False, note="fetched in part, and not finished"))
        yield Fetching(store, wish, folder, transfer, manifest, connections)


@dataclass
class Fetching:
    """The files of one command, and what is known about those that are there.

    Files are written whole or not at all. Files of an earlier command that still have their hashes are not fetched
    again; tables are compared with the store's. The first file that cannot be had ends all, and is an error; what was
    fetched before stays, and is in the manifest.
    """

    store: Store
    wish: Wish
    folder: Path
    transfer: Transfer
    manifest: Manifest
    connections: int
    archives: dict[str, RemoteZip] = field(default_factory=dict)
    reading: Lock = field(default_factory=Lock)
    bytes_per_s: float = 0.0
    """How fast the tables came."""

    @cached_property
    def runs(self) -> list[str]:
        """The runs that are fetched."""
        return self.store.chosen(self.wish.runs)

    @cached_property
    def table_items(self) -> list[Item]:
        """The files that say which frames there are."""
        return [item for run in self.runs for item in self.store.tables(run)]

    @cached_property
    def frame_items(self) -> list[Item]:
        """Images and clouds; the tables must be there."""
        return [item for run in self.runs for item in self.store.frames(run, self.wish, self.folder)]

    def tables(self) -> Iterator[Item]:
        """Fetch the tables; yields each when it is there."""
        began = time.monotonic()
        yield from self._through(self.table_items)
        n_bytes = sum(self.manifest.files[item.path].n_bytes for item in self.table_items)
        self.bytes_per_s = n_bytes / max(time.monotonic() - began, 1e-3)

    def plan(self) -> str:
        """What is to come, exactly, and about how long it takes; the tables must be there."""
        missing = sum(item.path not in self.manifest.files for item in self.frame_items)
        about_s = missing / 2 * self.store.usual_frame_bytes / max(self.bytes_per_s, 1.0)
        return (
            f"plan      {len(self.frame_items):,} files of frames, {missing:,} of them to come; the tables came at "
            f"{self.bytes_per_s / MB:,.1f} MB/s, so this takes about {about_s / 60:,.0f} min"
        )

    def frames(self) -> Iterator[Item]:
        """Fetch images and clouds; yields each when it is there. In the end the folder says what it holds."""
        yield from self._through(self.frame_items)
        said = f"{', '.join(self.runs)}: {self.wish.in_words()}"
        self.manifest.wishes = [*dict.fromkeys([*self.manifest.wishes, said])]
        note = f"fetched in part ({'; '.join(self.manifest.wishes)})"
        write_origin(self.folder, Origin(is_synthetic=False, note=note))
        self.manifest.is_complete = True
        self.manifest.write(self.folder)

    def _through(self, items: Sequence[Item]) -> Iterator[Item]:
        """Obtain all items, several at a time, in any order."""
        self._clear(items)
        remembered = time.monotonic()
        pool = ThreadPoolExecutor(self.connections)
        waiting = {pool.submit(self._obtain, item): item for item in items}
        try:
            for future in as_completed(waiting):
                self.manifest.files[waiting[future].path] = future.result()
                if time.monotonic() - remembered > REMEMBER_S:
                    self.manifest.write(self.folder)
                    remembered = time.monotonic()
                yield waiting[future]
        except BaseException:
            self.transfer.stopped.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            self.manifest.write(self.folder)

    def _clear(self, items: Sequence[Item]) -> None:
        """Take away what a killed command had begun to write."""
        names: dict[Path, set[str]] = {}
        for item in items:
            path = self.folder / item.path
            names.setdefault(path.parent, set()).add(path.name)
        for folder, of_items in names.items():
            for begun in folder.glob(".*"):
                if begun.name[1:].rpartition(".")[0] in of_items:
                    begun.unlink(missing_ok=True)

    def _obtain(self, item: Item) -> Entry:
        """Have the file of ``item`` in its place, and know its hashes."""
        path, known = self.folder / item.path, self.manifest.files.get(item.path)
        here = _content(path)
        if known and here is not None and not item.is_table and _hash(here) == known.sha256:
            return known
        content, etag = self._from_archive(item, here) if item.member else self._from_server(item, here)
        if content is not here:
            write_atomically(path, content)
        return Entry(url=item.url, member=item.member, n_bytes=len(content), etag=etag, sha256=_hash(content))

    def _from_server(self, item: Item, here: bytes | None) -> tuple[bytes, str]:
        md5 = "" if here is None else md5_of(here)
        found = self.transfer.file(item.url, most=self.store.file_bytes, unless_md5=md5)
        if found is None:
            assert here is not None, "asked only if there is a file to compare"
            return here, md5
        return found.data, found.etag

    def _from_archive(self, item: Item, here: bytes | None) -> tuple[bytes, str]:
        with self.reading:
            if item.url not in self.archives:
                self.archives[item.url] = RemoteZip.read(self.transfer, item.url)
        archive = self.archives[item.url]
        member = archive.member(item.member)
        if here is not None and len(here) == member.n_bytes and zlib.crc32(here) == member.crc32:
            return here, archive.etag
        if member.n_bytes > self.store.file_bytes:
            raise CrossplaceError(f"{item.url}: {item.member} is said to have {size(member.n_bytes)}; see --mirror")
        return archive.content(self.transfer, item.member), archive.etag


def _content(path: Path) -> bytes | None:
    """The bytes of a file that is there."""
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise unreadable(path, error) from error


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
