"""Bytes over HTTP: patient with a server that stumbles, strict about what it sends, and quick to say what is hopeless.

What was received before a connection broke is kept for the next try. A reply counts only if its length and, where the
server's ETag is one, its MD5 are right.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event
from types import TracebackType
from typing import TypeVar

import httpx2

from datasets.errors import CrossplaceError

T = TypeVar("T")
MD5 = re.compile(r"[0-9a-f]{32}")
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Statuses that may be others a moment later."""
HOPELESS = {
    400: "the server does not understand the request; look at the address (--mirror)",
    401: "the server asks for an account; look at the address (--mirror)",
    403: "the server refuses it, as some stores do with files that are not there; look at the address in a browser, "
    "and leave the run out (--runs) if it is refused there too",
    404: "it is not there; look at the address in a browser, and leave the run out (--runs) if it is gone",
    407: "the proxy asks for a password; give it in the address of the proxy (HTTPS_PROXY)",
    410: "it was taken away; leave the run out (--runs)",
}
"""What cannot be mended by asking again, and what a person can do."""
LATER = "give the same command again later: what is fetched stays"
AGAIN = "give the same command again: what is fetched stays"


class Hiccup(Exception):
    """What went wrong with one try, in words; another try may succeed."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s
        """The time that the server asks to wait; none if it does not."""


class _Unchanged(Exception):
    """The file at the server is the one that is here."""


class Stopped(Exception):
    """Another connection has failed for good, so this one need not go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a request is made, and how long to wait in between; each wait is twice as long as the one before."""

    tries: int = 6
    first_s: float = 1.0
    most_s: float = 60.0
    longest_asked_s: float = 300.0
    """A server that asks to wait for longer (Retry-After) ends the command."""
    silence_s: float = 30.0
    """A connection on which nothing arrives for so long is given up."""

    def wait_s(self, failures: int) -> float:
        """The wait after so many failures."""
        return min(self.first_s * 2.0 ** (failures - 1), self.most_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a server sent: a whole file, or the asked part of one."""

    data: bytes
    etag: str
    """The file's ETag without quotes; empty if the server gave none, or only a weak one."""
    total: int
    """Bytes of the whole file."""


@dataclass(slots=True)
class _Partial:
    """What has arrived so far of bytes ``start`` to ``stop`` (or to the end) of a file."""

    start: int
    stop: int | None
    most: int
    etag: str = ""
    total: int | None = None
    data: bytearray = field(default_factory=bytearray)

    def headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if self.stop is not None or self.data:
            end = "" if self.stop is None else str(self.stop - 1)
            headers["Range"] = f"bytes={self.start + len(self.data)}-{end}"
        if self.etag:
            headers["If-Range" if self.stop is None else "If-Match"] = f'"{self.etag}"'
        return headers

    def begin(self, reply: httpx2.Response) -> None:
        """Take the head of a reply, which either goes on where this ends or starts from the first byte."""
        etag, length = _etag(reply), _length(reply)
        if reply.status_code == 206:
            found = CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
            if not found or int(found[1]) != self.start + len(self.data):
                self.forget()
                raise Hiccup("the server sent other bytes than those asked for")
            self._is_still(etag, int(found[3]))
            self.etag, self.total = etag, int(found[3])
            return
        if self.stop is not None:
            raise CrossplaceError(
                "the server sends whole files only, and this one is far too large; take another address (--mirror)"
            )
        self.forget()
        self.etag, self.total = etag, length

    def _is_still(self, etag: str, total: int) -> None:
        if (self.etag and etag != self.etag) or (self.total is not None and total != self.total):
            self.forget()
            raise _changed() if self.stop is not None else Hiccup("the file changed on the server")

    def forget(self) -> None:
        self.data.clear()
        if self.stop is None:
            self.etag, self.total = "", None

    @property
    def expected(self) -> int | None:
        """How many bytes there must be in the end."""
        if self.total is None:
            return None
        return (self.total if self.stop is None else min(self.stop, self.total)) - self.start

    def check_size(self) -> None:
        """Refuse a file that is far larger than any of its kind, before it fills the memory."""
        if len(self.data) > self.most or (self.expected or 0) > self.most:
            raise CrossplaceError(
                f"the server has {max(self.expected or 0, len(self.data)):,} bytes, and no such file has more than "
                f"{self.most:,}; look at the address (--mirror)"
            )


class Transfer:
    """One store's connections, shared by threads; proxies come from HTTPS_PROXY, HTTP_PROXY and NO_PROXY."""

    def __init__(
        self, *, connections: int = 8, patience: Patience | None = None, pause: Callable[[float], object] | None = None
    ) -> None:
        self.patience = patience or Patience()
        self.stopped = Event()
        """Set when a file has failed for good: other threads end at their next step."""
        self._pause = pause or self.stopped.wait
        try:
            self._client = httpx2.Client(
                follow_redirects=True,
                timeout=httpx2.Timeout(self.patience.silence_s, pool=None),
                limits=httpx2.Limits(max_connections=connections),
                headers={"User-Agent": "crossplace"},
            )
        except (ValueError, ImportError) as error:
            raise CrossplaceError(
                f"the address of the proxy cannot be used ({error}); correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, "
                "such as http://proxy.example.org:3128"
            ) from error

    def __enter__(self) -> "Transfer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def file(self, url: str, *, most: int, unless_md5: str = "") -> Content | None:
        """The whole file at ``url``; none if the server says that its MD5 is ``unless_md5``.

        ``most`` is a number of bytes that no such file exceeds.

        Raises:
            CrossplaceError: it is not there, or still wrong after all tries; the sentence begins with the address.
        """
        got = _Partial(0, None, most)
        condition = {"If-None-Match": f'"{unless_md5}"'} if unless_md5 else {}

        def attempt() -> Content | None:
            try:
                return self._try(url, got, condition if not got.data else {}, _whole)
            except _Unchanged:
                return None

        return self._persist(url, attempt)

    def part(self, url: str, start: int, stop: int, *, etag: str = "") -> Content:
        """Bytes ``start`` up to, but not including, ``stop`` of the file at ``url``; with ``etag`` it is still that.

        Raises:
            CrossplaceError: as for :meth:`file`; or the file has changed since ``etag`` was seen.
        """
        return self.checked_part(url, start, stop, etag, lambda content: content)

    def checked_part(self, url: str, start: int, stop: int, etag: str, check: Callable[[Content], T]) -> T:
        """The same bytes as ``check`` makes of them, which raises :class:`Hiccup` if they are damaged."""
        got = _Partial(start, stop, stop - start, etag)
        return self._persist(url, lambda: self._try(url, got, {}, check))

    # --- one request after the other ---------------------------------------------------------------

    def _persist(self, url: str, attempt: Callable[[], T]) -> T:
        """What ``attempt`` returns, at the first try at which it does."""
        failures = 0
        while True:
            if self.stopped.is_set():
                raise Stopped
            try:
                return attempt()
            except CrossplaceError as error:
                raise CrossplaceError(f"{url}: {error}") from error
            except Hiccup as hiccup:
                failures += 1
                if failures == self.patience.tries:
                    raise CrossplaceError(f"{url}: {hiccup}, {failures} times; {LATER}") from hiccup
                if (hiccup.wait_s or 0) > self.patience.longest_asked_s:
                    raise CrossplaceError(
                        f"{url}: {hiccup}, and the server asks to wait {hiccup.wait_s:,.0f} s; {LATER}"
                    ) from hiccup
                self._pause(self.patience.wait_s(failures) if hiccup.wait_s is None else hiccup.wait_s)

    def _try(self, url: str, got: _Partial, condition: dict[str, str], check: Callable[[Content], T]) -> T:
        try:
            with self._client.stream("GET", url, headers=got.headers() | condition) as reply:
                _judge(reply, got)
                got.begin(reply)
                got.check_size()
                for piece in reply.iter_raw():
                    got.data += piece
                    got.check_size()
                    if self.stopped.is_set():
                        raise Stopped
        except httpx2.TooManyRedirects as error:
            raise CrossplaceError("the server sends from one address to another without end; see --mirror") from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise CrossplaceError(f"no address of the web ({error}); correct --mirror, or the proxy's") from error
        except httpx2.TransportError as error:
            raise Hiccup(_in_words(error)) from error
        return check(_complete(got))


def _complete(got: _Partial) -> Content:
    """What has arrived, if it is all; else a hiccup, after which the next try goes on from there or begins anew."""
    expected = got.expected
    if expected is not None and len(got.data) < expected:
        raise Hiccup(f"the connection ended after {len(got.data):,} of {expected:,} bytes")
    data = bytes(got.data)
    got.data.clear()  # whatever is found wrong now is no fault of the connection
    if expected is not None and len(data) > expected:
        raise Hiccup(f"the server sent {len(data):,} bytes instead of {expected:,}")
    return Content(data=data, etag=got.etag, total=len(data) if got.total is None else got.total)


def _whole(content: Content) -> Content:
    """The content of a whole file, if it has the MD5 that the server gives as its ETag."""
    if not content.etag:
        raise CrossplaceError(
            "the reply has no ETag, so it cannot be checked and is hardly the store's; look at the address in a "
            "browser, for a page of the proxy or of a login"
        )
    if MD5.fullmatch(content.etag) and md5_of(content.data) != content.etag:
        raise Hiccup("the bytes do not have the MD5 that the server gives")
    return content


def md5_of(data: bytes) -> str:
    """The MD5 of ``data`` in hexadecimal, as stores give it: it finds damage, and protects from no attack."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _judge(reply: httpx2.Response, got: _Partial) -> None:
    """Raise what the status of a reply means, unless it brings bytes."""
    status = reply.status_code
    if status == 304:
        raise _Unchanged
    if status in (200, 206):
        if reply.headers.get("content-encoding", "identity") != "identity":
            raise Hiccup("the server sent the file in another encoding than asked for")
        return
    if status == 412:
        raise _changed()
    if status == 416 and got.data:
        got.forget()
        raise Hiccup("the file changed on the server")
    if status in PASSING:
        raise Hiccup(f"the server answers {status}", _asked_wait_s(reply.headers.get("retry-after", "")))
    raise CrossplaceError(f"status {status}: {HOPELESS.get(status, f'look at the address in a browser, or {LATER}')}")


def _changed() -> CrossplaceError:
    return CrossplaceError(f"the archive changed on the server while it was read; {AGAIN}")


def _etag(reply: httpx2.Response) -> str:
    """The ETag without quotes; a weak one, which does not name bytes, counts as none."""
    text = reply.headers.get("etag", "")
    return text[1:-1] if re.fullmatch(r'"[\x21\x23-\x7e]+"', text) else ""


def _length(reply: httpx2.Response) -> int | None:
    text = reply.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _asked_wait_s(text: str) -> float | None:
    """The wait that ``Retry-After`` asks for: seconds, or a date."""
    if text.strip().isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _in_words(error: httpx2.TransportError) -> str:
    """What kept a request from being answered."""
    words = {
        httpx2.ConnectTimeout: "the server cannot be reached in time",
        httpx2.TimeoutException: "nothing arrived for too long",
        httpx2.ProxyError: "the proxy refuses the connection (HTTPS_PROXY, HTTP_PROXY)",
        httpx2.ConnectError: "no connection to the server (is there a network? is a proxy needed: HTTPS_PROXY?)",
    }
    return next((said for kind, said in words.items() if isinstance(error, kind)), "the connection broke")
