"""Frames of a dataset as methods get them, and the size of what they go through."""

from torch import nn

from datasets.base import Frame
from datasets.prepared import PreparedDataset
from methods.batch import Batch, Sample, collate, load_sample


def sample_of(dataset: PreparedDataset, row: int) -> Sample:
    """One frame with all that it has."""
    return load_sample(dataset, dataset.frame(row), ("image", "cloud"))


def batch_of(dataset: PreparedDataset, *rows: int) -> Batch:
    """Some frames with all that they have."""
    return collate([sample_of(dataset, row) for row in rows])


def count(module: nn.Module) -> int:
    """Parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def bare_frame(frame_id: str, east_m: float, north_m: float = 0.0, yaw_rad: float = 0.0, world: str = "a") -> Frame:
    """A frame that has a pose and nothing else."""
    return Frame(
        frame_id=frame_id,
        traversal="t",
        world=world,
        timestamp_ns=0,
        position_m=(float(east_m), north_m, 0.0),
        yaw_rad=yaw_rad,
        image="",
        cloud="",
        intrinsics=None,
        camera_from_lidar=None,
        lidar=None,
    )
