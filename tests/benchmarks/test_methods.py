"""Time of each method's steps at batch 1, quick preset, as initialised: ``nox -s cost``."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmark.registry import METHODS
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.batch import Batch, collate, load_sample

STEPS: dict[str, Callable[[Method, Batch], Callable[[], Any]]] = {
    "image_inputs": lambda method, batch: lambda: method.image_inputs(batch),
    "encode_images": lambda method, batch: _with(method.encode_images, method.image_inputs(batch)),
    "cloud_inputs": lambda method, batch: lambda: method.cloud_inputs(batch),
    "encode_clouds": lambda method, batch: _with(method.encode_clouds, method.cloud_inputs(batch)),
}


def _with(step: Callable[[Any], Any], inputs: Any) -> Callable[[], Any]:
    return lambda: step(inputs)


@pytest.fixture(scope="module", params=METHODS.names())
def method(request: pytest.FixtureRequest) -> Method:
    kind = METHODS.get(request.param)
    return kind(kind.presets["quick"]).eval()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.benchmark(group="batch 1, town")
def test_step(benchmark: Any, method: Method, step: str, tiny_town: PreparedDataset) -> None:
    batch = collate([load_sample(tiny_town, tiny_town.frame(0), ("image", "cloud"))])
    with torch.inference_mode():
        benchmark(STEPS[step](method, batch))
