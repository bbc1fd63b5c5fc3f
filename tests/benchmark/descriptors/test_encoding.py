"""The descriptor cache: whole or absent, and never that of something else."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.descriptors.encoding import encode, encode_batch
from benchmark.descriptors.files import Descriptors
from benchmark.descriptors.parts import all_encoded
from benchmark.descriptors.returned import check_method
from benchmark.frames.loading import batch_loader
from benchmark.frames.perturbations import Perturber
from datasets.errors import CrossplaceError
from datasets.files import write_atomically
from datasets.prepared import PreparedDataset
from methods.base import Method

MANIFEST = {"weights_key": "w", "dataset": "d"}
ALL = np.arange(36)


def stamps(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob("*/*/*")}


def test_each_traversal_is_a_part_with_its_descriptors(
    method: Method, small_world: PreparedDataset, tmp_path: Path
) -> None:
    assert encode(method, small_world, ALL, tmp_path, MANIFEST) == 3
    (batch,) = batch_loader(small_world, [ALL.tolist()], ("image", "cloud"))
    with torch.inference_mode():
        expected = encode_batch(method, batch)
    found = Descriptors.read(tmp_path)
    assert (found.method, found.distance) == ("toy", "l2")
    for modality in ("image", "cloud"):
        array = found.of(modality, small_world.frames.frame_id.tolist())
        assert (array.shape, array.dtype) == ((36, 1, 4), np.float32)
        np.testing.assert_allclose(array, expected[modality]["main"].numpy(), atol=1e-6)


def test_parts_are_split_where_frames_lack_a_modality(method: Method, lacking: PreparedDataset, tmp_path: Path) -> None:
    assert encode(method, lacking, ALL, tmp_path, MANIFEST) == 5
    parts = {str(p.parent.relative_to(tmp_path)): p.read_text().split() for p in tmp_path.rglob("frame_ids.txt")}
    assert parts["morning/image"] == ["morning-0", "morning-1"]
    assert parts["midnight/cloud"] == ["midnight-11"]
    assert len(parts["morning/both"]) == 10
    assert not (tmp_path / "morning" / "image" / "clouds.npy").exists()
    found = Descriptors.read(tmp_path)
    assert (len(found.rows["image"]), len(found.rows["cloud"])) == (35, 34)


def test_a_second_time_nothing_is_done(method: Method, lacking: PreparedDataset, tmp_path: Path) -> None:
    assert not all_encoded(lacking, ALL, tmp_path, MANIFEST)
    encode(method, lacking, ALL, tmp_path, MANIFEST)
    assert all_encoded(lacking, ALL, tmp_path, MANIFEST)
    before = stamps(tmp_path)
    assert encode(method, lacking, ALL, tmp_path, MANIFEST) == 0
    assert stamps(tmp_path) == before


@pytest.mark.parametrize(
    "change", [{"weights_key": "other"}, {"dataset": "other"}, {"precision": "16-mixed"}], ids=lambda c: next(iter(c))
)
def test_another_manifest_encodes_everything_anew(
    method: Method, small_world: PreparedDataset, tmp_path: Path, change: dict[str, str]
) -> None:
    encode(method, small_world, ALL, tmp_path, MANIFEST)
    assert not all_encoded(small_world, ALL, tmp_path, MANIFEST | change)
    assert encode(method, small_world, ALL, tmp_path, MANIFEST | change) == 3


def test_other_frames_encode_only_the_parts_they_are_in(
    method: Method, small_world: PreparedDataset, tmp_path: Path
) -> None:
    encode(method, small_world, ALL, tmp_path, MANIFEST)
    assert encode(method, small_world, ALL[1:], tmp_path, MANIFEST) == 1
    assert "morning-0" not in Descriptors.read(tmp_path).rows["image"]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")], ids=["absent", "cut off"])
def test_a_part_without_a_readable_manifest_is_encoded_again(
    method: Method, small_world: PreparedDataset, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    encode(method, small_world, ALL, tmp_path, MANIFEST)
    damage(tmp_path / "evening" / "both" / "manifest.json")
    assert encode(method, small_world, ALL, tmp_path, MANIFEST) == 1


@pytest.mark.parametrize("unlucky", ["images.npy", "clouds.npy", "frame_ids.txt", "manifest.json"])
def test_a_crash_while_a_part_is_overwritten_never_leaves_it_looking_whole(
    method: Method, small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlucky: str
) -> None:
    """Two protocols with equally many frames of one traversal: the old manifest must not vouch for mixed files."""
    one, two = ALL[:11], ALL[1:12]
    encode(method, small_world, one, tmp_path, MANIFEST)

    def fail(path: Path, content: bytes) -> None:
        if path.name == unlucky:
            raise OSError("disk full")
        write_atomically(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("benchmark.descriptors.encoding.write_atomically", fail)
        with pytest.raises(OSError, match="disk full"):
            encode(method, small_world, two, tmp_path, MANIFEST)
    assert not all_encoded(small_world, two, tmp_path, MANIFEST)
    encode(method, small_world, one, tmp_path, MANIFEST)
    found = Descriptors.read(tmp_path).of("image", small_world.frames.frame_id[one].tolist())
    encode(method, small_world, one, tmp_path / "fresh", MANIFEST)
    expected = Descriptors.read(tmp_path / "fresh").of("image", small_world.frames.frame_id[one].tolist())
    np.testing.assert_array_equal(found, expected)


def test_the_manifest_says_what_the_part_is_made_of(
    method: Method, small_world: PreparedDataset, tmp_path: Path
) -> None:
    encode(method, small_world, ALL[:3], tmp_path, MANIFEST)
    manifest = json.loads((tmp_path / "morning" / "both" / "manifest.json").read_text())
    assert manifest.pop("files").keys() == {"images.npy", "clouds.npy", "frame_ids.txt"}
    assert manifest.pop("seal")
    assert manifest == {**MANIFEST, "frames": ["morning-0", "morning-1", "morning-2"]}


@pytest.mark.parametrize("name", ["images.npy", "clouds.npy", "frame_ids.txt"])
def test_a_damaged_part_is_an_error_to_read_and_is_encoded_again(
    method: Method, small_world: PreparedDataset, tmp_path: Path, name: str
) -> None:
    encode(method, small_world, ALL, tmp_path, MANIFEST)
    path = tmp_path / "evening" / "both" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b"7" + whole[-2:])
    with pytest.raises(CrossplaceError, match=rf"{name}: missing or damaged since it was written; delete"):
        Descriptors.read(tmp_path)
    assert encode(method, small_world, ALL, tmp_path, MANIFEST) == 1
    assert path.read_bytes() == whole


def test_encoding_does_not_depend_on_the_batch_size(
    method: Method, small_world: PreparedDataset, tmp_path: Path
) -> None:
    for size in (1, 5):
        encode(method.train(), small_world, ALL, tmp_path / str(size), MANIFEST, batch_size=size)
    ids = small_world.frames.frame_id.tolist()
    one, five = (Descriptors.read(tmp_path / size).of("cloud", ids) for size in ("1", "5"))
    np.testing.assert_allclose(one, five, atol=1e-6)


# --- perturbed frames ----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "modality"), [("range-noise", "cloud"), ("image-noise", "image")])
def test_only_the_perturbed_modality_is_encoded(
    method: Method, lacking: PreparedDataset, tmp_path: Path, name: str, modality: Any
) -> None:
    perturber = Perturber(name=name, severity=5, seed=0)
    encode(method, lacking, ALL, tmp_path / "clean", MANIFEST)
    assert encode(method, lacking, ALL, tmp_path / "perturbed", MANIFEST, perturber=perturber) == 4
    assert all_encoded(lacking, ALL, tmp_path / "perturbed", MANIFEST, modality)
    clean, perturbed = Descriptors.read(tmp_path / "clean"), Descriptors.read(tmp_path / "perturbed")
    assert list(perturbed.arrays) == [modality]
    assert perturbed.rows[modality].keys() == clean.rows[modality].keys()
    ids = list(clean.rows[modality])
    assert not np.isclose(perturbed.of(modality, ids), clean.of(modality, ids)).all(axis=(1, 2)).any()


def test_perturbed_descriptors_do_not_depend_on_the_batch_size(
    method: Method, small_world: PreparedDataset, tmp_path: Path
) -> None:
    perturber = Perturber(name="point-dropout", severity=4, seed=0)
    for size in (1, 5):
        encode(method, small_world, ALL, tmp_path / str(size), MANIFEST, size, perturber)
    one, five = (Descriptors.read(tmp_path / size).of("cloud", ["evening-3", "morning-0"]) for size in ("1", "5"))
    np.testing.assert_allclose(one, five, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found["main"], r"encode_clouds returned a Tensor, expected a dict of tensors by name: main"),
        (
            lambda found: {"global": found["main"]},
            r"encode_clouds returned the descriptors \['global'\], expected .*main",
        ),
        (lambda found: {"main": found["main"][:, 0]}, r"'main' of shape \(\d, 4\), expected \(\d, 1, 4\)"),
        (lambda found: {"main": found["main"][..., 1:]}, r"'main' of shape \(\d, 1, 3\), expected \(\d, 1, 4\)"),
        (lambda found: {"main": found["main"] * float("nan")}, r"'main' that is not finite for frame morning-0"),
    ],
    ids=["no dict", "name", "views", "size", "nan"],
)
def test_what_a_method_returns_is_what_it_declares(
    change: Callable[[Any], Any],
    said: str,
    method: Method,
    small_world: PreparedDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode_clouds = method.encode_clouds
    monkeypatch.setattr(method, "encode_clouds", lambda inputs: change(encode_clouds(inputs)))
    for asked in (
        lambda: check_method(method, small_world, ALL),
        lambda: encode(method, small_world, ALL, tmp_path, MANIFEST),
    ):
        with pytest.raises(CrossplaceError, match=r"method toy: encode_clouds returned .*; mend the method") as caught:
            asked()
        assert re.search(said, str(caught.value))
    assert not [*tmp_path.rglob("*.npy")]


def test_a_distance_that_there_is_not_is_refused_before_training(method: Method, small_world: PreparedDataset) -> None:
    check_method(method, small_world, ALL)
    spec = replace(method.descriptors[0])
    object.__setattr__(spec, "distance", "manhattan")  # types are checked in tests alone
    method.descriptors = (spec,)
    with pytest.raises(CrossplaceError, match="declares the distance 'manhattan'; declare one of l2, cosine, dot"):
        check_method(method, small_world, ALL)
