"""Architectures of papers on a GPU: the plain way and the fast ones, their descriptors and their times."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.cost.inputs import Inputs
from benchmark.cost.parts import Specimen, new_specimen
from benchmark.cost.presets import untrained
from benchmark.cost.stopwatch import now, ready
from benchmark.device import torch_device
from datasets.prepared import PreparedDataset
from methods.layers.sparse.backend import Backend

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
IMAGES = {"vxp": "paper-oxford", "twin_layout": "full"}
"""Methods and presets whose image branches are timed."""
WAYS = {"eager": (False, False), "bfloat16": (False, True), "graphs": (True, False), "graphs-bfloat16": (True, True)}
"""Name of a way → whether it is compiled with CUDA graphs, and whether it computes in bfloat16."""
SIZES = (1, 64)


def specimen_on(device: str, name: str, preset: str, town: PreparedDataset, backend: Backend = "torch") -> Specimen:
    inputs = Inputs.of(town, np.arange(len(town.frames)), torch_device(device), n_frames=8)
    return new_specimen(name, preset, untrained(name, preset), inputs, backend)


def timed(benchmark: Any, specimen: Specimen, run: Callable[[], Any]) -> None:
    def whole() -> None:
        run()
        now(specimen.device)

    benchmark.pedantic(whole, rounds=30, warmup_rounds=5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", IMAGES)
def test_images_are_described_alike_by_all_ways(
    benchmark: Any, tiny_town: PreparedDataset, name: str, way: str, size: int
) -> None:
    benchmark.group = f"image branch of {name}, batch of {size}"
    torch.compiler.reset()  # else networks that share code reach the limit of compilations, and run eagerly
    specimen, (is_compiled, is_half) = specimen_on("cuda", name, IMAGES[name], tiny_town), WAYS[way]
    plain = specimen.method.encode_images
    encode: Callable[[Any], Any] = torch.compile(plain, mode="reduce-overhead") if is_compiled else plain
    with ready(specimen):
        images = specimen.method.image_inputs(specimen.inputs.batch("image", 0, size))
        expected = plain(images)["main"].flatten(1).clone()
        with torch.autocast("cuda", torch.bfloat16) if is_half else nullcontext():
            found = encode(images)["main"].flatten(1).float()
            assert float(torch.nn.functional.cosine_similarity(found, expected).min()) > 0.999
            timed(benchmark, specimen, lambda: encode(images))


@pytest.mark.parametrize("part", ["inputs on the CPU", "encode, spconv", "whole, spconv", "whole, torch"])
@pytest.mark.benchmark(group="cloud branch of vxp, one cloud")
def test_a_cloud_is_voxelized_and_described(benchmark: Any, tiny_town: PreparedDataset, part: str) -> None:
    what, _, backend = part.partition(", ")
    device = "cpu" if what == "inputs on the CPU" else "cuda"
    chosen: Backend = "spconv" if backend == "spconv" else "torch"
    specimen = specimen_on(device, "vxp", IMAGES["vxp"], tiny_town, chosen)
    with ready(specimen):
        batch = specimen.inputs.batch("cloud", 0)
        inputs = specimen.method.cloud_inputs(batch)
        steps: dict[str, Callable[[], Any]] = {
            "inputs on the CPU": lambda: specimen.method.cloud_inputs(batch),
            "encode": lambda: specimen.method.encode_clouds(inputs),
            "whole": lambda: specimen.method.encode_clouds(specimen.method.cloud_inputs(batch)),
        }
        timed(benchmark, specimen, steps[what])
