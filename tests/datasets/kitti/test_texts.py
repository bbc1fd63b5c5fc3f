"""Time stamps, calibrations and packets of the raw drives, by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import CrossplaceError
from datasets.kitti.calibration import lidar_from_imu, raw_calibration
from datasets.kitti.oxts import Oxts
from datasets.kitti.texts import BLANK_NS, read_stamps

FIRST_OF_2011, FIRST_OF_2012 = 1_293_840_000_000_000_000, 1_325_376_000_000_000_000
IDENTITY = "1 0 0 0 1 0 0 0 1"


@given(
    times=st.lists(st.integers(FIRST_OF_2011, FIRST_OF_2012 - 1), min_size=1, max_size=6, unique=True).map(sorted),
    blanks=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_stamps_are_read_to_the_nanosecond_and_blank_lines_keep_their_place(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], blanks: list[bool]
) -> None:
    path = tmp_path_factory.mktemp("stamps") / "timestamps.txt"
    lines = [
        "" if blank else str(np.datetime64(time, "ns")).replace("T", " ")
        for time, blank in zip(times, blanks, strict=False)
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    expected = [BLANK_NS if blank else time for time, blank in zip(times, blanks, strict=False)]
    assert read_stamps(path, "stamps").tolist() == expected


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("2011-13-26 13:08:24.967930880", "line 2: expected a time such as"),
        ("2011-09-26 25:08:24.967930880", "line 2: expected a time such as"),
        ("2012-09-26 13:08:24.967930880", "line 2: expected a time such as"),
        ("13:08:24.967930880", "line 2: expected a time such as"),
        ("2011-09-26 13:08:24.000000000", "line 2: the same time as the line before"),
        ("2011-09-26 13:08:23.999999999", "line 2: time runs backwards"),
    ],
)
def test_a_stamp_that_is_none_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    (tmp_path / "timestamps.txt").write_text(f"2011-09-26 13:08:24.000000000\n{line}\n")
    with pytest.raises(CrossplaceError, match=rf"timestamps\.txt: {sentence}"):
        read_stamps(tmp_path / "timestamps.txt", "stamps")


def write_packets(folder: Path, *angles: tuple[float, float, float]) -> Oxts:
    (folder / "data").mkdir(parents=True)
    for i, (roll, pitch, yaw) in enumerate(angles):
        packet = [49.0, 8.4 + i / 1000, 110 + i, roll, pitch, yaw, *[0.0] * 24]
        (folder / "data" / f"{i:010d}.txt").write_text(" ".join(map(str, packet)))
    return Oxts(folder=folder)


def test_angles_are_as_the_development_kit_says(tmp_path: Path) -> None:
    """Yaw 0 is east, counter-clockwise; positive roll lifts the left side; positive pitch lowers the front."""
    quarter = np.pi / 2
    unit = write_packets(tmp_path, (0, 0, 0), (0, 0, quarter), (quarter, 0, 0), (0, quarter, 0), (0.1, 0.2, 0.3))
    east, north, rolled, pitched, all_three = unit.mercator_from_imu(np.arange(5))[:, :3, :3]
    np.testing.assert_allclose(east, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(north[:, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rolled[:, 1], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(pitched[:, 0], [0, 0, -1], atol=1e-12)
    # Heading and slope of the front by hand: yaw and pitch alone place it, roll turns about it.
    np.testing.assert_allclose(
        all_three[:, 0], [np.cos(0.2) * np.cos(0.3), np.cos(0.2) * np.sin(0.3), -np.sin(0.2)], atol=1e-12
    )
    np.testing.assert_allclose(unit.mercator_from_imu(np.arange(5))[:, 2, 3], [110, 111, 112, 113, 114])


def test_a_packet_that_is_not_there_has_no_place(tmp_path: Path) -> None:
    unit = write_packets(tmp_path, (0, 0, 0), (0, 0, 0), (0, 0, 0))
    (tmp_path / "data" / "0000000001.txt").unlink()
    assert np.isfinite(unit.mercator_m(np.array([0, 1, 2, 7]))[:, 0]).tolist() == [True, False, True, False]


def test_degrees_for_radians_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"0000000000\.txt: roll, pitch, yaw must be radians"):
        _ = write_packets(tmp_path, (0, 0, 90)).mercator_scale


def test_raw_calibration_by_hand(tmp_path: Path) -> None:
    """The scanner 1 m behind camera 0 sees 10 m ahead what the camera sees 9 m ahead; rectifying turns that by 90°."""
    axes = "0 -1 0 0 0 -1 1 0 0"
    (tmp_path / "calib_velo_to_cam.txt").write_text(f"R: {axes}\nT: 0 0 -1\n")
    (tmp_path / "calib_imu_to_velo.txt").write_text(f"R: {IDENTITY}\nT: -0.8 0.3 -0.8\n")
    (tmp_path / "calib_cam_to_cam.txt").write_text(
        "S_rect_02: 1242 375\nR_rect_00: 0 0 1 0 1 0 -1 0 0\nP_rect_02: 700 0 600 70 0 700 180 0 0 0 1 0\n"
    )
    calibration = raw_calibration(tmp_path, 2)
    np.testing.assert_allclose(calibration.camera0_from_lidar @ [10, 0, 0, 1], [9, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(calibration.camera_from_lidar @ [10, 0, 0, 1], [9.1, 0, 0, 1], atol=1e-12)
    assert calibration.image_size == (1242, 375)
    np.testing.assert_allclose(lidar_from_imu(tmp_path) @ [0, 0, 0, 1], [-0.8, 0.3, -0.8, 1], atol=1e-12)
