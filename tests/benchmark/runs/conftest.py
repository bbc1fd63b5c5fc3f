"""A row of the toy on the small world."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jobs import Job, jobs_on, with_protocol

from datasets.base import Protocol
from datasets.prepared import PreparedDataset


@pytest.fixture
def job(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Job]:
    """A row of the toy on the small world."""
    with_protocol(monkeypatch, protocol, "a warning")
    return jobs_on(small_world, tmp_path / "runs")
