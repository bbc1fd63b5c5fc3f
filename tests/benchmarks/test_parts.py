"""Time of the parts that decide how long a run takes: ``nox -s cost``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.ground_truth import Relation
from benchmark.loading import load_sample
from benchmark.ranking import distances, rank_queries
from datasets.prepared import PreparedDataset
from datasets.town import Town
from methods.layers.sparse import SparseTensor
from methods.layers.voxels import VoxelFeatureEncoder, VoxelGrid, voxelize
from methods.vxp.cloud_branch import SparseEncoder
from methods.vxp.config import VxpConfig


@pytest.fixture(scope="module")
def points(tiny_town: PreparedDataset) -> torch.Tensor:
    """One scan, moved to where a camera would see it."""
    return load_sample(tiny_town, tiny_town.frame(0), ("cloud",)).points


@pytest.mark.benchmark(group="VXP cloud branch, published widths, one town scan")
@pytest.mark.parametrize("with_backward", [False, True], ids=["forward", "forward+backward"])
def test_sparse_encoder(benchmark: Any, points: torch.Tensor, with_backward: bool) -> None:
    config = VxpConfig()
    voxels = voxelize(points, torch.zeros(len(points), dtype=torch.long), 1, VoxelGrid())
    features = VoxelFeatureEncoder(config.feature_channels).eval()(points, voxels).detach()
    encoder = SparseEncoder(config.feature_channels[-1], 384, config.widths).eval()

    def run() -> None:
        with torch.set_grad_enabled(with_backward):
            found = encoder(SparseTensor(features, voxels.sites)).features.sum()
        if with_backward:
            found.backward()

    benchmark.pedantic(run, rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="voxelization, one town scan")
def test_voxelize(benchmark: Any, points: torch.Tensor) -> None:
    benchmark(voxelize, points, torch.zeros(len(points), dtype=torch.long), 1, VoxelGrid())


@pytest.mark.benchmark(group="exact ranking")
@pytest.mark.parametrize("n_database", [300, 4500])
def test_ranking(benchmark: Any, n_database: int) -> None:
    random = np.random.default_rng(0)
    query, database = random.normal(size=(300, 1, 256)), random.normal(size=(n_database, 1, 256))
    positive = random.random((300, n_database)) < 0.01
    relation = Relation(is_candidate=np.ones_like(positive), is_positive=positive)
    benchmark(lambda: rank_queries(distances(query, database, "l2"), relation))


@pytest.mark.benchmark(group="town, tiny preset (424 frames)")
def test_generation(benchmark: Any, tmp_path: Path) -> None:
    folders = iter(range(100))

    def prepare() -> None:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        list(Town(preset="tiny").prepare(None, folder))

    benchmark.pedantic(prepare, rounds=2)
