"""A server on this machine that behaves as a public store does, and misbehaves as networks do.

It honours Range, If-Range, If-Match and If-None-Match. ``faults`` says what goes wrong with each request.
"""

import hashlib
import io
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import numpy as np

RANGE = re.compile(r"bytes=(\d+)-(\d*)")
PASSING = ("503", "500", "429", "reset", "truncated", "corrupted", "slow", "redirect", "stall", "dated")
"""Faults that a patient client survives."""
LASTING = ("404", "403", "no etag", "loop", "text")
"""Faults that end in a sentence if every try meets them, or at once."""


@dataclass
class Seen:
    """One request."""

    path: str
    headers: dict[str, str]


class HttpStore:
    """Files by path (``/a/b``), the requests so far, and what to do wrong."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files or {}
        self.fault: Callable[[str, int], str] = lambda path, number: ""
        """The fault of the request of this path and number (of all requests); empty for none."""
        self.pause_s = 0.0
        """Time between the two halves of every body."""
        self.silence_s = 0.5
        """How long a connection that hangs says nothing."""
        self.retry_after = "0"
        self.ignores_ranges = self.ignores_conditions = False
        self.seen: list[Seen] = []
        self.address = ""
        self.lock = Lock()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of ``files``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, method)
    return buffer.getvalue()


@contextmanager
def serving(store: HttpStore) -> Iterator[HttpStore]:
    """Serve ``store`` on a port of its own; its address is set."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": store}))
    server.daemon_threads = True
    store.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    store: HttpStore
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = re.sub(r"^http://[^/]*", "", self.path)  # as a proxy gets it
        with self.store.lock:
            number = len(self.store.seen)
            self.store.seen.append(Seen(path, {key.lower(): value for key, value in self.headers.items()}))
            fault = "" if path.startswith("/elsewhere") else self.store.fault(path, number)
        try:
            self._answer(path.removeprefix("/elsewhere"), fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _answer(self, path: str, fault: str) -> None:
        content = self.store.files.get(path)
        if fault in ("503", "500", "429"):
            return self._reply(int(fault), b"busy", {"Retry-After": self.store.retry_after} if fault == "503" else {})
        if fault == "dated":
            return self._reply(503, b"busy", {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"})
        if fault in ("404", "403") or content is None:
            return self._reply(int(fault or 404), b"<Error/>", {})
        if fault == "text":
            return self._reply(200, b"<html>Please log in</html>", {})
        if fault in ("redirect", "loop"):
            return self._reply(302, b"", {"Location": ("/elsewhere" if fault == "redirect" else "") + path})
        if fault == "reset":
            self.close_connection = True
            return None
        if fault == "stall":
            time.sleep(self.store.silence_s)
            self.close_connection = True
            return None
        return self._send(content, fault)

    def _send(self, content: bytes, fault: str) -> None:
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        given = self.headers
        headers = {} if fault == "no etag" else {"ETag": etag}
        heeded = not self.store.ignores_conditions
        if given.get("If-None-Match") == etag:
            return self._reply(304, b"", headers)
        if heeded and given.get("If-Match", etag) != etag:
            return self._reply(412, b"", headers)
        status, body = 200, content
        asked = None if self.store.ignores_ranges else RANGE.fullmatch(given.get("Range", ""))
        if asked and (given.get("If-Range", etag) == etag or not heeded):
            first = int(asked[1])
            if first >= len(content):
                return self._reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            last = min(int(asked[2] or len(content)), len(content) - 1)
            status, body = 206, content[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        if fault == "corrupted" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        return self._reply(status, body, headers, fault)

    def _reply(self, status: int, body: bytes, headers: dict[str, str], fault: str = "") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2
        self.wfile.write(body[:half])
        if fault == "truncated":
            self.close_connection = True
            return
        if fault == "slow" or self.store.pause_s:
            self.wfile.flush()
            time.sleep(self.store.silence_s if fault == "slow" else self.store.pause_s)
        self.wfile.write(body[half:])


def content_of(name: str, n_bytes: int) -> bytes:
    """Bytes that depend on ``name`` alone."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).bytes(n_bytes)
