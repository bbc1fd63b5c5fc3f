"""Starts: the published draw has the published errors, and depends on seed, protocol and frame alone."""

import numpy as np
import pytest

from benchmark.evaluation.registration import pose_errors
from benchmark.frames.starts import FORWARD_FROM_CAMERA, STARTS, check_start, draw_start, lies_within
from datasets.errors import CrossplaceError
from datasets.transforms import is_rigid


@pytest.mark.parametrize(
    ("name", "translation_m", "rotation_deg"),
    [
        ("published", (1.83, 1.88, 3.46), (9.60, 9.85, 17.8)),
        ("published-2", (0.96, 0.99, 1.73), (1.92, 1.97, 3.5)),
        ("published-3", (0.58, 0.59, 1.04), (1.92, 1.97, 3.5)),
    ],
)
def test_errors_of_the_draw_are_the_published_ones(
    name: str, translation_m: tuple[float, float, float], rotation_deg: tuple[float, float, float]
) -> None:
    """Mean, median and largest error, computed for the released code's ranges by another program."""
    drawn = np.stack([draw_start(name, 0, f"frame-{i}") for i in range(4000)])
    off = pose_errors(drawn, np.broadcast_to(np.eye(4), drawn.shape))
    for values, (mean, median, largest) in ((off.translation_m, translation_m), (off.rotation_deg, rotation_deg)):
        assert values.mean() == pytest.approx(mean, rel=0.03)
        assert np.median(values) == pytest.approx(median, rel=0.03)
        assert values.max() <= largest * 1.01
    assert lies_within(STARTS[name], drawn).all()


def test_a_draw_depends_on_seed_start_and_frame_alone() -> None:
    again = draw_start("published", 3, "a")
    np.testing.assert_array_equal(draw_start("published", 3, "a"), again)
    for other in (("published", 4, "a"), ("published-2", 3, "a"), ("published", 3, "b")):
        assert not np.array_equal(draw_start(*other), again)
    assert is_rigid(again)


def test_axes_of_the_draw_by_hand() -> None:
    """The camera looks along z; down is its y axis. More than a metre below the truth is outside, above is not."""
    for camera_offset, inside in (
        ((0, 1.5, 0), False),
        ((0, -1.5, 0), True),
        ((1.9, 0, 0), True),
        ((0, 0, -1.9), True),
        ((0, 0, 2.1), False),
    ):
        matrix = np.eye(4)
        matrix[:3, 3] = camera_offset
        assert lies_within(STARTS["published"], matrix[None]).tolist() == [inside]
    np.testing.assert_array_equal(FORWARD_FROM_CAMERA[:3, :3] @ [1, 2, 3], [3, 1, 2])  # right, down, forward


def test_turned_too_far_is_outside() -> None:
    for angle, inside in ((9.9, True), (10.1, False)):
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        matrix = np.array([[cos, 0, sin, 0], [0, 1, 0, 0], [-sin, 0, cos, 0], [0, 0, 0, 1]])
        assert lies_within(STARTS["published"], matrix[None]).tolist() == [inside]
    assert lies_within(STARTS["published"], np.empty((0, 4, 4))).tolist() == []


def test_an_unknown_start_is_refused_with_near_names() -> None:
    check_start("retrieved")
    with pytest.raises(CrossplaceError, match=r"publishd.*published"):
        check_start("publishd")
