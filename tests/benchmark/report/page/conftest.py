"""Stored results that are written once and copied for each test."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from reports import write_hostile_results, write_results

from datasets.base import Protocol
from datasets.prepared import PreparedDataset


@pytest.fixture(scope="session")
def written_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder by name, filled by the function of its first use."""
    root = tmp_path_factory.mktemp("reports")

    def folder(name: str, fill: Callable[[Path], None]) -> Path:
        if not (root / name).exists():
            fill(root / name)
        return root / name

    return folder


@pytest.fixture
def stored(written_once: Callable[..., Path], small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> Path:
    """Results of two methods with two seeds each, and the bounds; a test may change them."""
    once = written_once("two", lambda folder: write_results(folder, small_world, protocol, "first", "second"))
    return Path(shutil.copytree(once, tmp_path / "results"))


@pytest.fixture
def hostile(written_once: Callable[..., Path], small_world: PreparedDataset, protocol: Protocol) -> Path:
    """Results in which every name that comes from elsewhere is one that a page must not obey; not to be changed."""
    return written_once("hostile", lambda folder: write_hostile_results(folder, small_world, protocol))
