import logging
import re

import pytest

from benchmark import console
from benchmark.console import configure_logging, track


def test_without_a_terminal_messages_are_plain_lines_with_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger("benchmark.anything").info("encoded %d parts", 3)
    captured = capsys.readouterr()
    assert re.fullmatch(r"\d\d:\d\d:\d\d encoded 3 parts\n", captured.err)
    assert captured.out == ""


def test_configuring_twice_does_not_say_things_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    configure_logging()
    logging.getLogger("datasets.town").warning("once")
    assert capsys.readouterr().err.count("once") == 1


def test_a_long_loop_reports_in_plain_lines_and_a_short_one_not_at_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging()
    assert list(track("abc", "read", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(console, "QUIET_S", -1.0)
    assert list(track(iter("abc"), "read", 3)) == ["a", "b", "c"]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["read: 1 of 3", "read: 2 of 3", "read: 3 of 3"]
