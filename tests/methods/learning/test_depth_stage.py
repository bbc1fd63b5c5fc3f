import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.registry import METHODS
from datasets.base import Lidar, Selection, Split
from datasets.prepared import PreparedDataset
from methods.base import MethodConfig
from methods.batch import Batch, Clouds, collate, load_sample
from methods.depth import DepthConfig, DepthNetwork, DepthPlugin
from methods.layers.depth.network import NetworkDepth
from methods.layers.depth.sources import depth_provider
from methods.learning.depth_stage import DepthStage, depth_stages, is_swept, lidar_depth
from methods.recipe import Recipe

RECIPE = Recipe(epochs=1, batch_size=2, learning_rate=1e-3, learning_rate_floor=0.0)
AHEAD = torch.tensor([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
"""A camera in the place of the LiDAR, that looks along its x axis."""
SQUARE = torch.tensor([0.5, 0.5, 0.5, 0.5])
"""90° wide and high."""
LIDAR = Lidar(beams=32, vertical_fov_deg=(-20.0, 20.0), max_range_m=80.0, form="scan")


def ground(height_m: float, n: int = 50) -> Tensor:
    """A flat road below the LiDAR, as far as 60 m."""
    forward, left = torch.meshgrid(torch.logspace(0, 1.78, n), torch.linspace(-30, 30, n), indexing="ij")
    return torch.stack([forward.flatten(), left.flatten(), torch.full((n * n,), -height_m)], dim=1)


def batch_of(small_world: PreparedDataset, clouds: list[Tensor], images: list[Tensor], lidar: Lidar | None) -> Batch:
    batch = collate([load_sample(small_world, small_world.frame(row), ("image",)) for row in range(len(clouds))])
    batch.images = images
    index = torch.repeat_interleave(torch.tensor([len(cloud) for cloud in clouds]))
    batch.clouds = Clouds(points=torch.cat(clouds), batch_index=index, lidars=(lidar,) * len(clouds))
    batch.intrinsics, batch.camera_from_lidar = SQUARE.repeat(len(clouds), 1), AHEAD.repeat(len(clouds), 1, 1)
    return batch


def test_pixels_know_the_nearest_point_and_the_open_sky(small_world: PreparedDataset) -> None:
    """A 20×20 view, 90° wide: rows 0-4 are above the LiDAR, 5-9 above the horizon, 10-19 below it."""
    wall = torch.tensor([[10.0, left, up] for left in np.arange(-2, 2, 0.2) for up in np.arange(0, 3, 0.2)])
    nearer = torch.tensor([[5.0, 0.1, 0.1]])
    batch = batch_of(small_world, [torch.cat([wall, nearer])], [torch.zeros(3, 9, 9, dtype=torch.uint8)], LIDAR)
    found = lidar_depth(batch, 20, 20)[0, 0]
    assert found[9, 9] == 5
    assert (found[7:10, 8:12] > 0).all()
    assert set(found.unique().tolist()) == {0.0, 5.0, 10.0, 80.0}
    assert (found[7, :5] == 80).all()  # beside the wall: swept and open
    assert (found[:5] == 0).all()  # above the highest beam nothing is known
    assert (found[11:] == 0).all()  # below the horizon there is ground, seen or not
    assert found[8, 7] == 0  # beside a pixel with a point


def test_without_lidar_block_or_points_nothing_is_open(small_world: PreparedDataset) -> None:
    picture = [torch.zeros(3, 9, 9, dtype=torch.uint8)]
    assert not lidar_depth(batch_of(small_world, [torch.zeros(0, 3)], picture, None), 8, 8).any()
    assert lidar_depth(batch_of(small_world, [torch.zeros(0, 3)], picture, LIDAR), 8, 8).any()


def test_swept_pixels_are_those_of_the_beams_however_the_camera_is_turned() -> None:
    """Against the elevation of each pixel's ray by hand, for a camera turned and tilted."""
    tilt, turn = math.radians(20), math.radians(-50)
    rotation = torch.tensor(
        [[1, 0, 0], [0, math.cos(tilt), -math.sin(tilt)], [0, math.sin(tilt), math.cos(tilt)]]
    ) @ torch.tensor([[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]])
    camera_from_lidar = torch.eye(4)
    camera_from_lidar[:3, :3] = rotation @ AHEAD[:3, :3]
    found = is_swept(SQUARE[None], camera_from_lidar[None], [LIDAR], 12, 10)[0, 0]
    for row in range(12):
        for column in range(10):
            ray = torch.tensor([((column + 0.5) / 10 - 0.5) / 0.5, ((row + 0.5) / 12 - 0.5) / 0.5, 1.0])
            x, y, z = torch.linalg.solve(camera_from_lidar[:3, :3], ray).tolist()
            elevation = math.degrees(math.atan2(z, math.hypot(x, y)))
            assert found[row, column] == (0 < elevation < 20)
    assert found.any()
    assert not found.all()


def test_loss_is_the_mean_difference_of_log_depth(small_world: PreparedDataset) -> None:
    images = [torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in range(2)]
    batch = batch_of(small_world, [ground(1.5), torch.zeros(0, 3)], images, None)
    provider = NetworkDepth(DepthNetwork(height=32, width=32, channels=(4, 8)), 16, 16).eval()
    output = DepthStage(provider, RECIPE, ())(batch)
    expected, right, n = 0.0, 0, 0
    answers, truth = provider.log_depth(batch)[:, 0], lidar_depth(batch, 16, 16)[:, 0]
    for answer, metres in zip(answers.flatten().tolist(), truth.flatten().tolist(), strict=True):
        if metres:
            expected += abs(answer - math.log(metres))
            right += max(math.exp(answer) / metres, metres / math.exp(answer)) < 1.25
            n += 1
    assert n > 20
    assert float(output.count) == output.statistics["pixels"] == n
    assert float(output.statistics["right"]) == right
    assert float(output.loss_sum.detach()) == pytest.approx(expected, rel=1e-4)


def test_a_batch_without_points_teaches_nothing_and_does_no_harm(small_world: PreparedDataset) -> None:
    batch = batch_of(small_world, [torch.zeros(0, 3)], [torch.zeros(3, 8, 8, dtype=torch.uint8)], None)
    provider = NetworkDepth(DepthNetwork(height=16, width=16, channels=(4,)), 8, 8)
    output = DepthStage(provider, RECIPE, ())(batch)
    (output.loss_sum / output.count.clamp(min=1)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in provider.parameters())


def test_the_network_learns_how_far_a_road_is(small_world: PreparedDataset) -> None:
    """Cameras at two heights above a plane, each with its own picture: the higher one is twice as far from the road."""
    torch.manual_seed(0)
    heights = [1.0, 2.0]
    rows = torch.linspace(0, 255, 32)[:, None].expand(32, 32)
    images = [(rows if high == 1.0 else rows.flip(0)).byte().expand(3, -1, -1).clone() for high in heights]
    batch = batch_of(small_world, [ground(high) for high in heights], images, None)
    provider = NetworkDepth(DepthNetwork(height=32, width=32, channels=(8, 16)), 16, 16)
    stage, optimizer = DepthStage(provider, RECIPE, ()), torch.optim.Adam(provider.parameters(), lr=1e-2)
    for _ in range(120):
        output = stage(batch)
        optimizer.zero_grad()
        (output.loss_sum / output.count).backward()
        optimizer.step()
    provider.eval()
    with torch.no_grad():
        output, found = stage(batch), provider(batch)[:, 0]
    assert float(output.statistics["right"] / output.statistics["pixels"]) > 0.95
    # v = 0.5 + 0.5 · height / depth, and the nearest point of a pixel is at its lower edge
    below = 0.5 * torch.tensor(heights) / (13 / 16 - 0.5)
    torch.testing.assert_close(found[:, 12, 8], below, rtol=0.15, atol=0)


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    depth: DepthConfig = DepthConfig(recipe=RECIPE)
    other: int = 0


def test_only_the_network_is_trained_and_reads_nothing_else() -> None:
    config = Config()
    [stage] = depth_stages(depth_provider(config.depth.source, 8, 8), config)
    assert set(stage.ignores) == {"backbone", "weights", "weights_sha256", "image", "other"}
    plugin = depth_provider(DepthPlugin(function="math:sqrt"), 8, 8)
    assert depth_stages(plugin, config) == []
    untrained = Config(depth=DepthConfig(recipe=replace(RECIPE, epochs=0)))
    assert depth_stages(NetworkDepth(DepthNetwork(), 8, 8), untrained) == []
    assert depth_stages(NetworkDepth(DepthNetwork(), 8, 8), MethodConfig()) == []


def test_methods_start_one_depth_network_alike_under_one_name() -> None:
    """What lets them share the stage that trains it: presets that agree, names that agree, weights that agree."""
    found = []
    for name in ("i2prec", "lc2", "rangebev"):
        torch.manual_seed(3)
        kind = METHODS.get(name)
        method = kind(kind.presets["quick"])
        first = method.stages(Split(train=Selection(), validation=Selection()))[0]
        assert (first.name, first.is_shared) == ("depth", True)
        [network] = first.trainable()
        assert network is method.depth.network
        found.append((method.config.depth, network.state_dict()))
    for config, state in found[1:]:
        assert config == found[0][0]
        assert all(torch.equal(state[key], value) for key, value in found[0][1].items())
        assert state.keys() == found[0][1].keys()
