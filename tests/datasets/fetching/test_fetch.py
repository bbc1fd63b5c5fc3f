"""Folders that are fetched: which files, in which bytes, what is kept, and what is said."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from http_store import HttpStore, content_of
from small_stores import DAY, NIGHT, TWO, boreas_files, fetched_into, files_in, kitti_files

from datasets.errors import CrossplaceError
from datasets.fetching.boreas import BoreasStore
from datasets.fetching.fetch import announcement, check_room
from datasets.fetching.kitti import KittiStore
from datasets.fetching.manifest import MANIFEST, Manifest
from datasets.fetching.store import Store, Wish, store_named, within
from datasets.origin import origin_of

NEAR = Wish(runs=("04", "07"), spacing_m=4.0, stretches_m=((0.0, 21.0),))
SENSORS = ("lidar", "camera")


@pytest.fixture
def kitti(server: HttpStore) -> KittiStore:
    server.files = kitti_files({"04": 40, "07": 30})
    return KittiStore(server.address)


@pytest.fixture
def boreas(server: HttpStore) -> BoreasStore:
    server.files = boreas_files([DAY, NIGHT])
    return BoreasStore(server.address)


# --- which files ---------------------------------------------------------------------------------------


def test_kitti_takes_the_wished_frames_of_archives_and_nothing_else(
    kitti: KittiStore, server: HttpStore, tmp_path: Path
) -> None:
    """Frames are a metre apart: 0, 4, … 20 of each sequence."""
    fetched_into(tmp_path / "raw", kitti, NEAR)
    found = files_in(tmp_path / "raw")
    rows = range(0, 21, 4)
    assert set(found) == {
        f"{path}" for name in ("04", "07") for path in (
            f"poses/{name}.txt", f"sequences/{name}/calib.txt", f"sequences/{name}/times.txt",
            *(f"sequences/{name}/image_2/{row:06d}.png" for row in rows),
            *(f"sequences/{name}/velodyne/{row:06d}.bin" for row in rows),
        )
    }  # fmt: skip
    assert found["sequences/07/velodyne/000008.bin"] == content_of("dataset/sequences/07/velodyne/000008.bin", 4000)
    sent = sum(int(seen.headers.get("range", "").count("bytes=")) for seen in server.seen)
    assert sent == len(server.seen), "nothing was asked for but parts"


def test_boreas_reads_names_from_the_tables_and_pairs_by_time(
    boreas: BoreasStore, server: HttpStore, tmp_path: Path
) -> None:
    """Sweeps are 2 m and 0.1 s apart, and there is no image beside 0, 3, 6, …

    With an image are 1, 2, 4, 5, 7, …, at 2, 4, 8, 10, 14 m and so on. Those 10 m after the one before are 1, 7 and 13;
    the next one is 36 m after the first, beyond the limit.
    """
    fetched_into(tmp_path / "raw", boreas, TWO)
    asked = {seen.path.strip("/") for seen in server.seen}
    assert asked == set(files_in(tmp_path / "raw")), "no listing, and no file that is not kept"
    for name in (DAY, NIGHT):
        start_us = int(sweeps_of(server, name)[0])
        found = [sorted(int(path.stem) for path in (tmp_path / "raw" / name / part).iterdir()) for part in SENSORS]
        assert [[us - start_us for us in times] for times in found] == [
            [100_000, 700_000, 1_300_000],
            [120_000, 720_000, 1_320_000],
        ]
        path = f"{name}/lidar/{start_us + 700_000}.bin"
        assert files_in(tmp_path / "raw")[path] == server.files[f"/{path}"]


def sweeps_of(server: HttpStore, name: str) -> list[str]:
    return sorted(path.split("/")[-1][:-4] for path in server.files if path.startswith(f"/{name}/lidar/"))


def test_stretches_by_hand() -> None:
    line = np.column_stack([np.arange(10.0), np.zeros(10)])
    taken = within(line, Wish(runs=("a",), spacing_m=3.0, stretches_m=((0.0, 2.0), (5.5, 7.0))))
    assert np.flatnonzero(taken).tolist() == [0, 1, 2, 6, 7]
    assert within(line, Wish(runs=("a",), spacing_m=3.0)).all()
    assert within(line[:0], Wish(runs=("a",), spacing_m=3.0, stretches_m=((0.0, 2.0),))).tolist() == []


@pytest.mark.parametrize("store", [KittiStore(), BoreasStore()])
def test_presets_name_runs_that_can_be_fetched(store: Store) -> None:
    sizes = [store.most_bytes(wish) for wish in store.presets.values()]
    assert list(store.presets) == ["mini", "standard"]
    assert 1e9 < sizes[0] < 2.5e9 < sizes[1]


def test_runs_are_named_in_full_in_short_or_by_patterns() -> None:
    store = BoreasStore()
    assert store.chosen([DAY]) == store.chosen(["2021-06-17-17-52"]) == store.chosen(["*06-17*"]) == [DAY]
    with pytest.raises(CrossplaceError, match=r"unknown run of boreas '2021-06-17'. Did you mean boreas-2021-06-17"):
        store.chosen(["2021-06-17"])
    with pytest.raises(
        CrossplaceError, match="boreas-2020-12-04-14-00 cannot be fetched: its authors keep its poses back"
    ):
        store.chosen(["2020-12-04*"])
    assert "boreas-2020-12-04-14-00" not in store.chosen(["2020-12-*"]), "a pattern leaves out what it cannot have"
    with pytest.raises(CrossplaceError, match="11 cannot be fetched: the archive of poses has none"):
        KittiStore().chosen(["11"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"spacing_m": -1.0}, "--spacing"), ({"stretches_m": ((0.0, 0.0),)}, "--limit-m"), ({"runs": ()}, "--runs")],
)
def test_wishes_that_take_nothing_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(CrossplaceError, match=said):
        Wish(**{"runs": ("a",), "spacing_m": 1.0} | wrong)


def test_an_unknown_store_names_the_known_ones() -> None:
    with pytest.raises(CrossplaceError, match=r"unknown dataset that can be fetched 'oxford'.*boreas, kitti"):
        store_named("oxford")


# --- before the first byte -----------------------------------------------------------------------------


def test_the_announcement_is_made_without_a_byte(kitti: KittiStore, server: HttpStore, tmp_path: Path) -> None:
    lines = "\n".join(announcement(kitti, NEAR, tmp_path / "raw"))
    for part in ("a frame every 4 m of the first 21 m of 2 runs", "CC BY-NC-SA 3.0", "Geiger", server.address, "MB"):
        assert part in lines
    assert not server.seen
    assert not (tmp_path / "raw").exists()


def test_a_disk_without_room_is_said_first(kitti: KittiStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10**6})
    monkeypatch.setattr("datasets.fetching.fetch.shutil.disk_usage", lambda path: usage)
    with pytest.raises(CrossplaceError, match="are to come and 1 MB are free; free space"):
        check_room(kitti, NEAR, tmp_path / "raw")
    monkeypatch.undo()
    check_room(kitti, NEAR, tmp_path / "raw")


# --- what is kept --------------------------------------------------------------------------------------


def test_the_manifest_has_the_hash_of_every_file(kitti: KittiStore, tmp_path: Path) -> None:
    fetched_into(tmp_path / "raw", kitti, NEAR)
    manifest, found = Manifest.found(tmp_path / "raw"), files_in(tmp_path / "raw")
    assert manifest is not None
    assert manifest.is_complete
    assert {path: hashlib.sha256(content).hexdigest() for path, content in found.items()} == {
        path: entry.sha256 for path, entry in manifest.files.items()
    }
    origin = origin_of(tmp_path / "raw")
    assert origin is not None
    assert not origin.is_synthetic
    assert origin.note == "fetched in part (04, 07: a frame every 4 m of the first 21 m)"


def test_a_second_command_fetches_nothing_that_is_there(boreas: BoreasStore, server: HttpStore, tmp_path: Path) -> None:
    fetched_into(tmp_path / "raw", boreas, TWO)
    first, asked = files_in(tmp_path / "raw"), len(server.seen)
    plan = fetched_into(tmp_path / "raw", boreas, TWO)
    assert " 0 of them to come" in plan
    again = server.seen[asked:]
    assert len(again) == 2 * 5, "the tables are compared"
    assert all("if-none-match" in seen.headers for seen in again)
    assert files_in(tmp_path / "raw") == first


def test_more_is_added_to_what_is_there(boreas: BoreasStore, server: HttpStore, tmp_path: Path) -> None:
    fetched_into(tmp_path / "raw", boreas, TWO)
    few = set(files_in(tmp_path / "raw"))
    fetched_into(tmp_path / "raw", boreas, Wish(runs=(DAY,), spacing_m=0.0, stretches_m=((0.0, 35.0),)))
    assert few < set(files_in(tmp_path / "raw"))
    manifest = Manifest.found(tmp_path / "raw")
    assert manifest is not None
    assert len(manifest.wishes) == 2


@pytest.mark.parametrize("store_and_wish", ["kitti", "boreas"])
def test_files_that_were_damaged_here_are_fetched_again(
    store_and_wish: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store, wish = request.getfixturevalue(store_and_wish), {"kitti": NEAR, "boreas": TWO}[store_and_wish]
    fetched_into(tmp_path / "raw", store, wish)
    good = files_in(tmp_path / "raw")
    for path in [*good][::3]:
        (tmp_path / "raw" / path).write_bytes(b"damaged")
    (tmp_path / "raw" / [*good][1]).unlink()
    fetched_into(tmp_path / "raw", store, wish)
    assert files_in(tmp_path / "raw") == good


def test_whole_files_without_a_manifest_are_recognised(boreas: BoreasStore, server: HttpStore, tmp_path: Path) -> None:
    """As after a kill: the files are there, and the manifest knows nothing of them."""
    fetched_into(tmp_path / "raw", boreas, TWO)
    manifest = Manifest.found(tmp_path / "raw")
    assert manifest is not None
    manifest.files.clear()
    manifest.write(tmp_path / "raw")
    asked = len(server.seen)
    fetched_into(tmp_path / "raw", boreas, TWO)
    assert all("if-none-match" in seen.headers for seen in server.seen[asked:])


def test_what_a_killed_command_had_begun_is_taken_away(kitti: KittiStore, tmp_path: Path) -> None:
    fetched_into(tmp_path / "raw", kitti, NEAR)
    begun = tmp_path / "raw" / "sequences" / "04" / "velodyne" / ".000004.bin.x1y2z3"
    other = begun.with_name(".mine")
    begun.write_bytes(b"half")
    other.write_bytes(b"mine")
    fetched_into(tmp_path / "raw", kitti, NEAR)
    assert not begun.exists()
    assert other.exists()


def test_folders_of_others_are_left_alone(kitti: KittiStore, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(CrossplaceError, match=r"something in this folder that was not fetched .*--to"):
        fetched_into(tmp_path / "mine", kitti, NEAR)
    fetched_into(tmp_path / "raw", kitti, NEAR)
    with pytest.raises(CrossplaceError, match="holds kitti; name another folder for boreas"):
        fetched_into(tmp_path / "raw", BoreasStore(kitti.at), TWO)


def test_a_damaged_manifest_is_said_and_its_cure_works(kitti: KittiStore, tmp_path: Path) -> None:
    fetched_into(tmp_path / "raw", kitti, NEAR)
    good = files_in(tmp_path / "raw")
    path = tmp_path / "raw" / MANIFEST
    content = json.loads(path.read_text())
    content["files"]["../evil"] = {}
    path.write_text(json.dumps(content))
    with pytest.raises(CrossplaceError, match="take it away and give the command data fetch again") as caught:
        fetched_into(tmp_path / "raw", kitti, NEAR)
    assert str(caught.value).startswith(str(path))
    path.unlink()
    fetched_into(tmp_path / "raw", kitti, NEAR)
    assert files_in(tmp_path / "raw") == good


# --- a bad network -------------------------------------------------------------------------------------


def test_the_first_file_that_cannot_be_had_ends_all_and_the_rest_stays(
    boreas: BoreasStore, server: HttpStore, tmp_path: Path
) -> None:
    gone = f"/{NIGHT}/lidar/{sweeps_of(server, NIGHT)[7]}.bin"
    content = server.files.pop(gone)
    with pytest.raises(CrossplaceError, match=rf"^{server.address}{gone}: status 404: it is not there"):
        fetched_into(tmp_path / "raw", boreas, TWO)
    manifest = Manifest.found(tmp_path / "raw")
    assert manifest is not None
    assert not manifest.is_complete
    there = len(manifest.files)
    assert there >= 10, "the tables at least"
    server.files[gone] = content
    fetched_into(tmp_path / "raw", boreas, TWO)
    manifest = Manifest.found(tmp_path / "raw")
    assert manifest is not None
    assert manifest.is_complete
