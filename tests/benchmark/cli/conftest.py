"""Where commands of these tests work."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``runs`` and ``results`` go by default."""
    monkeypatch.chdir(tmp_path)
