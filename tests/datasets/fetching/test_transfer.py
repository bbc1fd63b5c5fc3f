"""Bytes over HTTP from a server that stumbles in every way that a network does."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from http_store import PASSING, HttpStore, content_of, serving

from datasets.errors import CrossplaceError
from datasets.fetching.transfer import Transfer, _asked_wait_s, md5_of

CONTENT = content_of("file", 300_000)


@pytest.fixture(autouse=True)
def one_file(server: HttpStore) -> None:
    server.files["/file"] = CONTENT


def first(*faults: str):
    """Faults of the first requests; later ones are answered as they should be."""
    return lambda path, number: faults[number] if number < len(faults) else ""


def fetched(transfer: Transfer, server: HttpStore, **options: str) -> bytes | None:
    found = transfer.file(f"{server.address}/file", most=10**6, **options)
    return found and found.data


def sentence(transfer: Transfer, server: HttpStore) -> str:
    with pytest.raises(CrossplaceError) as caught:
        fetched(transfer, server)
    text = str(caught.value)
    assert text.startswith(f"{server.address}/file: ")
    return text


@pytest.mark.parametrize("fault", PASSING)
def test_passing_faults_cost_tries_and_no_bytes(fault: str, transfer: Transfer, server: HttpStore) -> None:
    server.fault = first(fault, fault)
    assert fetched(transfer, server) == CONTENT
    assert len(server.seen) == (2 if fault == "redirect" else 3)


def test_what_arrived_before_the_connection_broke_is_not_fetched_again(transfer: Transfer, server: HttpStore) -> None:
    server.fault = first("truncated", "truncated")
    assert fetched(transfer, server) == CONTENT
    assert [seen.headers.get("range") for seen in server.seen] == [None, "bytes=150000-", "bytes=225000-"]
    assert server.seen[1].headers["if-range"] == f'"{md5_of(CONTENT)}"'


def test_a_file_that_changes_between_two_tries_is_the_new_one(transfer: Transfer, server: HttpStore) -> None:
    other = content_of("other", 290_000)

    def fault(path: str, number: int) -> str:
        if number == 1:
            server.files["/file"] = other
        return "truncated" if number == 0 else ""

    server.fault = fault
    assert fetched(transfer, server) == other


def test_a_file_that_became_shorter_than_what_is_here_begins_anew(transfer: Transfer, server: HttpStore) -> None:
    """The server takes no notice of If-Range, so the range lies behind the end: 416."""
    short, server.ignores_conditions = CONTENT[:1000], True

    def fault(path: str, number: int) -> str:
        if number:
            server.files["/file"] = short
        return "truncated" if number == 0 else ""

    server.fault = fault
    assert fetched(transfer, server) == short
    assert len(server.seen) == 3


def test_a_changed_file_is_seen_by_its_etag_alone(transfer: Transfer, server: HttpStore) -> None:
    """Of the same length, from a server that takes no notice of If-Range."""
    other, server.ignores_conditions = content_of("other", len(CONTENT)), True

    def fault(path: str, number: int) -> str:
        if number:
            server.files["/file"] = other
        return "truncated" if number == 0 else ""

    server.fault = fault
    assert fetched(transfer, server) == other


def test_an_unchanged_file_is_not_fetched(transfer: Transfer, server: HttpStore) -> None:
    assert fetched(transfer, server, unless_md5=md5_of(CONTENT)) is None
    assert fetched(transfer, server, unless_md5=md5_of(b"old")) == CONTENT


@pytest.mark.parametrize("status", ["404", "403"])
def test_a_missing_file_is_asked_for_once(status: str, transfer: Transfer, server: HttpStore) -> None:
    server.fault = lambda path, number: status
    assert f"status {status}: " in sentence(transfer, server)
    assert "--runs" in sentence(transfer, server)
    assert len(server.seen) == 2
    server.fault = first()  # what the sentence sends the person to look at
    assert fetched(transfer, server) == CONTENT


def test_a_page_in_place_of_the_file_is_refused(transfer: Transfer, server: HttpStore) -> None:
    server.fault = lambda path, number: "text"
    assert "no ETag" in sentence(transfer, server)


def test_a_circle_of_addresses_is_refused(transfer: Transfer, server: HttpStore) -> None:
    server.fault = lambda path, number: "loop"
    assert "without end" in sentence(transfer, server)


def test_bytes_that_stay_wrong_end_in_a_sentence(transfer: Transfer, server: HttpStore, pauses: list[float]) -> None:
    server.fault = lambda path, number: "corrupted"
    assert "MD5 that the server gives, 4 times; give the same command again later" in sentence(transfer, server)
    assert pauses == [1.0, 2.0, 4.0], "three waits between four tries, each twice as long"


def test_the_server_says_how_long_to_wait(transfer: Transfer, server: HttpStore, pauses: list[float]) -> None:
    server.fault = first("503", "500")
    fetched(transfer, server)
    assert pauses == [0.0, 2.0], "Retry-After: 0, then the second wait of our own"


def test_retry_after_is_seconds_or_a_date() -> None:
    assert _asked_wait_s("120") == 120
    assert _asked_wait_s("") is None
    assert _asked_wait_s("soon") is None
    assert _asked_wait_s("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    later = _asked_wait_s(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert later is not None
    assert 3590 < later <= 3600


def test_a_server_that_asks_for_an_hour_ends_the_command(
    transfer: Transfer, server: HttpStore, pauses: list[float]
) -> None:
    server.fault, server.retry_after = lambda path, number: "503", "3600"
    assert "the server asks to wait 3,600 s; give the same command again later" in sentence(transfer, server)
    assert not pauses


def test_files_far_too_large_are_not_read(transfer: Transfer, server: HttpStore) -> None:
    with pytest.raises(CrossplaceError, match="300,000 bytes, and no such file has more than 1,000"):
        transfer.file(f"{server.address}/file", most=1000)


def test_no_server_no_network_no_address(transfer: Transfer) -> None:
    with serving(HttpStore()) as gone:
        address = gone.address
    with pytest.raises(CrossplaceError, match=r"no connection to the server .*, 4 times"):
        transfer.file(f"{address}/file", most=10)
    for wrong in ("ftp://example.org/a", "example.org/a", "https:/a", "http://a:b/c"):
        with pytest.raises(CrossplaceError, match="no address of the web"):
            transfer.file(wrong, most=10)


def test_a_proxy_from_the_environment_is_used(server: HttpStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.address)
    with Transfer() as transfer:
        found = transfer.file("http://store.invalid/file", most=10**6)
        assert found is not None
        assert found.data == CONTENT
    assert server.seen[0].headers["host"] == "store.invalid"


def test_a_proxy_that_is_no_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "quic://proxy:1")
    with pytest.raises(CrossplaceError, match="correct HTTPS_PROXY"):
        Transfer()
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    Transfer().__exit__(None, None, None)


# --- parts of a file ---------------------------------------------------------------------------------


def test_a_part_is_resumed_and_stops_where_asked(transfer: Transfer, server: HttpStore) -> None:
    server.fault = first("truncated", "503")
    found = transfer.part(f"{server.address}/file", 1000, 3000)
    assert (found.data, found.total, found.etag) == (CONTENT[1000:3000], 300_000, md5_of(CONTENT))
    assert [seen.headers["range"] for seen in server.seen] == ["bytes=1000-2999", *["bytes=2000-2999"] * 2]


def test_a_part_beyond_the_end_is_what_is_there(transfer: Transfer, server: HttpStore) -> None:
    assert transfer.part(f"{server.address}/file", 299_990, 400_000).data == CONTENT[-10:]


def test_a_part_of_a_changed_file_is_refused(transfer: Transfer, server: HttpStore) -> None:
    with pytest.raises(CrossplaceError, match="changed on the server"):
        transfer.part(f"{server.address}/file", 0, 10, etag=md5_of(b"old"))


def test_a_server_of_whole_files_is_not_read_for_a_part(
    transfer: Transfer, server: HttpStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ignores_ranges = True
    with pytest.raises(CrossplaceError, match="whole files only"):
        transfer.part(f"{server.address}/file", 0, 10)


def test_the_client_is_the_one_that_reads_proxies_and_certificates_of_the_system() -> None:
    with Transfer() as transfer:
        assert isinstance(transfer._client, httpx2.Client)
        assert transfer._client.trust_env
