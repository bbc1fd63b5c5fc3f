"""Honest data that is unusual has doubts at most: a drone, a hall, the night, other LiDARs and other cameras."""

from collections.abc import Callable
from dataclasses import replace

import meanings
import numpy as np
import pytest
from meanings import Change, Meant
from numpy import ndarray
from scipy.spatial.transform import Rotation

from datasets.base import Lidar
from datasets.doctor.examine import examine
from datasets.prepared import PreparedDataset


def rolled(axis: str, angle_deg: float) -> Callable[[ndarray], ndarray]:
    """The same camera, turned about an axis of its own."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler(axis, angle_deg, degrees=True).as_matrix()
    return lambda camera_from_lidar: turn @ camera_from_lidar


def mounted(change: Callable[[ndarray], ndarray]) -> Change:
    return meanings.mount(lambda matrix, _: change(matrix))


def sensor(lidar: Lidar | None) -> Change:
    return meanings.described(lambda traversal, _: replace(traversal, lidar=lidar))


def both(*changes: Change) -> Change:
    """Several changes of the traversals, then of what is loaded."""

    def change(dataset: Meant, random: np.random.Generator) -> Meant:
        for one in changes:
            dataset = one(dataset, random)
        return dataset

    return change


def of_one_beam(xyz: ndarray, _: np.random.Generator) -> ndarray:
    elevation = np.abs(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])))
    return xyz[elevation < 0.03] * [1, 1, 0]


ONE_BEAM = Lidar(beams=1, vertical_fov_deg=(-1.0, 1.0), max_range_m=80.0, form="scan")
DRONE = Lidar(beams=32, vertical_fov_deg=(-90.0, 30.0), max_range_m=150.0, form="scan")
SHORT = Lidar(beams=32, vertical_fov_deg=(-22.5, 22.5), max_range_m=10.0, form="submap")
HONEST: dict[str, tuple[Change, set[str]]] = {
    "a hall": (
        both(meanings.positions(lambda p, _: p * 0.005), meanings.points(lambda xyz, _: xyz * 0.15)),
        {"same-place"},
    ),
    "a LiDAR of one beam": (both(sensor(ONE_BEAM), meanings.points(of_one_beam)), {"flat"}),
    "a drone that looks ahead": (both(sensor(DRONE), meanings.points(lambda xyz, _: xyz - [0, 0, 20])), {"ground"}),
    "a drone that looks down": (
        both(sensor(DRONE), mounted(rolled("x", 90)), meanings.points(lambda xyz, _: xyz - [0, 0, 40])),
        {"ground", "high", "camera-upright"},
    ),
    "a rolled camera": (mounted(rolled("z", -90)), {"camera-upright"}),
    "a camera to the side": (
        mounted(lambda matrix: matrix @ rolled("z", 90)(np.eye(4))),
        {"camera-ahead"},
    ),
    "night": (meanings.levels(lambda image, _: image / 30), {"brightness"}),
    "submaps of a short sensor": (sensor(SHORT), set()),
}


@pytest.mark.parametrize("case", HONEST)
def test_unusual_data_has_doubts_at_most(case: str, tiny_town: PreparedDataset) -> None:
    change, expected = HONEST[case]
    found = examine(change(meanings.meant(tiny_town), np.random.default_rng(0)))
    assert found.faults() == []
    assert expected <= found.doubts().keys()
