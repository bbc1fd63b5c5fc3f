"""What people in this field really trip over, in a folder of their own, through the commands that they would type.

Every case is whole data that means something else. ``fault`` stops a run before anything is encoded; ``doubt`` is said
and stands in the result.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import ndarray
from own_folder import cells, clouds, clouds_as_bin, columns, describe, images, write_own
from PIL import Image

from benchmark.cli.main import main
from benchmark.records.schema import Result
from datasets.prepared import PreparedDataset

Spoil = Callable[[Path], Any]
BENCH = ("bench", "--method", "height_histogram", "--device", "cpu", "--dataset", "own")


@pytest.fixture
def own(tiny_town: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_own(tiny_town, tmp_path / "own", 24, with_files=True)


def extra(points: ndarray, n: int, dtype: str = "<f4") -> bytes:
    """Points of ``n`` columns in all."""
    more = np.random.default_rng(0).random((len(points), n), dtype=np.float32)
    more[:, : min(n, 4)] = points[:, : min(n, 4)]
    return more.astype(dtype).tobytes()


def lidar(**changed: Any) -> Spoil:
    return lambda own: describe(own, lambda t: t["lidar"].update(changed))


def mount(change: Callable[[ndarray], ndarray]) -> Spoil:
    return lambda own: describe(
        own, lambda t: t.update(camera_from_lidar=change(np.array(t["camera_from_lidar"])).tolist())
    )


def lens(change: Callable[[dict[str, float]], dict[str, float]]) -> Spoil:
    return lambda own: describe(own, lambda t: t["intrinsics"].update(change(t["intrinsics"])))


def degrees(own: Path) -> None:
    cells(own, "yaw_rad", lambda cell: str(np.degrees(float(cell))))


def from_north(own: Path) -> None:
    cells(own, "yaw_rad", lambda cell: str(np.pi / 2 - float(cell)))


def all_white(own: Path) -> None:
    """What a 16-bit image becomes if all that exceeds 8 bits is cut off."""
    images(own, lambda image: image.point(lambda _: 255))


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def one_of_two() -> Callable[[str], str]:
    """Cells that repeat each value once."""
    seen: list[str] = []

    def change(cell: str) -> str:
        seen.append(cell)
        return seen[(len(seen) - 1) // 2 * 2]

    return change


def some_blank(own: Path) -> None:
    number = iter(range(1000))
    images(own, lambda image: Image.new("RGB", image.size, (90, 90, 90)) if next(number) % 8 < 2 else image)


FAULTS: dict[str, tuple[Spoil, str]] = {
    # clouds of another layout or unit
    "float64 triplets": (
        lambda own: clouds_as_bin(own, lambda p: p[:, :3].astype("<f8").tobytes()),
        "LiDAR's vertical field",
    ),
    "four rows of n": (lambda own: clouds_as_bin(own, lambda p: p.T.tobytes()), "LiDAR's vertical field"),
    "six columns": (lambda own: clouds_as_bin(own, lambda p: extra(p, 6)), "LiDAR's vertical field"),
    "five columns": (
        lambda own: clouds_as_bin(own, lambda p: extra(p[: len(p) // 4 * 4], 5)),
        "LiDAR's vertical field",
    ),
    "millimetres": (lambda own: clouds(own, lambda p: p * np.float32(1000)), "the distance that holds 95 %"),
    "integers of centimetres": (
        lambda own: clouds(own, lambda p: (p * 100).astype(np.int32)),
        "found numbers of type int32",
    ),
    "transposed": (lambda own: clouds(own, lambda p: p[:, :3].T), "this looks transposed: save points.T"),
    "transposed with intensity": (lambda own: clouds(own, lambda p: p[:, [0, 1, 2, 2]].T), "this looks transposed"),
    # images
    "white images": (all_white, "the share of sampled images that are of one grey"),
    "black images": (lambda own: images(own, lambda image: image.point(lambda _: 1)), "mean grey level|of one grey"),
    # headings
    "yaw in degrees": (degrees, "the angle between yaw_rad and the quaternion"),
    "yaw clockwise from north": (from_north, "the angle between yaw_rad and the quaternion"),
    "quaternion x, y, z, w": (
        lambda own: columns(own, {"qw": "qx", "qx": "qy", "qy": "qz", "qz": "qw"}),
        "the angle between yaw_rad and the quaternion",
    ),
    # cameras
    "lens of half the size": (
        lens(lambda k: {n: k[n] / 2 for n in ("fx", "fy", "cx", "cy")}),
        "camera matrix of another image",
    ),
    "lens of double the size": (
        lens(lambda k: {n: k[n] * 2 for n in ("fx", "fy", "cx", "cy")}),
        "camera matrix of another image",
    ),
    "lens normalised": (
        lens(lambda k: {"fx": k["fx"] / k["width"], "fy": k["fy"] / k["height"], "cx": 0.5, "cy": 0.5}),
        "the focal length in units of the image's width",
    ),
    "lens in metres": (lens(lambda _: {"fx": 0.004, "fy": 0.004}), "the focal length"),
    "mount identity": (mount(lambda _: np.eye(4)), "image and cloud see nothing in common|the camera's up"),
    "mount inverted": (mount(np.linalg.inv), "the camera's up and the LiDAR's up"),
    "mount in millimetres": (
        mount(lambda m: np.concatenate([np.column_stack([m[:3, :3], 1000 * m[:3, 3]]), m[3:]])),
        "the distance between camera and LiDAR",
    ),
    # LiDARs as described
    "view reversed": (lidar(vertical_fov_deg=[22.5, -22.5]), "the vertical field of view of the LiDAR is -45°"),
    "view zero": (lidar(vertical_fov_deg=[0.0, 0.0]), "the vertical field of view of the LiDAR is 0°"),
    "view in radians": (lidar(vertical_fov_deg=[-0.3927, 0.3927]), "outside the LiDAR's vertical field of view"),
    "range in millimetres": (lidar(max_range_m=80000.0), "max_range_m of the LiDAR is 80,000 m"),
    "range in kilometres": (lidar(max_range_m=0.08), "max_range_m of the LiDAR is 0.08 m"),
    # positions and times
    "times in microseconds": (
        lambda own: cells(own, "timestamp_ns", lambda cell: cell[:-3]),
        "no road vehicle is that fast",
    ),
}
"""How to spoil the folder, and words of a sentence that says so."""

DOUBTS: dict[str, tuple[Spoil, str]] = {
    "positions in kilometres": (
        lambda own: [cells(own, name, lambda cell: str(float(cell) / 1000)) for name in ("east_m", "north_m", "up_m")],
        "pace",
    ),
    "east and north exchanged": (
        lambda own: columns(own, {"east_m": "north_m", "north_m": "east_m"}),
        "heading-and-track",
    ),
    "north and up exchanged": (lambda own: columns(own, {"north_m": "up_m", "up_m": "north_m"}), "climb"),
    "images to be turned": (lambda own: images(own, lambda image: image, exif=turned()), "turned-images"),
    "one cloud for two frames": (lambda own: cells(own, "cloud", one_of_two()), "shared-clouds"),
    "camera looks back": (mount(lambda m: np.diag([-1.0, 1, -1, 1]) @ m), "camera-ahead"),
    "a few images are blank": (some_blank, "blank-images"),
}
"""How to spoil the folder, and the rule that doubts it."""


def test_the_folder_itself_is_good(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "own"]) == 0
    assert "doubt" not in capsys.readouterr().out


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_shown_by_check_and_stops_bench_before_it_encodes(
    name: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words = FAULTS[name]
    spoil(own)
    assert main(["data", "check", "own"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert any(part in shown for part in words.split("|")), shown[-1500:]
    assert "FAULT" in shown
    assert main(BENCH) == 1
    said = capsys.readouterr().err
    assert "this data does not mean what it says" in said
    assert any(part in said for part in words.split("|")), said
    assert not Path("runs/descriptors").exists()


@pytest.mark.parametrize("name", DOUBTS)
def test_a_doubt_stands_in_the_result_until_it_is_accepted(
    name: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, rule = DOUBTS[name]
    spoil(own)
    assert main(["data", "check", "own"]) == 0
    assert f"--accept {rule}" in " ".join(capsys.readouterr().out.split())
    assert main(BENCH) == 0
    (folder,) = Path("runs/results").glob("height_histogram-*")
    assert any(warning.startswith(f"doubt ({rule}): ") for warning in Result.read(folder).warnings)
    capsys.readouterr()
    assert main([*BENCH, "--accept", rule]) == 0
    accepted = [f for f in Path("runs/results").glob("height_histogram-*") if f != folder]
    assert any(warning.startswith(f"accepted doubt ({rule}): ") for warning in Result.read(accepted[0]).warnings)


def test_a_stated_layout_cures_another_layout(own: Path) -> None:
    clouds_as_bin(own, lambda p: extra(p, 6))
    assert main(["data", "check", "own"]) == 1
    describe(own, lambda t: t.update(bin_layout={"columns": 6, "dtype": "float32"}))
    assert main(["data", "check", "own"]) == 0


def test_sixteen_bits_of_grey_are_no_white_images(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images(own, lambda image: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 256 + 255))
    assert main(["data", "check", "own"]) == 0
    assert "doubt" not in capsys.readouterr().out
