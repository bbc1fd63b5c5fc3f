import numpy as np
import pytest
import torch
from batches import bare_frame

from methods.batch import Sample
from methods.cmrnet.roll import rolled

K = torch.tensor([0.6, 0.8, 0.47, 0.55])
"""Square pixels in an image of 80 × 60."""
POINT = torch.tensor([1.2, -0.5, 5.0, 1.0])


def sample_with_a_spot() -> tuple[Sample, tuple[float, float]]:
    """A black image with a white spot where the camera sees the point."""
    column = float(K[0] * POINT[0] / POINT[2] + K[2]) * 80
    row = float(K[1] * POINT[1] / POINT[2] + K[3]) * 60
    image = torch.zeros(3, 60, 80, dtype=torch.uint8)
    image[:, int(row) - 1 : int(row) + 2, int(column) - 1 : int(column) + 2] = 255
    spot = Sample(frame=bare_frame("spot", 0.0), image=image, points=None, intrinsics=K, camera_from_lidar=torch.eye(4))
    return spot, (row, column)


@pytest.mark.parametrize("angle_deg", [-25.0, 4.0, 30.0])
def test_the_image_turns_as_the_camera_does(angle_deg: float) -> None:
    spot, _ = sample_with_a_spot()
    turned = rolled(spot, angle_deg)
    assert turned.image is not None
    assert turned.camera_from_lidar is not None
    point = turned.camera_from_lidar @ POINT
    expected = [float(K[1] * point[1] / point[2] + K[3]) * 60, float(K[0] * point[0] / point[2] + K[2]) * 80]
    weight = turned.image[0].double().numpy()
    rows, columns = np.indices(weight.shape) + 0.5
    found = [(weight * rows).sum() / weight.sum(), (weight * columns).sum() / weight.sum()]
    assert found == pytest.approx(expected, abs=1.0)


def test_no_turn_changes_nothing() -> None:
    spot, _ = sample_with_a_spot()
    assert rolled(spot, 0.0) is spot
