"""Time of the parts that decide how long a run takes: ``nox -s cost``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.town import Town
from methods.batch import collate, load_sample
from methods.layers.sparse import backend as sparse_backend
from methods.layers.sparse.modules import SparseTensor, SubmanifoldConv3d
from methods.layers.sparse.sites import Sites
from methods.layers.voxels import VoxelFeatureEncoder, VoxelGrid, Voxels, voxelize
from methods.vxp import Vxp
from methods.vxp.cloud_branch import SparseEncoder
from methods.vxp.config import VxpConfig


@pytest.fixture(scope="module")
def points(tiny_town: PreparedDataset) -> torch.Tensor:
    """One scan, moved to where a camera would see it."""
    return load_sample(tiny_town, tiny_town.frame(0), ("cloud",)).points


@pytest.fixture(scope="module")
def published(points: torch.Tensor) -> tuple[SparseEncoder, torch.Tensor, Voxels]:
    """The sparse encoder with published widths, and the voxels of one scan with their features."""
    config = VxpConfig()
    voxels = voxelize(points, torch.zeros(len(points), dtype=torch.long), 1, VoxelGrid())
    features = VoxelFeatureEncoder(config.feature_channels).eval()(points, voxels).detach()
    return SparseEncoder(config.feature_channels[-1], 384, config.widths).eval(), features, voxels


PUBLISHED = "VXP cloud branch, published widths, one town scan"


@pytest.mark.benchmark(group=PUBLISHED)
@pytest.mark.parametrize("with_backward", [False, True], ids=["forward", "forward+backward"])
@pytest.mark.parametrize("backend", ["torch", "spconv"])
def test_sparse_encoder(
    benchmark: Any,
    published: tuple[SparseEncoder, torch.Tensor, Voxels],
    backend: sparse_backend.Backend,
    with_backward: bool,
) -> None:
    skip_without(backend)
    encoder, features, voxels = published
    benchmark.pedantic(encoding(encoder, features, voxels, backend, with_backward), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group=PUBLISHED)
def test_bare_products_of_sparse_encoder(benchmark: Any, published: tuple[SparseEncoder, torch.Tensor, Voxels]) -> None:
    encoder, features, voxels = published
    run = bare_products(encoder, voxels)
    assert flops(run) == flops(encoding(encoder, features, voxels, "torch", with_backward=False))
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)


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


def bare_products(encoder: SparseEncoder, voxels: Voxels) -> Callable[[], None]:
    """The matrix products of a forward pass alone: random numbers of their sizes, layer by layer, offset by offset."""
    sites, layers = voxels.sites, []
    with sparse_backend.using("torch"):
        for conv, *_ in encoder:
            if isinstance(conv, SubmanifoldConv3d):
                rules: Any = sparse_backend.submanifold(sites, conv.kernel_size)
            else:
                sites, rules = sparse_backend.reach(sites, conv.kernel_size, conv.stride, conv.padding)
            counts = [rules.n_outputs if k == rules.identity else n for k, n in enumerate(rules.counts)]
            rows = torch.randn(max(counts), conv.in_channels)
            kernel = torch.randn(len(counts), conv.in_channels, conv.out_channels)
            products = torch.empty(max(counts), conv.out_channels)
            layers.append((rows, kernel, products, [(k, n) for k, n in enumerate(counts) if n]))

    def run() -> None:
        for rows, kernel, products, offsets in layers:
            for k, n in offsets:
                torch.mm(rows[:n], kernel[k], out=products[:n])

    return run


def flops(run: Callable[[], None]) -> int:
    """Additions and multiplications in the matrix products of ``run``."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


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
