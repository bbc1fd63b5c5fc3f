"""A map that is kept: what comes back, and what foreign, damaged and half-written maps are told."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from localizers import method_called

from benchmark.deploy import map_files
from benchmark.deploy.localizer import Localizer
from benchmark.deploy.map_files import MAP
from benchmark.descriptors.files import Descriptors
from datasets.errors import CrossplaceError
from datasets.files import sealed
from datasets.prepared import PreparedDataset
from methods.base import Method


@pytest.fixture
def saved(morning: Localizer, small_world: PreparedDataset, tmp_path: Path) -> Path:
    morning.calibrate(small_world, ["evening"])
    morning.save(tmp_path / "map")
    return tmp_path / "map"


def test_a_map_comes_back_as_it_was(morning: Localizer, saved: Path, small_world: PreparedDataset) -> None:
    loaded = Localizer.load(saved, morning.method)
    assert loaded.calibrations == morning.calibrations
    assert loaded.drive.name == "morning"
    assert (loaded.drive.intrinsics, loaded.modality) == (morning.drive.intrinsics, "cloud")
    assert (loaded.drive.camera_from_lidar == morning.drive.camera_from_lidar).all()
    for row in range(12, 24):
        image = small_world.load_image(small_world.frame(row))
        assert loaded.query(image=image, top=12) == morning.query(image=image, top=12)
    loaded.add(np.eye(4), 1, cloud=small_world.load_cloud(small_world.frame(0)), name="grows on")
    loaded.save(saved)
    assert len(Localizer.load(saved, morning.method)) == 13


def test_methods_with_two_descriptors_keep_both(small_world: PreparedDataset, tmp_path: Path) -> None:
    method = method_called("rangebev")
    localizer = Localizer.build(method, small_world, ["morning"], "image")
    localizer.save(tmp_path)
    loaded = Localizer.load(tmp_path, method)
    for name, array in localizer.places.descriptors.items():
        assert (loaded.places.descriptors[name] == array).all()
    assert loaded.modality == "image"


def test_a_map_is_a_folder_of_descriptors_like_any_other(morning: Localizer, saved: Path) -> None:
    found = Descriptors.read(saved)
    frames = morning.places.frames
    assert (found.of("cloud", frames.frame_id.tolist()) == morning.places.descriptors["main"]).all()
    assert (found.method, found.distance) == ("height_histogram", "l2")


def test_an_empty_map_can_be_kept(histogram: Method, small_world: PreparedDataset, tmp_path: Path) -> None:
    Localizer(histogram, small_world.traversals["morning"]).save(tmp_path)
    assert len(Localizer.load(tmp_path, histogram)) == 0


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a bit": flipped,
    "the end": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "the file": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["frames.csv", "frame_ids.txt", "clouds.npy", "descriptors.json", MAP])
def test_every_damage_is_named_and_saving_again_mends_it(
    name: str, damage: str, morning: Localizer, saved: Path
) -> None:
    DAMAGE[damage](saved / name)
    with pytest.raises(CrossplaceError) as caught:
        Localizer.load(saved, morning.method)
    sentence = str(caught.value)
    assert sentence.startswith(f"{saved}")
    assert name in sentence
    assert "build the map anew" in sentence or "Localizer.save makes one" in sentence
    morning.save(saved)
    assert len(Localizer.load(saved, morning.method)) == 12


def test_maps_of_others_are_refused_and_the_right_method_reads_them(morning: Localizer, saved: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"method height_histogram, not by range_plain; load height_h"):
        Localizer.load(saved, method_called("range_plain"))
    other = type(morning.method)(replace(morning.method.config, sky_contrast=0.2))
    with pytest.raises(CrossplaceError, match=r"another configuration or code .*load the method as it was"):
        Localizer.load(saved, other)
    assert len(Localizer.load(saved, method_called("height_histogram"))) == 12


def test_maps_of_a_method_without_weights_are_refused_once_its_code_has_changed(
    morning: Localizer, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_files, "code_behind", lambda method: "edited")
    with pytest.raises(CrossplaceError, match="another configuration or code of the method"):
        Localizer.load(saved, morning.method)


def test_maps_of_other_weights_are_refused(small_world: PreparedDataset, tmp_path: Path) -> None:
    method = method_called("range_plain")
    Localizer.build(method, small_world, ["morning"]).save(tmp_path)
    assert len(Localizer.load(tmp_path, method_called("range_plain"))) == 12
    with np.testing.suppress_warnings():
        next(method.parameters()).data[0] += 1
    with pytest.raises(CrossplaceError, match=r"with other weights of the method .*or build the map anew"):
        Localizer.load(tmp_path, method)
    Localizer.build(method, small_world, ["morning"]).save(tmp_path)
    assert len(Localizer.load(tmp_path, method)) == 12


def rewritten(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text()) | changes
    del content["seal"]
    path.write_text(json.dumps(sealed(content)))


def test_what_a_map_says_must_make_sense(morning: Localizer, saved: Path) -> None:
    content = json.loads((saved / MAP).read_text())
    calibration = content["calibrations"]["cloud"]
    rising = calibration | {"share": {"distance": [0.0, 1.0], "share": [0.2, 0.9]}}
    wrong: list[tuple[dict[str, object], str]] = [
        ({"schema_version": 2}, "expected schema_version 1, found 2"),
        ({"n_places": 11}, "do not belong together"),
        ({"calibrations": {"cloud": rising}}, "distances that rise and shares that do not"),
        ({"calibrations": {"cloud": calibration | {"n_queries": 0}}}, "greater than 0"),
        ({"calibrations": {"cloud": calibration | {"covariance": [[1, 0], [0, 1]]}}}, "covariance"),
        ({"n_places": "many"}, "n_places"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
    ]
    for changes, sentence in wrong:
        morning.save(saved)
        rewritten(saved / MAP, **changes)
        with pytest.raises(CrossplaceError, match=f"{sentence}.*build the map anew"):
            Localizer.load(saved, morning.method)
    morning.save(saved)
    rewritten(saved / MAP)
    assert len(Localizer.load(saved, morning.method)) == 12


@pytest.mark.parametrize("n_written", range(5))
def test_a_map_whose_saving_was_interrupted_is_no_map(
    n_written: int, morning: Localizer, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an older map lay: it never is half of one and half of the other."""
    left, write = iter(range(n_written)), map_files.write_atomically

    def until_the_disk_is_full(path: Path, content: bytes) -> None:
        if next(left, None) is None:
            raise CrossplaceError("no space")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(map_files, "write_atomically", until_the_disk_is_full)
        with pytest.raises(CrossplaceError, match="no space"):
            morning.save(saved)
    with pytest.raises(CrossplaceError, match=r"no completely saved map; Localizer\.save makes one"):
        Localizer.load(saved, morning.method)
    morning.save(saved)
    assert len(Localizer.load(saved, morning.method)) == 12
