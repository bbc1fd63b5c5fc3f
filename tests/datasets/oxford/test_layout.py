"""Runs in both layouts: what is there and what is missing."""

from pathlib import Path

import numpy as np
import pytest

from datasets.errors import CrossplaceError
from datasets.oxford.layout import find_runs

A, B = "2014-06-26-09-31-18", "2015-02-03-08-45-10"
T = 1_403_772_868_000_000


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_the_official_layout_is_one_folder_a_run(tmp_path: Path) -> None:
    for stamp in (T + 3, T, T + 1):
        touch(tmp_path / A / "stereo" / "centre" / f"{stamp}.png")
    touch(tmp_path / A / "lms_front" / f"{T}.bin", tmp_path / B / "gps" / "ins.csv")
    touch(tmp_path / "models" / "stereo_narrow_left.txt", tmp_path / "archives" / f"{A}_gps.tar")
    runs = find_runs(tmp_path)
    assert list(runs) == [A, B]
    np.testing.assert_array_equal(runs[A].image_stamps, np.array([T, T + 1, T + 3]) * 1000)
    np.testing.assert_array_equal(runs[A].sweep_stamps, [T * 1000])
    assert runs[A].image(T * 1000).is_file()
    assert runs[A].sweep(T * 1000).is_file()
    assert len(runs[B].image_stamps) == 0
    assert runs[B].texts() == [tmp_path / B / "gps" / "ins.csv"]


def test_the_rearranged_layout_is_one_folder_a_sensor(tmp_path: Path) -> None:
    touch(
        tmp_path / "gps" / A / "ins.csv", tmp_path / "image" / A / f"{T}.png", tmp_path / "lms_front" / B / f"{T}.bin"
    )
    touch(tmp_path / "image" / "undistorted" / A / f"{T}.png")
    runs = find_runs(tmp_path)
    assert list(runs) == [A, B]
    assert runs[A].image(T * 1000).is_file()
    assert runs[B].sweep(T * 1000).is_file()
    assert len(runs[A].missing_images) == 0, "nothing says what else there should be"


def test_a_folder_without_runs_or_none_has_no_runs(tmp_path: Path) -> None:
    touch(tmp_path / "gps" / "notes.txt", tmp_path / "holiday" / "photo.png")
    assert find_runs(tmp_path) == {}
    assert find_runs(tmp_path / "nowhere") == {}


def test_other_files_are_no_images(tmp_path: Path) -> None:
    folder = tmp_path / A / "stereo" / "centre"
    touch(folder / f"{T}.png", folder / f".{T}.png", folder / "thumbs.png", folder / f"{T}.png.part", folder / "12.png")
    assert find_runs(tmp_path)[A].image_stamps.tolist() == [T * 1000]


def test_what_was_taken_and_is_not_there_is_missing(tmp_path: Path) -> None:
    for stamp in (T, T + 2):
        touch(tmp_path / A / "stereo" / "centre" / f"{stamp}.png")
    (tmp_path / A / "stereo.timestamps").write_text("".join(f"{T + i} {1 + i // 3}\n" for i in range(4)))
    run = find_runs(tmp_path)[A]
    np.testing.assert_array_equal(run.missing_images, np.array([T + 1, T + 3]) * 1000)
    assert len(run.missing_sweeps) == 0


@pytest.mark.parametrize("line", ["", "1403772868.5 1", "-403772868000000 1", "far 1", "14037728680000001 1"])
def test_a_list_with_a_broken_line_is_a_sentence(tmp_path: Path, line: str) -> None:
    path = tmp_path / A / "stereo.timestamps"
    path.parent.mkdir()
    (path.parent / "gps").mkdir()
    path.write_text(f"{T} 1\n{line}\n{T + 1} 1\n")
    with pytest.raises(CrossplaceError, match=r"stereo\.timestamps: line 2: expected microseconds"):
        _ = find_runs(tmp_path)[A].missing_images
