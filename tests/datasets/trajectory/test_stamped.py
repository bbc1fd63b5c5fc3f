"""Folders of files whose names, or whose ``times.txt``, tell their times."""

import re
from pathlib import Path

import pytest

from datasets.errors import CrossplaceError
from datasets.trajectory.stamped import find_files
from datasets.trajectory.times import Unit

BINS = (".bin", ".npy")


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def names(folder: Path, unit: Unit | None = None) -> list[str]:
    return [path.name for path in find_files(folder, BINS, unit).paths]


def sentence(folder: Path, unit: Unit | None = None) -> str:
    with pytest.raises(CrossplaceError) as caught:
        find_files(folder, BINS, unit)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_files_are_ordered_by_their_times_not_by_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "1403636580.5.bin", "1403636579.10.bin", "1403636579.9.BIN", "note.txt", ".hidden.bin")
    found = find_files(tmp_path, BINS, None)
    assert [path.name for path in found.paths] == ["1403636579.10.bin", "1403636579.9.BIN", "1403636580.5.bin"]
    assert found.times.time_ns.tolist() == [1403636579100000000, 1403636579900000000, 1403636580500000000]
    assert found.n_others == 1


def test_a_stated_unit_reads_times_since_a_start(tmp_path: Path) -> None:
    touch(tmp_path, "1000.bin", "200.npy", "-5.bin")
    assert "state their unit with --time-unit" in sentence(tmp_path)
    assert names(tmp_path, "ms") == ["-5.bin", "200.npy", "1000.bin"]
    assert find_files(tmp_path, BINS, "ms").times.time_ns.tolist() == [-5_000_000, 200_000_000, 1_000_000_000]


def test_a_list_of_times_belongs_to_the_files_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "0.bin", "2.bin", "10.bin")
    (tmp_path / "times.txt").write_text("0.0\n0.1\n0.2\n")
    assert names(tmp_path) == ["0.bin", "2.bin", "10.bin"]
    touch(tmp_path / "b", "left-b.bin", "left-a.bin")
    (tmp_path / "b" / "times.txt").write_text("0.0\n0.1\n")
    assert names(tmp_path / "b") == ["left-a.bin", "left-b.bin"]


def test_numbers_of_frames_get_times_by_the_advised_list(tmp_path: Path) -> None:
    touch(tmp_path, "000000.bin", "000001.bin")
    assert "if they are numbers of frames, write times.txt there with one time a line" in sentence(tmp_path)
    (tmp_path / "times.txt").write_text("5.0\n5.1\n")
    assert find_files(tmp_path, BINS, None).times.time_ns.tolist() == [5_000_000_000, 5_100_000_000]
    (tmp_path / "times.txt").write_text("5.0\n")
    assert "1 times for 2 files; expected as many: write the time of each file on a line" in sentence(tmp_path)


def test_a_name_that_is_no_time_is_named_and_may_be_renamed(tmp_path: Path) -> None:
    touch(tmp_path, "1403636579763555584.bin", "cloud_1403636579863555584.bin")
    said = sentence(tmp_path)
    assert said.startswith(f"{tmp_path / 'cloud_1403636579863555584.bin'}: the name is no time; expected a number such")
    (tmp_path / "cloud_1403636579863555584.bin").rename(tmp_path / "1403636579863555584.bin")
    assert len(names(tmp_path)) == 2


def test_two_files_of_one_time_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "1403636579.5.bin", "1403636579.50.npy")
    assert re.search(
        r"1403636579\.50?\.\w+ and 1403636579\.50?\.\w+ have the same time; remove one", sentence(tmp_path)
    )
    (tmp_path / "1403636579.50.npy").unlink()
    assert names(tmp_path) == ["1403636579.5.bin"]


def test_a_folder_without_such_files_says_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "1.las", "2.las", "README")
    assert "no .bin, .npy files (found: 2 .las, 1 without suffix); name the folder" in sentence(tmp_path)
    assert "(found: no files)" in sentence(touch(tmp_path / "empty"))
    assert "no such folder; expected .bin, .npy files with times as names" in sentence(tmp_path / "nowhere")
