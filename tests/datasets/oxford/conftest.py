"""One piece of a drive through the town as raw files, in both layouts, and prepared; and real RobotCar poses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from raw_oxford import rearrange

from datasets.oxford import Oxford
from datasets.prepared import PreparedDataset
from datasets.samples.oxford import RawRun, write_official

SIZE = (80, 60)


@pytest.fixture(scope="session")
def run() -> RawRun:
    return RawRun()


@pytest.fixture(scope="session")
def official(run: RawRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    write_official(folder, run, rtk=True)
    return folder


@pytest.fixture(scope="session")
def rearranged(official: Path, run: RawRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rearranged")
    rearrange(official, folder, run)
    return folder


@pytest.fixture(scope="session")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., PreparedDataset]:
    """Prepare a source with options into a new folder."""

    def prepare(source: Path, *, workers: int = 1, **options: Any) -> PreparedDataset:
        folder = tmp_path_factory.mktemp("prepared")
        list(Oxford(**{"image_size": SIZE} | options).prepare(source, folder, workers=workers))
        return PreparedDataset.read(folder)

    return prepare


@pytest.fixture(scope="session")
def prepared(official: Path, prepare: Callable[..., PreparedDataset]) -> PreparedDataset:
    return prepare(official)


@pytest.fixture(scope="session")
def robotcar(real_data: Callable[[str], Path]) -> Path:
    """Real INS poses and times of images, without images."""
    return real_data("robotcar-trajectories")
