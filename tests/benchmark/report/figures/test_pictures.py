"""The table of pictures of a dataset, each drawn on the small world; and the strip's choice of frames, by hand."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.report.figures import PICTURES, draw_picture
from benchmark.report.figures.strip import choose, strip
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_gives_a_readable_picture(name: str, small_world: PreparedDataset, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "figure.png"
    draw_picture(name, small_world, path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) > 100
    assert pixels.std() > 10, "empty"


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_in_the_format_of_its_name(name: str, small_world: PreparedDataset, tmp_path: Path) -> None:
    draw_picture(name, small_world, tmp_path / "figure.JPEG")
    with Image.open(tmp_path / "figure.JPEG") as picture:
        assert picture.format == "JPEG"
    with pytest.raises(CrossplaceError, match=r"figure\.tiff: this picture is drawn as PNG or JPEG; let the name end"):
        draw_picture(name, small_world, tmp_path / "figure.tiff")


def test_an_unknown_picture_is_refused_with_its_near_name(small_world: PreparedDataset, tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"unknown figure 'stripe'\. Did you mean strip"):
        draw_picture("stripe", small_world, tmp_path / "figure.png")


def test_the_table_is_read_without_matplotlib() -> None:
    code = "import sys; from benchmark.report.figures import PICTURES; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[4])


def test_the_strip_shows_a_place_again_in_the_most_telling_condition(small_world: PreparedDataset) -> None:
    here, there = choose(small_world)
    assert here.traversal == "morning"
    assert there is not None
    assert there.traversal == "midnight", "night tells more than dusk"
    assert here.frame_id.split("-")[1] == there.frame_id.split("-")[1]


def test_the_strip_of_one_drive_has_three_pictures(small_world: PreparedDataset) -> None:
    morning = small_world.frames.take(small_world.frames.traversal == "morning")
    alone = replace(small_world, frames=morning)
    assert choose(alone)[1] is None
    assert len(strip(alone).axes) == 3
    assert len(strip(small_world).axes) == 4


def test_the_strip_as_jpeg_is_small_and_other_kinds_are_refused(small_world: PreparedDataset, tmp_path: Path) -> None:
    draw_picture("strip", small_world, tmp_path / "strip.jpg")
    with Image.open(tmp_path / "strip.jpg") as picture:
        assert picture.format == "JPEG"
        assert 1500 < picture.width < 1700
    assert (tmp_path / "strip.jpg").stat().st_size <= 250_000
    with pytest.raises(CrossplaceError, match="PNG or JPEG"):
        draw_picture("strip", small_world, tmp_path / "strip.tiff")


def test_a_strip_needs_a_camera_and_a_lidar(small_world: PreparedDataset, tmp_path: Path) -> None:
    frames = replace(small_world.frames, cloud=np.full(len(small_world.frames), "", dtype=object))
    with pytest.raises(CrossplaceError, match="image, a cloud and calibration"):
        draw_picture("strip", replace(small_world, frames=frames), tmp_path / "strip.png")
