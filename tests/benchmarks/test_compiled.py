"""Compiled image branches beside eager ones: the same descriptors, and the times of both."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.cost.inputs import Inputs
from benchmark.cost.parts import Specimen, new_specimen
from benchmark.cost.presets import untrained
from benchmark.cost.stopwatch import now, ready
from benchmark.registry import METHODS
from datasets.prepared import PreparedDataset

WAYS: dict[str, Callable[[Any], Any]] = {
    "eager": lambda encode: encode,
    "compiled": torch.compile,
    "graphs": lambda encode: torch.compile(encode, mode="reduce-overhead"),
}
TRAINABLE = [name for name in METHODS.names() if METHODS.get(name).is_trainable]
ON_CPU = ("range_plain",)
"""Compiling takes most of a minute, so that a CPU tries one method."""
TRIED = [
    *(pytest.param("cuda", name, way, marks=pytest.mark.gpu) for name in TRAINABLE for way in WAYS),
    *(pytest.param("cpu", name, way) for name in ON_CPU for way in ("eager", "compiled")),
]


@pytest.fixture
def specimen(request: pytest.FixtureRequest, small_world: PreparedDataset) -> Iterator[Specimen]:
    device, name, _ = request.node.callspec.params.values()
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    inputs = Inputs.of(small_world, np.arange(len(small_world.frames)), torch.device(device), n_frames=4)
    found = new_specimen(name, "quick", untrained(name, "quick"), inputs)
    with ready(found):
        yield found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize(("device", "name", "way"), TRIED)
@pytest.mark.benchmark(group="image branch, eager and compiled")
def test_compiled_images_are_described_alike(
    benchmark: Any, specimen: Specimen, device: str, name: str, way: str
) -> None:
    torch.compiler.reset()  # else networks that share code reach the limit of compilations, and run eagerly
    method, encode = specimen.method, WAYS[way](specimen.method.encode_images)
    images = method.image_inputs(specimen.inputs.batch("image", 0))
    expected = method.encode_images(images)

    def run() -> Any:
        found = encode(images)
        now(specimen.device)
        return found

    try:
        found = run()
    except Exception as error:
        if "compiler" in str(error).lower() and device == "cpu":
            pytest.skip("torch.compile needs a C++ compiler on a CPU")
        raise
    for key, descriptors in expected.items():
        cosine = torch.nn.functional.cosine_similarity(found[key].flatten(1), descriptors.flatten(1))
        assert float(cosine.min()) > 0.999
    benchmark.pedantic(run, rounds=20, warmup_rounds=3)
