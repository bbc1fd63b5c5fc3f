"""Time of each part of each method, in ``quick`` and in the architecture of its paper.

The parts, the frames and the presets are those of ``crossplace cost``, which measures longer and writes files. So
``nox -s cost`` leaves these benchmarks out.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.cli.cost import Cost
from benchmark.cost.inputs import Inputs
from benchmark.cost.parts import PARTS, Specimen, new_specimen, parts_of, starts
from benchmark.cost.presets import chosen, untrained
from benchmark.cost.stopwatch import ready
from benchmark.registry import METHODS
from datasets.prepared import PreparedDataset

ROUNDS = {"quick": 10, "paper": 2}


@pytest.fixture(scope="module")
def inputs(tiny_town: PreparedDataset) -> Inputs:
    return Inputs.of(tiny_town, np.arange(len(tiny_town.frames)), torch.device("cpu"), n_frames=4)


@pytest.fixture(scope="module", params=[(n, word) for n in METHODS.names() for word in Cost.presets], ids="-".join)
def specimen(request: pytest.FixtureRequest, inputs: Inputs) -> Iterator[Specimen]:
    name, word = request.param
    (choice,) = chosen([name], [word])
    if choice.hole:
        pytest.skip(choice.hole)
    found = new_specimen(name, choice.preset, untrained(name, choice.preset), inputs)
    with ready(found):
        yield found


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.benchmark(group="batch 1, town")
def test_part(benchmark: Any, request: pytest.FixtureRequest, specimen: Specimen, part: str) -> None:
    span, numbers = PARTS[part].span, iter(range(1000))
    start = starts(specimen, span)

    def given() -> tuple[tuple[Specimen, Any], dict[str, Any]]:
        value = start(next(numbers), 1)
        for name, before in parts_of(span).items():
            if name == part:
                break
            value = before.run(specimen, value)
        return (specimen, value), {}

    _, word = request.node.callspec.params["specimen"]
    benchmark.pedantic(PARTS[part].run, setup=given, rounds=ROUNDS[word], warmup_rounds=1)
