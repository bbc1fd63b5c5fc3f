"""Time of the parts that decide how long a run takes: ``nox -s cost``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.town import Town
from methods.batch import collate, load_sample
from methods.layers.sparse import backend as sparse_backend
from methods.layers.sparse.modules import SparseTensor
from methods.layers.sparse.sites import Sites
from methods.layers.voxels import VoxelFeatureEncoder, VoxelGrid, Voxels, voxelize
from methods.vxp import Vxp
from methods.vxp.cloud_branch import SparseEncoder
from methods.vxp.config import VxpConfig


@pytest.fixture(scope="module")
def points(tiny_town: PreparedDataset) -> torch.Tensor:
    """One scan, moved to where a camera would see it."""
    return load_sample(tiny_town, tiny_town.frame(0), ("cloud",)).points


@pytest.mark.benchmark(group="VXP cloud branch, published widths, one town scan")
@pytest.mark.parametrize("with_backward", [False, True], ids=["forward", "forward+backward"])
@pytest.mark.parametrize("backend", ["torch", "spconv"])
def test_sparse_encoder(
    benchmark: Any, points: torch.Tensor, backend: sparse_backend.Backend, with_backward: bool
) -> None:
    config = VxpConfig()
    skip_without(backend)
    voxels = voxelize(points, torch.zeros(len(points), dtype=torch.long), 1, VoxelGrid())
    features = VoxelFeatureEncoder(config.feature_channels).eval()(points, voxels).detach()
    encoder = SparseEncoder(config.feature_channels[-1], 384, config.widths).eval()
    benchmark.pedantic(encoding(encoder, features, voxels, backend, with_backward), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="VXP sparse encoder, quick preset, eight town scans")
@pytest.mark.parametrize("with_backward", [False, True], ids=["forward", "forward+backward"])
@pytest.mark.parametrize("backend", ["torch", "spconv"])
def test_quick_sparse_encoder(
    benchmark: Any, tiny_town: PreparedDataset, backend: sparse_backend.Backend, with_backward: bool
) -> None:
    skip_without(backend)
    torch.manual_seed(0)
    method = Vxp(Vxp.presets["quick"])
    frames = [tiny_town.frame(row) for row in range(0, 400, 50)]
    inputs = method.cloud_inputs(collate([load_sample(tiny_town, frame, ("image", "cloud")) for frame in frames]))
    features = method.cloud_branch.feature_encoder(inputs.points, inputs.voxels).detach()
    run = encoding(method.cloud_branch.encoder, features, inputs.voxels, backend, with_backward)
    benchmark.pedantic(run, rounds=15, warmup_rounds=2)


def skip_without(backend: sparse_backend.Backend) -> None:
    """Skip, with the reason, where the backend cannot be had."""
    try:
        sparse_backend.resolve(backend, torch.device("cpu"))
    except CrossplaceError as error:
        pytest.skip(str(error))


def encoding(
    encoder: SparseEncoder,
    features: torch.Tensor,
    voxels: Voxels,
    backend: sparse_backend.Backend,
    with_backward: bool,
) -> Callable[[], None]:
    """One pass over sites that have not been seen before, down to the gradients of features and weights."""
    sites = voxels.sites
    features = features.clone().requires_grad_(with_backward)

    def run() -> None:
        fresh = Sites(sites.indices, sites.shape, sites.batch_size)
        with torch.set_grad_enabled(with_backward), sparse_backend.using(backend):
            found = encoder(SparseTensor(features, fresh)).features.sum()
        if with_backward:
            found.backward()

    return run


@pytest.mark.benchmark(group="voxelization, one town scan")
def test_voxelize(benchmark: Any, points: torch.Tensor) -> None:
    benchmark(voxelize, points, torch.zeros(len(points), dtype=torch.long), 1, VoxelGrid())


@pytest.mark.slow
@pytest.mark.benchmark(group="town, tiny preset (424 frames)")
def test_generation(benchmark: Any, tmp_path: Path) -> None:
    folders = iter(range(100))

    def prepare() -> None:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        list(Town(preset="tiny").prepare(None, folder))

    benchmark.pedantic(prepare, rounds=2)
