"""VXP with the authors' weights and preprocessing against a dense network written out from their description."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from datasets.base import Frame
from methods.batch import Sample, collate
from methods.layers.voxels import VoxelGrid
from methods.vxp import Vxp
from methods.vxp.cloud_branch import CloudBranch
from methods.vxp.config import PRESETS, VxpConfig
from methods.vxp.official import convert

State = dict[str, Tensor]

# KITTI's camera for all frames, as published
ROTATION = np.array(
    [
        [0.000234773604, -0.999944129, -0.0105634776],
        [0.0104494081, 0.0105653538, -0.999889606],
        [0.999945368, 0.000124365346, 0.0104513032],
    ]
)
TRANSLATION_M = np.array([0.0570524492, -0.0754667181, -0.269386924])
FX, FY, CX, CY = 0.58141637, 1.9189833, 0.491184, 0.4597181
LOWER_M, UPPER_M = np.array([0.0, -22.0, -4.0]), np.array([44.0, 22.0, 18.0])
PIXELS = 28

COARSE = VoxelGrid(size_m=(2.0, 2.0, 1.0))
"""22³ voxels → 11³ → 11³ → 6³: the published channels, a hundredth of the work."""


# --- the naive network ---------------------------------------------------------------------------


def network_points(cloud: ndarray) -> ndarray:
    """Reverse, transform, reverse, quarter turn about z, quarter turn about x: the published affine."""
    moved = (cloud[:, ::-1].astype(np.float64) @ ROTATION.T + TRANSLATION_M)[:, ::-1]
    turned = np.stack([-moved[:, 1], moved[:, 0], moved[:, 2]], axis=1)
    return np.stack([turned[:, 0], -turned[:, 2], turned[:, 1]], axis=1)


def hard_voxels(
    points: ndarray, n_cells: int, max_voxels: int, max_points: int = 35
) -> dict[tuple[int, ...], list[ndarray]]:
    """Points by voxel (z, y, x), point by point in file order; what comes after a cap is dropped."""
    voxels: dict[tuple[int, ...], list[ndarray]] = {}
    cells = np.floor((points - LOWER_M) / ((UPPER_M - LOWER_M) / n_cells)).astype(int)
    for point, (x, y, z) in zip(points, cells.tolist(), strict=True):
        if not (0 <= x < n_cells and 0 <= y < n_cells and 0 <= z < n_cells):
            continue
        if (z, y, x) not in voxels and len(voxels) >= max_voxels:
            continue
        members = voxels.setdefault((z, y, x), [])
        if len(members) < max_points:
            members.append(point)
    return voxels


def norm_relu(state: State, name: str, values: Tensor, channel: int) -> Tensor:
    """Batch normalisation by the running statistics along dimension ``channel``, then ReLU."""
    shape = [1] * values.ndim
    shape[channel] = -1
    mean, variance, weight, bias = (
        state[f"{name}.{part}"].view(shape) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return ((values - mean) / (variance + 1e-3).sqrt() * weight + bias).relu()


def voxel_features(state: State, voxels: dict[tuple[int, ...], list[ndarray]], n_cells: int) -> Tensor:
    """The hard voxel feature encoder on 35 slots a voxel; empty slots are zero at the input only."""
    size_m = (UPPER_M - LOWER_M) / n_cells
    slots = np.zeros((len(voxels), 35, 6))
    for row, ((z, y, x), members) in enumerate(voxels.items()):
        for slot, point in enumerate(members):
            slots[row, slot] = [*point, *(point - (LOWER_M + (np.array([x, y, z]) + 0.5) * size_m))]
    values = torch.from_numpy(slots).float()
    for layer in range(3):
        name = f"voxel_feat_ext.vfe.vfe_layers.{layer}"
        values = norm_relu(state, f"{name}.norm", values @ state[f"{name}.linear.weight"].T, channel=2)
        if layer < 2:
            values = torch.cat([values, values.max(1, keepdim=True).values.repeat(1, 35, 1)], dim=2)
    return values.max(1).values


def dense_encoder(state: State, grid: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
    """Dense convolutions; a submanifold layer keeps the active cells, a regular one activates what its kernel meets."""
    layers = [("conv_input", 0), ("encoder_layers.encoder_layer1.0", 0)]  # 0: submanifold, else the stride
    layers += [(f"encoder_layers.encoder_layer2.{j}", stride) for j, stride in enumerate([2, 0, 0])]
    layers += [(f"encoder_layers.encoder_layer3.{j}", stride) for j, stride in enumerate([1, 0, 0])]
    for name, stride in [*layers, ("conv_out", 2)]:
        prefix = f"voxel_feat_ext.middle.{name}"
        kernel = state[f"{prefix}.0.weight"].permute(0, 4, 1, 2, 3)
        grid = F.conv3d(grid, kernel, stride=stride or 1, padding=1)
        if stride:
            active = (F.conv3d(active.float(), torch.ones(1, 1, 3, 3, 3), stride=stride, padding=1) > 0.5).bool()
        grid = norm_relu(state, f"{prefix}.1", grid, channel=1) * active
    return grid, active


def naive_descriptor(state: State, cloud: ndarray, n_cells: int, max_voxels: int) -> tuple[Tensor, int]:
    """Descriptor of one scan, and how many voxels were in view."""
    voxels = hard_voxels(network_points(cloud), n_cells, max_voxels)
    features = voxel_features(state, voxels, n_cells)
    grid = torch.zeros(1, features.shape[1], n_cells, n_cells, n_cells)
    active = torch.zeros(1, 1, n_cells, n_cells, n_cells, dtype=torch.bool)
    for row, (z, y, x) in enumerate(voxels):
        grid[0, :, z, y, x] = features[row]
        active[0, 0, z, y, x] = True
    grid, active = dense_encoder(state, grid, active)

    size_m = (UPPER_M - LOWER_M) / n_cells * (n_cells / grid.shape[-1])  # 110/28 on the published grid
    seen = []
    for _, _, z, y, x in active.nonzero().tolist():
        forward, left, up = LOWER_M + size_m * (np.array([x, y, z]) + 0.5)
        u = FX * PIXELS * (-left / forward) + CX * PIXELS
        v = FY * PIXELS * (-up / forward) + CY * PIXELS
        if 0 < u < PIXELS and 0 < v < PIXELS:
            seen.append(grid[0, :, z, y, x])
    pooled = torch.stack(seen).clamp(min=1e-6).pow(state["gem.p"]).mean(0).pow(1 / state["gem.p"])
    return pooled @ state["gem.dense_head.weight"].T + state["gem.dense_head.bias"], len(seen)


def naive_image_descriptor(state: State, pixels: Tensor) -> Tensor:
    """DINO's ViT-S/8 without its last normalisation, GeM over the 28×28 tokens, linear."""

    def linear(name: str, values: Tensor) -> Tensor:
        return values @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def layer_norm(name: str, values: Tensor) -> Tensor:
        centred = values - values.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return centred / spread * state[f"{name}.weight"] + state[f"{name}.bias"]

    encoder = "backbone.encoder"
    patches = pixels.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).reshape(len(pixels), 784, 192)
    tokens = patches @ state[f"{encoder}.patch_embed.proj.weight"].flatten(1).T
    tokens = tokens + state[f"{encoder}.patch_embed.proj.bias"]
    tokens = torch.cat([state[f"{encoder}.cls_token"].expand(len(pixels), 1, 384), tokens], dim=1)
    tokens = tokens + state[f"{encoder}.pos_embed"]
    for number in range(12):
        block = f"{encoder}.blocks.{number}"
        mixed = linear(f"{block}.attn.qkv", layer_norm(f"{block}.norm1", tokens))
        query, key, value = mixed.view(len(pixels), 785, 3, 6, 64).permute(2, 0, 3, 1, 4)
        attention = (query @ key.transpose(-1, -2) / 8).softmax(-1)
        tokens = tokens + linear(f"{block}.attn.proj", (attention @ value).transpose(1, 2).flatten(2))
        hidden = linear(f"{block}.mlp.fc1", layer_norm(f"{block}.norm2", tokens))
        hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
        tokens = tokens + linear(f"{block}.mlp.fc2", hidden)
    power = state["pooling.p"]
    pooled = tokens[:, 1:].clamp(min=1e-6).pow(power).mean(1).pow(1 / power)
    return linear("pooling.dense_head", pooled)


# --- the converted network -----------------------------------------------------------------------


def converted(official_files: dict[str, Path], **changes: object) -> CloudBranch:
    """The cloud branch of the published KITTI preset with the official student's weights."""
    config = PRESETS["published-kitti"]
    assert isinstance(config, VxpConfig)
    branch = CloudBranch(replace(config, **changes), out_channels=384)  # type: ignore[arg-type]
    weights = convert(official_files["student"])
    branch.load_state_dict({name.removeprefix("cloud_branch."): tensor for name, tensor in weights.items()})
    return branch.eval()


def descriptors(branch: CloudBranch, clouds: list[ndarray], frame: Frame) -> Tensor:
    """Of several scans in one batch; the frames' own calibration is another one."""
    own = torch.tensor([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    samples = [
        Sample(frame=frame, image=None, points=torch.from_numpy(cloud), intrinsics=torch.ones(4), camera_from_lidar=own)
        for cloud in clouds
    ]
    with torch.no_grad():
        return branch(branch.inputs(collate(samples)))


def check(
    official: dict[str, State],
    files: dict[str, Path],
    clouds: list[ndarray],
    grid: VoxelGrid,
    max_voxels: int,
    frame: Frame,
) -> None:
    found = descriptors(converted(files, grid=grid, max_voxels=max_voxels), clouds, frame)
    for row, cloud in zip(found, clouds, strict=True):
        expected, n_in_view = naive_descriptor(official["student"], cloud, grid.shape[0], max_voxels)
        torch.testing.assert_close(row, expected, atol=1e-4, rtol=1e-4)
        assert n_in_view > 10
        assert (expected - official["student"]["gem.dense_head.bias"]).abs().max() > 0.1
    assert (found[0] - found[1]).abs().max() > 1e-2


@pytest.fixture(scope="module")
def frame(small_world: object) -> Frame:
    """Any frame: only its points enter."""
    return small_world.frame(0)  # type: ignore[attr-defined]


def synthetic_scans() -> list[ndarray]:
    """Ground, two walls and clutter in the LiDAR's frame, rings in random order; more points than the caps take."""
    random = np.random.default_rng(5)
    scans = []
    for shift in (0.0, 3.0):
        ground = np.column_stack(
            [random.uniform(1, 44, 6000), random.uniform(-22, 22, 6000), random.normal(-1.7, 0.05, 6000)]
        )
        wall = np.column_stack([random.uniform(2, 40, 4000), np.full(4000, 6 + shift), random.uniform(-1.7, 6, 4000)])
        front = np.column_stack([np.full(4000, 12 + shift), random.uniform(-4, 4, 4000), random.uniform(-1.7, 3, 4000)])
        clutter = random.uniform((-10, -30, -5), (60, 30, 20), (2000, 3))
        scans.append(random.permutation(np.concatenate([ground, wall, front, clutter])).astype(np.float32))
    return scans


@pytest.fixture(scope="module")
def kitti_scans(kitti_mini: Path) -> list[ndarray]:
    """The first scan of each drive."""
    files = [min((kitti_mini / "sequences" / name / "velodyne").iterdir()) for name in ("04", "raw0009")]
    return [np.fromfile(file, dtype=np.float32).reshape(-1, 4)[:, :3].copy() for file in files]


# --- tests ---------------------------------------------------------------------------------------


def test_made_up_scans_on_a_coarse_grid(
    official: dict[str, State], official_files: dict[str, Path], frame: Frame
) -> None:
    check(official, official_files, synthetic_scans(), COARSE, max_voxels=300, frame=frame)


@pytest.mark.data
def test_real_scans_on_a_coarse_grid(
    official: dict[str, State], official_files: dict[str, Path], kitti_scans: list[ndarray], frame: Frame
) -> None:
    check(official, official_files, kitti_scans, COARSE, max_voxels=200, frame=frame)


@pytest.mark.data
@pytest.mark.slow
def test_real_scans_on_the_published_grid(
    official: dict[str, State], official_files: dict[str, Path], kitti_scans: list[ndarray], frame: Frame
) -> None:
    check(official, official_files, kitti_scans, VoxelGrid(), max_voxels=10_000, frame=frame)


def test_the_caps_cut_what_the_tests_above_encode() -> None:
    points = network_points(synthetic_scans()[0])
    kept, whole = hard_voxels(points, 22, 300), hard_voxels(points, 22, 10**6, 10**6)
    assert len(kept) == 300 < len(whole)
    assert max(map(len, kept.values())) == 35 < max(map(len, whole.values()))
    assert min(map(len, kept.values())) < 35


PUBLISHED = PRESETS["published-kitti"]
assert isinstance(PUBLISHED, VxpConfig)
assert PUBLISHED.as_published is not None
ONE_PART_DONE_RIGHT = {
    "true strides": {"stretched_centres": False},
    "no padding": {"as_published": replace(PUBLISHED.as_published, slots=200)},
    "frames' own transform": {"as_published": replace(PUBLISHED.as_published, affine=None)},
    "another camera": {"as_published": replace(PUBLISHED.as_published, intrinsics=(0.75, 1.0, 0.5, 0.5))},
    "nearest wins": {"collisions": "nearest-wins"},
    "no cap": {"max_voxels": 10**6},
}


@pytest.mark.parametrize("changes", ONE_PART_DONE_RIGHT.values(), ids=ONE_PART_DONE_RIGHT.keys())
def test_each_part_of_the_published_form_shows_in_the_descriptor(
    changes: dict[str, object], official_files: dict[str, Path], frame: Frame
) -> None:
    coarse = {"grid": COARSE, "max_voxels": 300}
    published, changed = (converted(official_files, **options) for options in (coarse, coarse | changes))
    scans = synthetic_scans()
    difference = (descriptors(published, scans, frame) - descriptors(changed, scans, frame)).abs().amax(1)
    assert (difference > 1e-3).all()


def test_an_image_through_the_converted_teacher(official: dict[str, State], official_files: dict[str, Path]) -> None:
    config = PRESETS["published-kitti"]
    assert isinstance(config, VxpConfig)
    method = Vxp(replace(config, weights="none")).eval()
    method.load_state_dict(convert(official_files["student"], official_files["teacher"]))
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = method.encode_images(pixels)["main"][:, 0]
        expected = naive_image_descriptor(official["teacher"], pixels)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (expected - official["teacher"]["pooling.dense_head.bias"]).abs().max() > 0.1
