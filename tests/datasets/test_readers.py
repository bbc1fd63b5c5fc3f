"""Images and clouds of people: what is accepted, what is refused, and that the cure in each sentence works."""

import builtins
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.base import BinLayout
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.readers import image_orientation, is_return, read_image, read_points

POINTS = np.random.default_rng(0).normal(scale=10, size=(40, 4)).astype(np.float32)


def sentence(path: Path, layout: BinLayout | None = None) -> str:
    with pytest.raises(CrossplaceError) as caught:
        read_points(path, layout)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "fetch it" not in text
    assert "prepare the dataset again" not in text
    return text


# --- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [3, 4, 8])
def test_a_transposed_array_is_recognised_and_its_cure_works(rows: int, tmp_path: Path) -> None:
    path, points = tmp_path / "cloud.npy", np.zeros((rows, 7651))
    np.save(path, points)
    assert sentence(path) == (f"{path}: found ({rows}, 7651): expected (n, ≥3); this looks transposed: save points.T")
    np.save(path, points.T)
    assert read_points(path).shape == (7651, rows)


@pytest.mark.parametrize("shape", [(3, 4), (8, 8), (3, 3), (0, 3)])
def test_few_points_are_not_taken_for_transposed_ones(shape: tuple[int, int], tmp_path: Path) -> None:
    np.save(tmp_path / "cloud.npy", np.zeros(shape))
    assert read_points(tmp_path / "cloud.npy").shape == shape


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint8, np.bool_, np.complex128])
def test_whole_numbers_are_refused_and_their_cure_works(dtype: Any, tmp_path: Path) -> None:
    path, points_mm = tmp_path / "cloud.npy", np.ones((5, 3), dtype=dtype)
    np.save(path, points_mm)
    text = sentence(path)
    assert f"found numbers of type {np.dtype(dtype).name}: expected floats, in metres" in text
    assert "save points.astype(np.float32), times the metres of a stored 1" in text
    if np.dtype(dtype).kind != "c":
        np.save(path, points_mm.astype(np.float32) * 0.001)
        np.testing.assert_allclose(read_points(path), 0.001)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_any_width_are_read(dtype: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "cloud.npy", POINTS.astype(dtype))
    np.testing.assert_array_equal(read_points(tmp_path / "cloud.npy"), POINTS.astype(dtype))


@pytest.mark.parametrize("shape", [(40,), (5, 8)])
def test_structured_arrays_with_x_y_z_are_read_in_that_order(shape: tuple[int, ...], tmp_path: Path) -> None:
    records = np.zeros(40, dtype=[("intensity", "f4"), ("z", "f4"), ("y", "f4"), ("x", "f4"), ("ring", "u2")])
    for place, axis in enumerate("xyz"):
        records[axis] = POINTS[:, place]
    np.save(tmp_path / "cloud.npy", records.reshape(shape))
    np.testing.assert_array_equal(read_points(tmp_path / "cloud.npy"), POINTS[:, :3])


def test_a_structured_array_without_z_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "cloud.npy", np.zeros(40, dtype=[("x", "f4"), ("y", "f4")]))
    assert "found (40): expected (n, ≥3), x, y and z in metres" in sentence(tmp_path / "cloud.npy")


# --- raw points ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [3, 4, 5, 6])
def test_raw_points_are_read_in_their_stated_layout(columns: int, dtype: Any, tmp_path: Path) -> None:
    points = np.random.default_rng(1).normal(size=(7, columns)).astype(dtype)
    points.tofile(tmp_path / "cloud.bin")
    np.testing.assert_array_equal(read_points(tmp_path / "cloud.bin", BinLayout(columns=columns, dtype=dtype)), points)


@pytest.mark.parametrize("name", ["cloud.BIN", "cloud.Npy"])
def test_the_case_of_a_suffix_does_not_matter(name: str, tmp_path: Path) -> None:
    with (tmp_path / name).open("wb") as file:
        file.write(POINTS.tobytes()) if "BIN" in name else np.save(file, POINTS)
    np.testing.assert_array_equal(read_points(tmp_path / name), POINTS)


def stated(layout: dict[str, Any] | None) -> Callable[[str], str]:
    """A change of the text of ``dataset.json``, which states ``layout`` for each traversal."""
    import json

    def change(text: str) -> str:
        content = json.loads(text)
        for traversal in content["traversals"].values():
            traversal["bin_layout"] = layout
        return json.dumps(content)

    return change


def own_folder(small_world: PreparedDataset, folder: Path, points: np.ndarray) -> Path:
    """The small world with one cloud for all of its frames, in the file ``scan.bin``."""
    points.tofile(folder / "scan.bin")
    for name in ("dataset.json", "frames.csv"):
        text = (small_world.folder / name).read_text()
        (folder / name).write_text(re.sub(r"clouds/[a-z0-9-]+\.npy", "scan.bin", text))
    text = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(re.sub(r',\s*"frames_sha256": "[0-9a-f]+"', "", text))
    return folder


def test_a_size_that_fits_no_points_names_the_layout_and_the_stated_one_is_obeyed(
    small_world: PreparedDataset, tmp_path: Path
) -> None:
    points = np.random.default_rng(2).normal(size=(7, 5)).astype(np.float32)
    folder = own_folder(small_world, tmp_path, points)
    dataset = PreparedDataset.read(folder)
    with pytest.raises(CrossplaceError) as caught:
        dataset.load_cloud(dataset.frame(0))
    text = str(caught.value)
    assert "140 bytes are no whole number of points of 4 × float32 (16 bytes a point)" in text
    assert 'dataset.json, such as "bin_layout": {"columns": 5, "dtype": "float32"}' in text
    described = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(stated({"columns": 5, "dtype": "float32"})(described))
    dataset = PreparedDataset.read(folder)
    np.testing.assert_array_equal(dataset.load_cloud(dataset.frame(0)), points[:, :3])


@pytest.mark.parametrize(
    ("layout", "fault"),
    [
        ({"columns": 2}, "columns: Input should be greater than or equal to 3"),
        ({"columns": 4, "dtype": "int16"}, "dtype: Input should be 'float32' or 'float64'"),
        ({"order": "xyz"}, "order"),
    ],
)
def test_a_layout_that_there_is_not_is_a_sentence(
    layout: dict[str, Any], fault: str, small_world: PreparedDataset, tmp_path: Path
) -> None:
    folder = own_folder(small_world, tmp_path, POINTS)
    described = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(stated(layout)(described))
    with pytest.raises(CrossplaceError, match=re.escape(f"bin_layout.{fault}")):
        PreparedDataset.read(folder)


def test_data_without_a_layout_is_written_as_ever(small_world: PreparedDataset) -> None:
    assert "bin_layout" not in (small_world.folder / "dataset.json").read_text()


# --- point clouds of other programs --------------------------------------------------------------


def pcd(points: np.ndarray, data: str) -> bytes:
    """A PCD file with an intensity before x, y, z and a ring of two bytes after them."""
    n = len(points)
    head = (
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS intensity x y z ring\nSIZE 4 4 4 4 2\n"
        f"TYPE F F F F U\nCOUNT 1 1 1 1 1\nWIDTH {n}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {n}\nDATA {data}\n"
    ).encode()
    types = [("intensity", "<f4"), ("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("ring", "<u2")]
    records = np.zeros(n, dtype=types)
    for place, axis in enumerate("xyz"):
        records[axis] = points[:, place]
    if data == "ascii":
        return head + "".join(f"0.5 {x:.9g} {y:.9g} {z:.9g} 7\n" for x, y, z in points[:, :3]).encode()
    if data == "binary":
        return head + records.tobytes()
    import lzf

    columns = b"".join(records[name].tobytes() for name, _ in types)
    packed = lzf.compress(columns, 2 * len(columns) + 64) or b""
    return head + np.array([len(packed), len(columns)], dtype="<u4").tobytes() + packed


def ply(points: np.ndarray, form: str) -> bytes:
    n = len(points)
    head = f"ply\nformat {form} 1.0\ncomment x y z\nelement vertex {n}\n".encode()
    head += b"".join(f"property {kind}\n".encode() for kind in ("float x", "float y", "float z", "uchar ring"))
    head += b"end_header\n"
    if form == "ascii":
        return head + "".join(f"{x:.9g} {y:.9g} {z:.9g} 7\n" for x, y, z in points[:, :3]).encode()
    order = "<" if "little" in form else ">"
    records = np.zeros(n, dtype=[(axis, f"{order}f4") for axis in "xyz"] + [("ring", "u1")])
    for place, axis in enumerate("xyz"):
        records[axis] = points[:, place]
    return head + records.tobytes()


FILES = {
    **{f"{data}.pcd": (pcd, data) for data in ("ascii", "binary", "binary_compressed")},
    **{f"{form}.ply": (ply, form) for form in ("ascii", "binary_little_endian", "binary_big_endian")},
}


@pytest.mark.parametrize("name", FILES)
def test_point_clouds_of_other_programs_are_read(name: str, tmp_path: Path) -> None:
    write, form = FILES[name]
    for points in (POINTS, np.tile(POINTS[:1], (5, 1)), POINTS[:1], POINTS[:0]):  # equal points are not merged
        (tmp_path / name).write_bytes(write(points, form))
        np.testing.assert_array_equal(read_points(tmp_path / name), points[:, :3])


@pytest.mark.parametrize("name", FILES)
def test_damaged_point_clouds_are_named(name: str, tmp_path: Path) -> None:
    write, form = FILES[name]
    whole, path = write(POINTS, form), tmp_path / name
    record = len(whole) - len(write(POINTS[:-1], form))
    for content in (
        whole[:-record],
        whole[: len(whole) // 2],
        whole.replace(b" z", b" w", 1),
        b"",
        b"<html>",
        b"PK\3\4",
    ):
        path.write_bytes(content.replace(b"float z", b"float w"))
        kind = path.suffix[1:].upper()
        assert sentence(path).endswith(
            f"not a readable {kind} file of points with x, y and z; it is cut off or of another form: write it again"
        )
    path.unlink()
    assert "not readable (No such file or directory)" in sentence(path)


def test_points_that_a_pcd_marks_as_not_measured_are_left_out_and_half_broken_ones_stay(tmp_path: Path) -> None:
    points = POINTS[:5].copy()
    points[1, :3] = np.nan
    points[3, 1] = np.nan
    (tmp_path / "grid.pcd").write_bytes(pcd(points, "binary"))
    np.testing.assert_array_equal(read_points(tmp_path / "grid.pcd"), points[[0, 2, 3, 4], :3])


@pytest.mark.parametrize(("name", "package"), [("scan.pcd", "pypcd4"), ("scan.ply", "trimesh.exchange.ply")])
def test_without_the_extra_the_sentence_names_it(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(wanted: str, *args: Any, **more: Any) -> Any:
        if wanted == package:
            raise ImportError(wanted)
        return real(wanted, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "python -m pip install 'crossplace[clouds]'" in sentence(tmp_path / name)


@pytest.mark.parametrize("suffix", [".npz", ".las", ".laz", ".txt", ".xyz", ".csv", ".mat", ""])
def test_other_formats_are_told_what_is_read_and_how_to_convert(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, delimiter = tmp_path / f"cloud{suffix}", "," if suffix == ".csv" else " "
    np.savetxt("cloud.csv" if suffix == ".csv" else "cloud.txt", POINTS, delimiter=delimiter, fmt="%.9g")
    np.savez("cloud.npz", points=POINTS)
    text = sentence(path)
    assert "clouds are read from .bin, .npy, .pcd, .ply files" in text
    assert "(n, ≥3) in metres" in text
    cure = re.search(r"np\.save\('cloud\.npy', (points\)|np.*\))", text)
    assert cure
    exec(cure[0].removesuffix(", where points is the name of the array in it"), {"np": np, "points": POINTS})
    np.testing.assert_array_equal(read_points(tmp_path / "cloud.npy").astype(np.float32), POINTS)


# --- no returns ----------------------------------------------------------------------------------


def test_points_at_the_origin_are_no_returns() -> None:
    points = np.array([[0, 0, 0, 9.0], [1e-7, -1e-7, 0, 0], [0, 0, 2e-6, 0], [0, 1, 0, 0]])
    assert is_return(points).tolist() == [False, False, True, True]


def test_a_dataset_leaves_no_returns_out(small_world: PreparedDataset, tmp_path: Path) -> None:
    points = POINTS.copy()
    points[::2, :3] = 0
    dataset = PreparedDataset.read(own_folder(small_world, tmp_path, points))
    np.testing.assert_array_equal(dataset.load_cloud(dataset.frame(0)), points[1::2, :3])


def test_clouds_of_the_town_and_of_kitti_lose_nothing(tiny_town: PreparedDataset, kitti_mini: Path) -> None:
    scans = [tiny_town.root / path for path in tiny_town.frames.cloud[::7]]
    for path in [*scans, *sorted(kitti_mini.rglob("*.bin"))]:
        points = read_points(path)
        assert len(points)
        assert is_return(points).all()


# --- images --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_of_16_bit_grey_the_upper_8_bits_are_taken(suffix: str, tmp_path: Path) -> None:
    stored = np.array([[0, 255, 256], [0x1234, 0xFEFF, 0xFFFF]], dtype=np.uint16)
    Image.fromarray(stored).save(tmp_path / f"grey.{suffix}")
    found = read_image(tmp_path / f"grey.{suffix}")
    assert found.dtype == np.uint8
    assert found[..., 0].tolist() == [[0, 0, 1], [0x12, 0xFE, 0xFF]]
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_images_of_32_bits_are_refused_and_may_be_written_again(dtype: Any, tmp_path: Path) -> None:
    pixels = np.arange(12).reshape(3, 4).astype(dtype)
    Image.fromarray(pixels).save(tmp_path / "a.tiff")
    with pytest.raises(
        CrossplaceError, match=r"a\.tiff: .*32 bits.* expected 8 or 16 bits a channel\); write it again"
    ):
        read_image(tmp_path / "a.tiff")
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.tiff")
    assert read_image(tmp_path / "a.tiff")[..., 0].tolist() == pixels.tolist()


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "L", "1", "CMYK"])
def test_images_of_other_modes_are_read_as_rgb(mode: str, tmp_path: Path) -> None:
    black = Image.new("RGB", (8, 6))
    black.paste((255, 255, 255), (0, 0, 4, 6))
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    black.convert(mode).save(path)
    found = read_image(path)
    assert (found[:, :4] == 255).all()
    assert (found[:, 4:] == 0).all()


@pytest.mark.parametrize(("stated_", "expected"), [(None, 1), (1, 1), (6, 6), (8, 8), (0, 1), (99, 1)])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_the_orientation_is_that_of_exif(stated_: int | None, expected: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    if stated_ is not None:
        exif[0x0112] = stated_
    Image.new("RGB", (8, 6)).save(tmp_path / f"a.{suffix}", exif=exif)
    assert image_orientation(tmp_path / f"a.{suffix}") == expected
    assert read_image(tmp_path / f"a.{suffix}").shape == (6, 8, 3), "pixels are read as stored"


def test_the_orientation_of_what_is_no_image_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"<html>")
    with pytest.raises(
        CrossplaceError, match=r"a\.jpg: not a readable image \(no image format known\); write it again"
    ):
        image_orientation(tmp_path / "a.jpg")
