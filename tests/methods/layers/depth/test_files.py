from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from depth_files import describe, write
from PIL import Image

from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.batch import Batch, collate, load_sample
from methods.layers.depth.files import described_files
from methods.layers.depth.sources import depth_provider, depth_source
from methods.learning.augment import joint_turn, mirror


def test_pngs_are_read_in_their_unit_with_zero_as_unknown(batch: Batch, tmp_path: Path) -> None:
    describe(tmp_path)
    write(tmp_path, batch, np.array([[0, 256], [2560, 65000]]))
    found = depth_provider(described_files(tmp_path), 2, 2)(batch)
    assert found.shape == (2, 1, 2, 2)
    torch.testing.assert_close(found[0, 0], torch.tensor([[0.0, 1.0], [10.0, 65000 / 256]]))
    torch.testing.assert_close(found[1, 0], torch.tensor([[1.0, 257.0], [2561.0, 65001.0]]) / 256)


def test_arrays_are_read_in_their_unit_and_what_is_no_distance_is_unknown(batch: Batch, tmp_path: Path) -> None:
    describe(tmp_path, format="npy", unit_m=0.001)
    write(tmp_path, batch, np.array([[np.nan, np.inf, -3.0], [1500.0, 0.0, 20000.0]]), "npy")
    found = depth_provider(described_files(tmp_path), 2, 3)(batch)
    torch.testing.assert_close(found[0, 0], torch.tensor([[0.0, 0.0, 0.0], [1.5, 0.0, 20.0]]))


def test_stored_pixels_are_never_mixed(batch: Batch, tmp_path: Path) -> None:
    """Between 2 m and 50 m, or beside unknown ones, there is no depth in between."""
    describe(tmp_path, format="npy", unit_m=1.0)
    write(tmp_path, batch, np.array([[2.0, 50.0], [0.0, 2.0]]), "npy")
    larger, smaller = (depth_provider(described_files(tmp_path), *size)(batch)[0] for size in ((7, 9), (1, 1)))
    assert set(larger.unique().tolist()) == {0.0, 2.0, 50.0}
    assert smaller.item() in (0.0, 2.0, 50.0)


@pytest.mark.parametrize("angle_deg", [0.0, 7.0, -12.0])
@pytest.mark.parametrize("changes", ["", "m", "t", "mt", "tm", "mtm", "tt"])
def test_depth_is_mirrored_and_moved_as_its_image_is(
    small_world: PreparedDataset, tmp_path: Path, changes: str, angle_deg: float
) -> None:
    """The depth that is stored is the image's own red, so that both must stay equal."""
    describe(tmp_path, format="npy", unit_m=1.0)
    samples = [load_sample(small_world, small_world.frame(row), ("image",)) for row in (0, 5)]
    for number, sample in enumerate(samples):
        assert sample.image is not None
        np.save(tmp_path / f"{sample.frame.frame_id}.npy", sample.image[0].numpy())
        for change in changes:
            samples[number] = sample = mirror(sample) if change == "m" else joint_turn(sample, angle_deg)
    height, width = samples[0].image.shape[1:]
    found = depth_provider(described_files(tmp_path), height, width)(collate(samples))
    assert torch.equal(found[:, 0], torch.stack([sample.image[0] for sample in samples]).float())
    alone = collate(samples).only(1)
    assert torch.equal(depth_provider(described_files(tmp_path), height, width)(alone), found[1:])


def test_a_frame_id_with_a_folder_is_a_file_in_a_folder(batch: Batch, tmp_path: Path) -> None:
    describe(tmp_path)
    batch.frames = tuple(replace(frame, frame_id=f"00/{frame.frame_id}") for frame in batch.frames)
    (tmp_path / "00").mkdir()
    write(tmp_path, batch, np.full((3, 3), 512))
    assert depth_provider(described_files(tmp_path), 3, 3)(batch)[0].unique().tolist() == [2.0]


def test_a_missing_file_is_named(batch: Batch, tmp_path: Path) -> None:
    describe(tmp_path)
    write(tmp_path, batch, np.full((3, 3), 512))
    missing = tmp_path / f"{batch.frames[1].frame_id}.png"
    missing.unlink()
    with pytest.raises(CrossplaceError, match=f"{batch.frames[1].frame_id}: no depth file {missing}"):
        depth_provider(described_files(tmp_path), 3, 3)(batch)


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        ("png", b"", "not a readable PNG"),
        ("png", b"\x89PNG\r\n\x1a\n but no more", "not a readable PNG"),
        ("npy", b"\x93NUMPY", "npy"),
        ("npy", np.zeros((2, 2, 3)), r"expected one number a pixel \(height, width\), found float64 \(2, 2, 3\)"),
        ("npy", np.zeros((0, 4)), "expected one number a pixel"),
        ("npy", np.array([["far", "near"]]), "expected one number a pixel"),
        ("png", np.zeros((4, 4, 3), dtype=np.uint8), "expected a 16-bit grey PNG, found mode RGB"),
        ("png", np.zeros((4, 4), dtype=np.uint8), "expected a 16-bit grey PNG, found mode L"),
    ],
)
def test_a_broken_file_is_a_sentence(batch: Batch, tmp_path: Path, kind: str, content: Any, says: str) -> None:
    describe(tmp_path, format=kind)
    write(tmp_path, batch, np.full((3, 3), 512), kind)
    path = tmp_path / f"{batch.frames[0].frame_id}.{kind}"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif kind == "npy":
        np.save(path, content)
    else:
        Image.fromarray(content).save(path)
    with pytest.raises(CrossplaceError, match=says) as error:
        depth_provider(described_files(tmp_path), 3, 3)(batch)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.95])
def test_a_png_that_ends_early_is_a_sentence(batch: Batch, tmp_path: Path, cut: float) -> None:
    describe(tmp_path)
    write(tmp_path, batch, np.random.default_rng(0).integers(1, 65000, (20, 30)))
    path = tmp_path / f"{batch.frames[0].frame_id}.png"
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    with pytest.raises(CrossplaceError, match=path.name):
        depth_provider(described_files(tmp_path), 3, 3)(batch)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"unit_m": 0}, "unit_m"),
        ({"unit_m": -1.0}, "unit_m"),
        ({"unit_m": "metres"}, "unit_m"),
        ({"format": "exr"}, "format"),
        ({"made_by": ""}, "made_by"),
        ({"scale": 2}, "scale"),
    ],
)
def test_a_description_that_says_no_unit_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    describe(tmp_path, **changes)
    with pytest.raises(CrossplaceError, match=rf"depth\.json: {says}.*expected"):
        described_files(tmp_path)


def test_a_folder_without_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match="unit of the depth files is unknown"):
        depth_source(str(tmp_path))
