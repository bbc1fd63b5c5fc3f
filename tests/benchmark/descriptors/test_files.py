"""Descriptor files as anyone may write them: with numpy and a text editor."""

from pathlib import Path

import numpy as np
import pytest

from benchmark.descriptors.files import Descriptors, file_name
from datasets.base import Frames
from datasets.errors import CrossplaceError

IDS = ["a", "b", "c"]


def write(folder: Path, ids: list[str] = IDS, **arrays: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "frame_ids.txt").write_text("".join(f"{i}\n" for i in ids))
    for name, array in arrays.items():
        np.save(folder / f"{name.replace('_', '.')}.npy", array)
    return folder


def numbers(n: int = 3, *shape: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, *(shape or (5,)))).astype(np.float32)


def test_one_folder_is_enough(tmp_path: Path) -> None:
    images, clouds = numbers(3), numbers(3) + 1
    found = Descriptors.read(write(tmp_path, images=images, clouds=clouds))
    np.testing.assert_array_equal(found.of("image", ["c", "a"]), images[[2, 0], None])
    np.testing.assert_array_equal(found.of("cloud", ["b"]), clouds[[1], None])


def test_subfolders_are_put_together_by_frame_id(tmp_path: Path) -> None:
    one, two = numbers(3), numbers(2)
    write(tmp_path / "x" / "deep", images=one)
    write(tmp_path / "y", ids=["d", "e"], images=two, clouds=two)
    found = Descriptors.read(tmp_path)
    np.testing.assert_array_equal(found.of("image", ["e", "a"])[:, 0], np.stack([two[1], one[0]]))
    assert found.rows["cloud"] == {"d": 0, "e": 1}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_several_views_and_any_precision(tmp_path: Path, dtype: type) -> None:
    found = Descriptors.read(write(tmp_path, images=numbers(3, 4, 5).astype(dtype)))
    assert found.of("image", IDS).shape == (3, 4, 5)


def test_method_and_distance_are_those_of_the_description(tmp_path: Path) -> None:
    (tmp_path / "descriptors.json").write_text('{"method": "ours", "distance": "cosine", "comment": 1}')
    found = Descriptors.read(write(tmp_path, images=numbers()))
    assert (found.method, found.distance) == ("ours", "cosine")


def test_without_description_the_folder_names_the_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "ours", images=numbers())
    assert Descriptors.read(tmp_path / "ours").method == "ours"
    monkeypatch.chdir(tmp_path / "ours")
    found = Descriptors.read(Path())
    assert (found.method, found.distance) == ("ours", "l2")


def test_windows_line_ends_and_a_missing_last_one_are_fine(tmp_path: Path) -> None:
    write(tmp_path, images=numbers())
    (tmp_path / "frame_ids.txt").write_bytes(b"a\r\nb\r\nc")
    assert Descriptors.read(tmp_path).rows["image"] == {"a": 0, "b": 1, "c": 2}


def test_named_descriptors_lie_beside_the_main_one(tmp_path: Path) -> None:
    local = numbers(3, 2)
    folder = write(tmp_path, images=numbers(), images_local=local)
    assert file_name("image", "local") == "images.local.npy"
    np.testing.assert_array_equal(Descriptors.read(folder, "local").of("image", IDS)[:, 0], local)


def test_a_second_descriptor_re_ranks_where_the_description_says_so(tmp_path: Path) -> None:
    local = numbers(3, 2)
    folder = write(tmp_path, images=numbers(), images_local=local)
    assert Descriptors.read(folder).second is None
    fusion = '{"descriptor": "local", "top": 7, "distance": "cosine"}'
    (folder / "descriptors.json").write_text(f'{{"method": "ours", "distance": "dot", "fusion": {fusion}}}')
    found = Descriptors.read(folder)
    assert (found.distance, found.top, found.second.distance, found.second.method) == ("dot", 7, "cosine", "ours")
    np.testing.assert_array_equal(found.second.of("image", ["c"])[0], local[[2]])
    with pytest.raises(CrossplaceError, match=r"these descriptors hold no clouds; add clouds\.local\.npy"):
        found.second.of("cloud", IDS)


NOT_FINITE = numbers()
NOT_FINITE[1, 2] = np.nan


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (numbers(2), r"images\.npy: expected floats of shape \(3, size\) .*has 3 lines, found float32 \(2, 5\)"),
        (np.zeros((3, 5), dtype=int), r"images\.npy: expected floats .* found int64 \(3, 5\)"),
        (np.zeros(3), r"images\.npy: expected floats .* found float64 \(3,\)"),
        (NOT_FINITE, r"images\.npy: row 1 is not finite \(1 such rows\)"),
        (np.array([None] * 3, dtype=object), r"images\.npy: not a readable array"),
    ],
    ids=["length", "integers", "one-dimensional", "not finite", "pickled objects"],
)
def test_a_broken_array_is_one_sentence(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(CrossplaceError, match=message):
        Descriptors.read(write(tmp_path, images=array))


def test_a_file_cut_off_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, images=numbers()) / "images.npy"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CrossplaceError, match=r"images\.npy: not a readable array"):
        Descriptors.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"distance": "l2"', r"descriptors\.json: not valid JSON"),
        (
            '{"distance": "manhattan"}',
            r"descriptors\.json: distance: Input should be 'l2', 'cosine' or 'dot'; expected an object",
        ),
        ('["l2"]', r"descriptors\.json: expected an object, found list; expected an object such as"),
        ('{"fusion": "local"}', r"descriptors\.json: fusion: Input should be .*; expected an object such as"),
        (
            '{"fusion": {"descriptor": "local", "top": 0}}',
            r"descriptors\.json: fusion\.top: Input should be greater than 0",
        ),
        (
            '{"fusion": {"descriptor": "x", "top": 1, "distance": 3}}',
            r"descriptors\.json: fusion\.distance: Input should be 'l2'",
        ),
        ('{"method": "\udcff"}', r"descriptors\.json: not readable as UTF-8"),
    ],
    ids=["cut off", "unknown distance", "a list", "no object", "nothing to re-rank", "no distance", "not UTF-8"],
)
def test_a_broken_description_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "descriptors.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CrossplaceError, match=message):
        Descriptors.read(write(tmp_path, images=numbers()))


def test_frame_ids_that_are_no_text_are_named(tmp_path: Path) -> None:
    write(tmp_path, images=numbers())
    (tmp_path / "frame_ids.txt").write_bytes(b"\xff\xfea")
    with pytest.raises(CrossplaceError, match=r"frame_ids\.txt: not readable as UTF-8 text"):
        Descriptors.read(tmp_path)


def test_no_files_at_all(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"no frame_ids\.txt here or below; see docs/descriptors\.md"):
        Descriptors.read(tmp_path)


def test_no_frames_at_all(tmp_path: Path) -> None:
    found = Descriptors.read(write(tmp_path, ids=[], images=np.zeros((0, 5))))
    with pytest.raises(CrossplaceError, match="no image descriptor for 1 of 1 frames"):
        found.of("image", ["a"])


def test_a_frame_twice(tmp_path: Path) -> None:
    write(tmp_path / "x", images=numbers())
    write(tmp_path / "y", ids=["d", "b"], images=numbers(2))
    with pytest.raises(CrossplaceError, match=r"y/frame_ids\.txt: frame id 'b' occurs twice"):
        Descriptors.read(tmp_path)


def test_parts_of_different_sizes(tmp_path: Path) -> None:
    write(tmp_path / "x", images=numbers(3, 5))
    write(tmp_path / "y", ids=["d"], images=numbers(1, 6))
    with pytest.raises(CrossplaceError, match="descriptors of different sizes do not fit together"):
        Descriptors.read(tmp_path)


def test_missing_frames_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    found = Descriptors.read(write(tmp_path, images=numbers()))
    with pytest.raises(CrossplaceError, match=r"no image descriptor for 2 of 3 frames .* first 'x'"):
        found.of("image", ["a", "x", "y"])


def test_a_modality_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"these descriptors hold no clouds; add clouds\.npy"):
        Descriptors.read(write(tmp_path, images=numbers())).of("cloud", ["a"])


# --- by rows of the frames -----------------------------------------------------------------------


def frames_of(*frame_ids: str) -> Frames:
    n = len(frame_ids)
    blank = np.full(n, "", dtype=object)
    return Frames(
        frame_id=np.array(frame_ids, dtype=object),
        traversal=blank,
        world=blank,
        timestamp_ns=np.arange(n),
        position_m=np.zeros((n, 3)),
        quaternion_wxyz=np.tile([1.0, 0, 0, 0], (n, 1)),
        yaw_rad=np.zeros(n),
        image=blank,
        cloud=blank,
    )


def test_rows_that_follow_each_other_are_a_view(tmp_path: Path) -> None:
    found, frames = Descriptors.read(write(tmp_path, images=numbers())), frames_of("x", "a", "b", "c")
    for rows in ([1, 2, 3], [2, 3], [1], [3]):
        view = found.at("image", frames, np.array(rows))
        np.testing.assert_array_equal(view, found.arrays["image"][np.array(rows) - 1])
        assert np.shares_memory(view, found.arrays["image"]), rows


@pytest.mark.parametrize("rows", [[3, 1], [1, 3], [3, 2, 1], [2, 2], [1, 2, 2, 3], []])
def test_other_rows_are_found_by_their_frame_ids(tmp_path: Path, rows: list[int]) -> None:
    found, frames = Descriptors.read(write(tmp_path, images=numbers())), frames_of("x", "a", "b", "c")
    chosen = found.at("image", frames, np.array(rows, dtype=np.int64))
    np.testing.assert_array_equal(chosen, found.of("image", frames.frame_id[rows].tolist() if rows else []))
    assert chosen.shape == (len(rows), 1, 5)


def test_frames_in_another_order_than_the_files(tmp_path: Path) -> None:
    found, frames = Descriptors.read(write(tmp_path, images=numbers())), frames_of("c", "a", "b")
    np.testing.assert_array_equal(found.at("image", frames, np.arange(3)), found.arrays["image"][[2, 0, 1]])
    np.testing.assert_array_equal(found.at("image", frames, np.array([1, 2])), found.arrays["image"][:2])


def test_each_modality_and_each_dataset_is_looked_up_for_itself(tmp_path: Path) -> None:
    write(tmp_path / "x", images=numbers(), clouds=numbers() + 1)
    write(tmp_path / "a", ids=["d"], clouds=numbers(1))  # read first, so that clouds stand one row further
    found = Descriptors.read(tmp_path)
    for frames in (frames_of("a", "b", "c"), frames_of("c", "b", "a"), frames_of("a", "b", "c")):
        for modality in ("image", "cloud", "image"):
            expected = found.of(modality, frames.frame_id.tolist())
            np.testing.assert_array_equal(found.at(modality, frames, np.arange(3)), expected)


def test_rows_without_descriptors_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    found, frames = Descriptors.read(write(tmp_path, images=numbers())), frames_of("x", "a", "y")
    with pytest.raises(CrossplaceError, match=r"no image descriptor for 1 of 2 frames .* first 'y'"):
        found.at("image", frames, np.array([1, 2]))
    with pytest.raises(CrossplaceError, match=r"these descriptors hold no clouds; add clouds\.npy"):
        found.at("cloud", frames, np.array([1]))
