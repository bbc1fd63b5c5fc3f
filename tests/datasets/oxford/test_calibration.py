"""The places of the sensors, against matrices multiplied by hand and the data set's own files."""

from pathlib import Path

import numpy as np
import pytest

from datasets.oxford.calibration import (
    CLOUD_FROM_INS,
    CLOUD_FROM_LMS,
    INS_FROM_CLOUD,
    INS_FROM_LMS,
    STEREO_FROM_INS,
    STEREO_FROM_LMS,
    rigid,
)


def turned(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """The SDK's product Rz Ry Rx, written out."""
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (np.cos, np.sin))
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return rz @ ry @ rx


def test_six_numbers_are_a_pose() -> None:
    pose = rigid(1.0, 2.0, 3.0, 0.1, -0.2, 0.3)
    np.testing.assert_allclose(pose[:3, :3], turned(0.1, -0.2, 0.3), atol=1e-15)
    np.testing.assert_array_equal(pose[:3, 3], [1, 2, 3])
    np.testing.assert_array_equal(pose[3], [0, 0, 0, 1])


def test_the_scanner_looks_down_and_a_little_ahead_in_front_of_and_below_the_camera() -> None:
    forward, left, up = CLOUD_FROM_LMS[:3, 3]
    assert (forward, left, up) == pytest.approx((1.7589, -0.2268, -1.0411))
    middle = CLOUD_FROM_LMS[:3, 0]
    assert middle[2] < -0.98
    assert 0.05 < middle[0] < 0.2


def test_the_ins_is_behind_and_below_the_camera() -> None:
    assert CLOUD_FROM_INS[:3, 3] == pytest.approx((-1.7132, -0.1181, -1.1948))


def test_chains_agree() -> None:
    np.testing.assert_allclose(INS_FROM_CLOUD @ CLOUD_FROM_INS, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(STEREO_FROM_INS @ INS_FROM_LMS, STEREO_FROM_LMS, atol=1e-12)


@pytest.mark.data
@pytest.mark.parametrize(("name", "pose"), [("ins", STEREO_FROM_INS), ("lms_front", STEREO_FROM_LMS)])
def test_the_numbers_are_those_of_the_sdk(robotcar: Path, name: str, pose: np.ndarray) -> None:
    numbers = [float(word) for word in (robotcar / "sdk" / "extrinsics" / f"{name}.txt").read_text().split()]
    np.testing.assert_array_equal(rigid(*numbers), pose)
    assert set((robotcar / "sdk" / "extrinsics" / "stereo.txt").read_text().split()) == {"0"}
