"""Training of registrars on local maps: what it sees, what it leaves, and that an interruption changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmark.protocol.selection import select
from benchmark.training import registrars
from benchmark.training.loop import TrainingOptions
from benchmark.training.mapped import MappedDataset
from datasets.base import Protocol, Selection, Split
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.batch import Batch, collate, load_sample
from methods.cmrnet import Cmrnet
from methods.cmrnet.config import PRESETS, CmrnetConfig
from methods.cmrnet.stages import CorrectionStage
from methods.cmrnet.view import drawn, pictures
from methods.layers.poses import between
from methods.learning.augment import mirror

SMALL = replace(
    PRESETS["quick"],
    image=replace(PRESETS["quick"].image, height=24, width=32),
    channels=(4, 8, 8),
    dense=(8, 8),
    hidden=(8, 8),
    most_frames=(8, 4),
    recipe=replace(PRESETS["quick"].recipe, epochs=2, batch_size=4),
)
CPU = TrainingOptions()
SPLIT = Split(train=Selection(), validation=Selection())


@pytest.fixture
def across(protocol: Protocol) -> Protocol:
    """The small world: other drives make the maps."""
    return replace(protocol, split=SPLIT)


@pytest.fixture
def trained(
    small_world: PreparedDataset, across: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))

    def train(runs: Path, config: CmrnetConfig = SMALL) -> Path:
        return registrars.trained_registrar("cmrnet", config, small_world, across, runs, 0, CPU)

    return train


def test_interrupted_and_resumed_equals_uninterrupted(
    trained: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_file(trained(tmp_path / "whole"))
    forward, calls = CorrectionStage.forward, 0

    def interrupted(self: CorrectionStage, batch: Batch) -> object:
        nonlocal calls
        calls += 1
        if calls == 5:  # two steps and one batch of validation are an epoch
            raise KeyboardInterrupt
        return forward(self, batch)

    monkeypatch.setattr(CorrectionStage, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts")
    assert not list((tmp_path / "parts").glob("training/*/weights.safetensors"))
    monkeypatch.setattr(CorrectionStage, "forward", forward)
    found = load_file(trained(tmp_path / "parts"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_what_is_trained_is_not_trained_again(
    trained: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trained(tmp_path)
    monkeypatch.setattr(registrars, "train", lambda *_: pytest.fail("trained again"))
    assert trained(tmp_path) == first


def test_rules_that_make_other_maps_make_other_weights(
    small_world: PreparedDataset, across: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(registrars, "train", lambda *given: seen.append(given[3]))
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))
    for rules in (across, replace(across, pairs="within", min_gap_s=10.0), replace(across, pairs="within")):
        registrars.trained_registrar("cmrnet", SMALL, small_world, rules, tmp_path, 0, CPU)
    assert len({folder.name for folder in seen}) == len(seen) == 3


def test_how_often_a_pose_is_corrected_changes_no_training(trained: Callable[..., Path], tmp_path: Path) -> None:
    trained(tmp_path)
    trained(tmp_path, replace(SMALL, iterations=1, solves=True))
    assert len(list((tmp_path / "stages").iterdir())) == 1
    assert len(list((tmp_path / "training").iterdir())) == 2


# --- local maps as clouds ------------------------------------------------------------------------


@pytest.fixture
def mapped(small_world: PreparedDataset, across: Protocol, tmp_path: Path) -> MappedDataset:
    return MappedDataset.of(small_world, across, tmp_path)


def test_a_map_is_made_of_other_drives(mapped: MappedDataset, small_world: PreparedDataset) -> None:
    row = 5
    rule = mapped.sweeps[0]
    names = set(small_world.frames.traversal[rule.of(row)])
    assert names == set(small_world.frames.traversal_names()) - {small_world.frames.traversal[row]}
    assert len(mapped.load_cloud(mapped.frame(row)))


def test_listed_pairs_are_those_of_the_test_and_training_drives_are_searched_across(
    small_world: PreparedDataset, across: Protocol, tmp_path: Path
) -> None:
    by_day = Selection(traversals=("morning", "evening"))
    listed = replace(across, pairs=(("midnight", "morning"),), split=replace(SPLIT, train=by_day))
    mapped = MappedDataset.of(small_world, listed, tmp_path)
    assert mapped.sweeps[0].searched == {"morning": ("evening",), "evening": ("morning",)}
    assert len(mapped.load_cloud(mapped.frame(5)))


def test_training_without_a_second_drive_of_a_world_is_refused(
    small_world: PreparedDataset, across: Protocol, tmp_path: Path
) -> None:
    alone = replace(across, split=replace(SPLIT, train=Selection(traversals=("morning",))))
    frames = replace(small_world.frames, world=small_world.frames.traversal)
    for dataset, protocol in ((small_world, alone), (replace(small_world, frames=frames), across)):
        with pytest.raises(CrossplaceError, match=r"made of sweeps of another training drive of its world; prepare"):
            MappedDataset.of(dataset, protocol, tmp_path)


def test_a_validation_drive_alone_is_left_out(
    small_world: PreparedDataset, across: Protocol, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert MappedDataset.of(small_world, across, tmp_path).protocol == across
    assert not caplog.messages
    alone = replace(across, split=replace(SPLIT, validation=Selection(traversals=("morning",))))
    split = MappedDataset.of(small_world, alone, tmp_path).protocol.split
    assert len(select(small_world.frames, split.train)) == len(small_world.frames)
    assert len(select(small_world.frames, split.validation)) == 0
    assert "no sweep of another validation drive of its world" in caplog.text


def test_the_map_stands_where_the_camera_sees_it(mapped: MappedDataset, small_world: PreparedDataset) -> None:
    """Points of the map, through ``camera_from_map``, are those of the world through the poses in the table."""
    row = 5
    frame = mapped.frame(row)
    points = mapped.load_cloud(frame).astype(np.float64)
    origin = np.round(small_world.frames.position_m[row])
    own = small_world.frame(row)
    yaw = own.yaw_rad
    world_from_lidar = np.eye(4)
    world_from_lidar[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    world_from_lidar[:3, 3] = own.position_m
    camera_from_world = own.camera_from_lidar @ np.linalg.inv(world_from_lidar)
    expected = (points + origin) @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    found = points @ frame.camera_from_lidar[:3, :3].T + frame.camera_from_lidar[:3, 3]
    assert np.allclose(found, expected, atol=1e-4)
    assert (found[:, 2] > -5).all()


def test_a_frame_without_calibration_is_named(mapped: MappedDataset) -> None:
    name = mapped.frames.traversal[0]
    bare = {**mapped.traversals, name: replace(mapped.traversals[name], camera_from_lidar=None)}
    with pytest.raises(CrossplaceError, match="camera_from_lidar"):
        replace(mapped, traversals=bare).frame(0)


def test_starts_of_validation_are_always_the_same_and_those_of_training_are_not(mapped: MappedDataset) -> None:
    batch = collate([load_sample(mapped, mapped.frame(row), ("image", "cloud")) for row in (0, 3)])
    stage = Cmrnet(SMALL).stages(SPLIT)[0]
    rough = {}
    for mode in (True, False):
        stage.train(mode)
        rough[mode] = [stage.started(batch).rough_map_from_camera for _ in range(2)]
    assert torch.equal(*rough[False])
    assert not torch.equal(*rough[True])
    distance_m, _ = between(rough[False][0], stage.started(batch).true_map_from_camera)
    assert (distance_m > 0).all()
    assert (distance_m < 3.5).all()


def test_a_mirrored_frame_sees_its_map_in_the_mirror(mapped: MappedDataset) -> None:
    """Drawn at the true pose, the depth image of a mirrored sample is the mirrored depth image."""
    sample = load_sample(mapped, mapped.frame(5), ("image", "cloud"))
    stage = Cmrnet(SMALL).stages(SPLIT)[0].eval()
    images = []
    for seen in (sample, mirror(sample)):
        batch = stage.started(collate([seen]))
        truth = batch.true_map_from_camera
        images.append(drawn(batch.points, truth, pictures(batch, SMALL), SMALL)[0, 0])
    same = (images[0] - images[1].flip(1)).abs() < 1e-3
    assert (images[0] > 0).any()
    assert same.float().mean() > 0.98  # a point on the edge of a pixel may change sides
