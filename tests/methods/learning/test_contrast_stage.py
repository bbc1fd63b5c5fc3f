import numpy as np
import torch
from batches import batch_of

from benchmark.contract.overfitting import SPLIT
from datasets.prepared import PreparedDataset
from methods.batch import load_sample
from methods.learning.augment import joint_turn
from methods.learning.samplers import elsewhere
from methods.twin_layout import PRESETS, TwinLayout


def test_partners_come_from_other_traversals_if_there_are_any(tiny_town: PreparedDataset) -> None:
    frames = tiny_town.frames.take(np.array([0, 1, 67]))
    positives = [np.array([1, 2]), np.array([0, 2]), np.array([0, 1])]
    assert [x.tolist() for x in elsewhere(frames, positives)] == [[2], [2], [0, 1]]
    alone = tiny_town.frames.take(np.array([0, 1, 2]))
    assert [x.tolist() for x in elsewhere(alone, positives)] == [[1, 2], [0, 2], [0, 1]]


def test_the_loss_is_that_of_a_loop_over_both_sides(tiny_town: PreparedDataset) -> None:
    torch.manual_seed(0)
    method = TwinLayout(PRESETS["quick"]).eval()
    stage = method.stages(SPLIT)[0].eval()
    batch = batch_of(tiny_town, 0, 1, 2, 67, 68, 30)
    with torch.no_grad():
        output = stage(batch)
        images = method.encode_images(method.image_inputs(batch))["main"][:, 0]
        clouds = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
    frames, total, terms = batch.frames, 0.0, 0
    for a, b in ((images, clouds), (clouds, images)):
        for i, frame in enumerate(frames):
            kept, right = [], []
            for j, other in enumerate(frames):
                apart_m = float(np.hypot(*np.subtract(frame.position_m, other.position_m)[:2]))
                turned = abs((frame.yaw_rad - other.yaw_rad + np.pi) % (2 * np.pi) - np.pi)
                is_right = i == j or (apart_m <= SPLIT.positive_m and turned < SPLIT.heading_limit_rad)
                if is_right or apart_m > SPLIT.negative_m:
                    kept.append(float(a[i] @ b[j]) / PRESETS["quick"].training.temperature)
                    right.append(is_right)
            log_sum = np.log(np.exp(kept).sum())
            total += np.mean([log_sum - x for x, r in zip(kept, right, strict=True) if r])
            terms += 1
    assert float(output.count) == terms
    np.testing.assert_allclose(float(output.loss_sum), total, rtol=1e-4)


def test_a_joint_turn_moves_points_and_their_pixels_alike(tiny_town: PreparedDataset) -> None:
    """Points straight ahead, projected by hand before and after, against the shift of the image's content."""
    sample = load_sample(tiny_town, tiny_town.frame(0), ("image", "cloud"))
    for angle_deg in (-6.0, 2.5, 6.0):
        turned = joint_turn(sample, angle_deg)
        ahead = sample.points[:, 0] > 10 * sample.points[:, 1].abs()
        shift = [_pixel_columns(s, ahead) for s in (sample, turned)]
        expected = float((shift[1] - shift[0]).median())
        width = sample.image.shape[-1]
        best = min(
            range(-30, 31),
            key=lambda k: float(
                (turned.image[..., 40:-40].float() - sample.image.roll(k, -1)[..., 40:-40].float()).abs().mean()
            ),
        )
        assert abs(best - expected) <= 1.0, (angle_deg, width)


def _pixel_columns(sample, rows) -> torch.Tensor:
    points = torch.cat([sample.points[rows], torch.ones(int(rows.sum()), 1)], dim=1)
    right, _, forward = (points @ sample.camera_from_lidar.T)[:, :3].unbind(1)
    return (sample.intrinsics[2] + sample.intrinsics[0] * right / forward) * sample.image.shape[-1]
