import pytest
import torch
from batches import batch_of
from torch import Tensor

from datasets.prepared import PreparedDataset
from methods.base import ImageInput
from methods.batch import Batch
from methods.height_histogram import HeightHistogram, HeightHistogramConfig

IMAGE = ImageInput(height=8, width=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
METHOD = HeightHistogram(HeightHistogramConfig(image=IMAGE, bins=4))


def skyline_picture(heights: list[int]) -> Tensor:
    """A white sky over black columns that begin at these rows of 8; 8 means sky all the way down."""
    rows = torch.arange(8)[:, None]
    return (rows < torch.tensor(heights)).float()[None, None].expand(1, 3, 8, 4)


@pytest.fixture
def batch(small_world: PreparedDataset) -> Batch:
    """Two frames; the camera is the network frame itself, 90° wide and high."""
    batch = batch_of(small_world, 0, 1)
    batch.intrinsics = torch.tensor([[0.5, 0.5, 0.5, 0.5]] * 2)
    batch.camera_from_lidar = torch.tensor([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]).repeat(2, 1, 1)
    return batch


def with_points(batch: Batch, *clouds: list[list[float]]) -> Batch:
    points = [torch.tensor(cloud).reshape(-1, 3) for cloud in clouds]
    batch.clouds.points = torch.cat(points)
    batch.clouds.batch_index = torch.repeat_interleave(torch.tensor([len(p) for p in points]))
    return batch


def test_histogram_of_an_image_counts_where_the_sky_ends() -> None:
    # rows 0 … 8 of 8 fall into four bins of two rows
    found = METHOD.encode_images(skyline_picture([2, 3, 5, 8]))["main"]
    assert found.tolist() == [[[0.0, 0.5, 0.25, 0.25]]]


def test_sky_is_what_resembles_the_top_row_dark_or_bright() -> None:
    picture = skyline_picture([2, 3, 5, 8])
    assert torch.equal(METHOD.encode_images(1 - picture)["main"], METHOD.encode_images(picture)["main"])
    faint = 0.5 + 0.1 * picture  # a contrast below the threshold is sky
    assert METHOD.encode_images(faint)["main"].tolist() == [[[0, 0, 0, 1]]]


def test_skyline_of_a_cloud_is_the_highest_return_of_each_column(batch: Batch) -> None:
    # columns from the left: v = 0.5 - 0.5 · up / forward
    near_left = [[10.0, 8.0, 0.0], [10.0, 8.0, 5.0], [10.0, 8.0, -9.0]]
    right = [[10.0, -8.0, -5.0]]
    hidden = [[-10.0, 8.0, 9.0], [10.0, 8.0, 20.0]]  # behind the camera; above the image
    found = METHOD.cloud_inputs(with_points(batch, near_left + right + hidden, []))
    torch.testing.assert_close(found, torch.tensor([[0.25, 1.0, 1.0, 0.75], [1.0, 1.0, 1.0, 1.0]]))


def test_histogram_of_a_cloud_counts_the_heights_of_its_skyline() -> None:
    found = METHOD.encode_clouds(torch.tensor([[0.0, 0.24, 0.25, 1.0], [0.5, 0.5, 0.5, 0.74]]))["main"]
    assert found.tolist() == [[[0.5, 0.25, 0.0, 0.25]], [[0.0, 0.0, 1.0, 0.0]]]


def test_an_image_and_a_cloud_of_the_same_skyline_agree(batch: Batch) -> None:
    # walls 10 m ahead whose top edges lie in image rows 2, 3, 5 of 8, and an open last column
    tops = [(8.0, 5.0), (3.0, 2.5), (-3.0, -2.5)]
    walls = [[10.0, left, up - 0.1 - 0.5 * k] for left, up in tops for k in range(3)]
    clouds = METHOD.encode_clouds(METHOD.cloud_inputs(with_points(batch, walls, walls)))["main"]
    assert torch.equal(clouds[0], METHOD.encode_images(skyline_picture([2, 3, 5, 8]))["main"][0])


def test_there_is_nothing_to_train(batch: Batch) -> None:
    assert not HeightHistogram.is_trainable
    assert list(METHOD.parameters()) == []
