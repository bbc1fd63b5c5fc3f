"""A server on this machine, and a client that does not wait long."""

from collections.abc import Iterator

import pytest
from http_store import HttpStore, serving

from datasets.fetching.transfer import Patience, Transfer


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[HttpStore]:
    with serving(HttpStore()) as store:
        yield store


@pytest.fixture
def pauses() -> list[float]:
    """The waits that the client was told to make, none of which it makes."""
    return []


@pytest.fixture
def transfer(pauses: list[float]) -> Iterator[Transfer]:
    with Transfer(connections=4, patience=Patience(tries=4, silence_s=0.2), pause=pauses.append) as client:
        yield client
