"""The bounds of registration, and what a batch of registration can do."""

import pytest
import torch
from batches import bare_frame

from datasets.errors import CrossplaceError
from methods.pose_bounds import Keep, Oracle
from methods.registration import RegistrationBatch


def two_frames(**changed: object) -> RegistrationBatch:
    poses = torch.eye(4).repeat(2, 1, 1)
    poses[1, 0, 3] = 3.0
    values = {
        "frames": (bare_frame("drive/0", 0.0), bare_frame("drive/1", 9.0)),
        "images": [torch.zeros(3, 4, 6, dtype=torch.uint8)] * 2,
        "intrinsics": torch.tensor([[0.6, 0.8, 0.5, 0.5]]).repeat(2, 1),
        "points": [torch.zeros(0, 3), torch.ones(5, 3)],
        "rough_map_from_camera": poses,
        "true_map_from_camera": poses + torch.eye(4).roll(3, 1) * torch.tensor([1.0, 0.0, 0.0, 0.0])[:, None],
        **changed,
    }
    return RegistrationBatch(**values)


def test_keep_returns_the_rough_poses_and_never_believes_them() -> None:
    batch = two_frames()
    found = Keep().register(batch.without_truth())
    assert torch.equal(found.map_from_camera, batch.rough_map_from_camera)
    assert not found.believes.any()
    assert (torch.linalg.eigvalsh(found.covariance) > 0).all()


def test_oracle_returns_the_true_poses() -> None:
    batch = two_frames()
    found = Oracle().register(batch)
    assert batch.true_map_from_camera is not None
    assert torch.equal(found.map_from_camera, batch.true_map_from_camera)
    assert (found.map_from_camera[:, 0, 3] - batch.rough_map_from_camera[:, 0, 3]).tolist() == [1.0, 1.0]
    assert found.believes.all()


def test_oracle_without_truth_names_the_frame() -> None:
    with pytest.raises(CrossplaceError, match="drive/0"):
        Oracle().register(two_frames().without_truth())


def test_one_sample_of_a_batch_is_that_sample() -> None:
    one = two_frames().only(1)
    assert len(one) == 1
    assert one.frames[0].frame_id == "drive/1"
    assert one.points[0].shape == (5, 3)
    assert one.rough_map_from_camera[0, 0, 3] == 3.0
