from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.batch import Sample, collate, load_sample
from methods.learning.augment import mirror


def samples_of(dataset: PreparedDataset, *rows: int) -> list[Sample]:
    return [load_sample(dataset, dataset.frame(row), ("image", "cloud")) for row in rows]


def random_image(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8)


def test_a_sample_holds_the_files_as_stored(small_world: PreparedDataset) -> None:
    frame = small_world.frame(13)
    sample = load_sample(small_world, frame, ("image", "cloud"))
    assert sample.image is not None
    assert sample.points is not None
    np.testing.assert_array_equal(sample.image.permute(1, 2, 0).numpy(), small_world.load_image(frame))
    np.testing.assert_array_equal(sample.points.numpy(), small_world.load_cloud(frame))
    assert sample.intrinsics is not None
    assert sample.intrinsics.tolist() == [0.5, np.float32(16 / 24), 0.5, 0.5]


def test_what_is_not_asked_for_or_not_there_is_none(small_world: PreparedDataset) -> None:
    frame = small_world.frame(0)
    assert load_sample(small_world, frame, ("image",)).points is None
    assert load_sample(small_world, frame, ("cloud",)).image is None
    bare = replace(frame, image="", cloud="", intrinsics=None, camera_from_lidar=None)
    sample = load_sample(small_world, bare, ("image", "cloud"))
    assert (sample.image, sample.points, sample.intrinsics, sample.camera_from_lidar) == (None, None, None, None)


def test_each_point_keeps_its_sample_also_beside_an_empty_cloud(small_world: PreparedDataset) -> None:
    samples = samples_of(small_world, 0, 1, 2, 3)
    for sample, n_points in zip(samples, (2, 0, 3, 0), strict=True):
        sample.points = torch.rand(n_points, 3)
    batch = collate(samples)
    assert len(batch) == 4
    assert batch.clouds.batch_index.tolist() == [0, 0, 2, 2, 2]
    assert len(batch.clouds.lidars) == 4
    assert torch.equal(batch.clouds.points, torch.cat([samples[0].points, samples[2].points]))


def test_images_of_different_sizes_stay_as_they_are(small_world: PreparedDataset) -> None:
    first, second = samples_of(small_world, 0, 1)
    batch = collate([first, replace(second, image=random_image(10, 7))])
    assert [tuple(image.shape) for image in batch.images] == [(3, 24, 32), (3, 10, 7)]


def test_calibration_is_stacked_in_the_order_of_the_samples(small_world: PreparedDataset) -> None:
    samples = samples_of(small_world, 3, 0)
    samples[1].intrinsics = torch.tensor([1.0, 2.0, 3.0, 4.0])
    intrinsics, camera_from_lidar = collate(samples).calibration()
    # fx = fy = 16 and the centre of a 32 × 24 image, in units of its width and height
    assert intrinsics.tolist() == [[0.5, pytest.approx(16 / 24), 0.5, 0.5], [1, 2, 3, 4]]
    assert torch.equal(camera_from_lidar[0], samples[0].camera_from_lidar)


@pytest.mark.parametrize("modality", ["image", "cloud"])
def test_a_modality_that_one_frame_lacks_is_absent_and_the_error_names_that_frame(
    small_world: PreparedDataset, modality: str
) -> None:
    good, bad = samples_of(small_world, 0, 1)
    lacking = {"image": {"image": None}, "cloud": {"points": None}}[modality]
    batch = collate([good, replace(bad, frame=replace(bad.frame, **{modality: ""}), **lacking)])
    assert (batch.images is None, batch.clouds is None) == (modality == "image", modality == "cloud")
    with pytest.raises(CrossplaceError, match=rf"frame {bad.frame.frame_id}: no {modality}"):
        batch.require_images() if modality == "image" else batch.require_clouds()


@pytest.mark.parametrize("field", ["intrinsics", "camera_from_lidar"])
def test_missing_calibration_is_an_error_that_names_the_frame(small_world: PreparedDataset, field: str) -> None:
    good, bad = samples_of(small_world, 0, 1)
    bad = replace(bad, frame=replace(bad.frame, **{field: None}), **{field: None})
    with pytest.raises(CrossplaceError, match=rf"frame {bad.frame.frame_id}: .* traversal 'morning'"):
        collate([good, bad]).calibration()


def test_a_batch_moves_with_all_its_tensors(small_world: PreparedDataset) -> None:
    moved = collate(samples_of(small_world, 0, 1)).to("meta")
    tensors = [*moved.images, moved.clouds.points, moved.clouds.batch_index, moved.intrinsics, moved.camera_from_lidar]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert [frame.frame_id for frame in moved.frames] == ["morning-0", "morning-1"]


def test_a_batch_without_anything_but_frames_moves_too(small_world: PreparedDataset) -> None:
    sample = Sample(frame=small_world.frame(0), image=None, points=None, intrinsics=None, camera_from_lidar=None)
    moved = collate([sample]).to("meta")
    assert (moved.images, moved.clouds, moved.intrinsics, moved.camera_from_lidar) == (None, None, None, None)


def test_one_sample_of_a_batch_is_the_batch_of_that_sample(small_world: PreparedDataset) -> None:
    samples = [load_sample(small_world, small_world.frame(row), ("image", "cloud")) for row in (0, 3, 14)]
    samples[1] = mirror(samples[1])
    batch = collate(samples)
    ids = [sample.frame.frame_id for sample in samples]
    assert batch.appearances == [(ids[0], False), (ids[1], True), (ids[2], False)]
    for number, sample in enumerate(samples):
        found, alone = batch.only(number), collate([sample])
        assert found.appearances == alone.appearances == [batch.appearances[number]]
        assert torch.equal(found.images[0], alone.images[0])
        assert torch.equal(found.clouds.points, alone.clouds.points)
        assert torch.equal(found.clouds.batch_index, alone.clouds.batch_index)
        assert torch.equal(found.intrinsics, alone.intrinsics)
        assert torch.equal(found.camera_from_lidar, alone.camera_from_lidar)
