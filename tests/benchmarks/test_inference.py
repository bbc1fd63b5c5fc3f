"""Each method beside its faster copy, at batch 1 on a processor: both sides of docs/performance.md in one run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.cost.inputs import Inputs
from benchmark.cost.parts import new_specimen, whole
from benchmark.cost.presets import untrained
from benchmark.cost.stopwatch import ready
from benchmark.registry import METHODS
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.layers.inference import for_inference

FORMS: dict[str, Callable[[Method], Method]] = {
    "plain": lambda method: method,
    "float32": lambda method: for_inference(method, "float32"),
    "bfloat16": lambda method: for_inference(method, "bfloat16"),
}
TRIED = [(name, span) for name in METHODS.names() if METHODS.get(name).is_trainable for span in ("image", "cloud")]


@pytest.fixture(scope="module")
def inputs(tiny_town: PreparedDataset) -> Inputs:
    return Inputs.of(tiny_town, np.arange(len(tiny_town.frames)), torch.device("cpu"), n_frames=4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "span"), [pytest.param(*one, id="-".join(one)) for one in TRIED])
@pytest.mark.benchmark(group="whole branch, quick, batch 1: target of a faster copy, at most 0.67 of plain")
def test_branch(benchmark: Any, inputs: Inputs, name: str, span: str, form: str) -> None:
    if form == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("no convolutions in bfloat16 on this processor")
    specimen = new_specimen(name, "quick", FORMS[form](untrained(name, "quick").eval()), inputs)
    batch = specimen.inputs.batch(span, 0)
    with ready(specimen):
        benchmark.pedantic(whole, args=(specimen, span, batch), rounds=15, warmup_rounds=3)
