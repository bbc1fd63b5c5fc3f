"""What is timed of a method: one list for ``crossplace cost``, ``crossplace bench`` and the benchmarks in the tests."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from numpy import ndarray

from benchmark.cost.inputs import Inputs, Maps
from benchmark.evaluation.estimates import Side, Space
from benchmark.evaluation.nearest import nearest
from benchmark.frames.loading import kept_bytes
from datasets.base import MODALITIES, DistanceKind, Modality
from datasets.errors import CrossplaceError
from methods.base import Method
from methods.layers.sparse.backend import Backend

SEARCHED = (1_000, 10_000)
"""Sizes of the maps that a descriptor is searched in."""
N_NEAREST = 25
"""Places that a search returns."""
N_QUERIES = 64
"""Different queries of a search."""
N_SAMPLED = 256
"""Places that the space of a search is made from, since all values come from one range."""
VALUE_BYTES = 12
"""What a value of a descriptor takes in a map: in float64, and in float32 beside it."""
MOST_BYTES = 3 * 2**30
"""Largest map that is searched."""


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """A method in one preset, in evaluation mode on its device, with the frames that it is measured on."""

    name: str
    preset: str
    method: Method
    inputs: Inputs
    backend: Backend = "torch"
    """What computes sparse convolutions."""
    best_batch: dict[Modality, int] = field(default_factory=dict)
    """The best size of a batch, once it is known."""

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return self.inputs.device


@dataclass(frozen=True, kw_only=True)
class TimedPart:
    """One timed step."""

    span: str
    """The parts of a span follow each other: each takes what the part before it gave."""
    run: Callable[[Specimen, Any], Any]


def _search(_: Specimen, given: tuple[Space, Side, Float[ndarray, "1 v d"]]) -> Int[ndarray, "1 k"]:
    """Rows of the nearest places, exactly as a localizer and the evaluator find them: on the CPU."""
    space, places, query = given
    rows, _distance = nearest(space.side(query), places, space.distance, N_NEAREST)
    return rows


PARTS: dict[str, TimedPart] = {
    "image.inputs": TimedPart(span="image", run=lambda specimen, batch: specimen.method.image_inputs(batch)),
    "image.encode": TimedPart(span="image", run=lambda specimen, inputs: specimen.method.encode_images(inputs)),
    "cloud.inputs": TimedPart(span="cloud", run=lambda specimen, batch: specimen.method.cloud_inputs(batch)),
    "cloud.encode": TimedPart(span="cloud", run=lambda specimen, inputs: specimen.method.encode_clouds(inputs)),
    **{f"search.{n}": TimedPart(span=f"search.{n}", run=_search) for n in SEARCHED},
}
"""Name of a part → its span and what it runs. A new part is a new line."""
SPANS = tuple(dict.fromkeys(part.span for part in PARTS.values()))
"""Spans in order: a whole image, a whole cloud, and each search."""


def parts_of(span: str) -> dict[str, TimedPart]:
    """The parts of a span, in order."""
    return {name: part for name, part in PARTS.items() if part.span == span}


def starts(specimen: Specimen, span: str) -> Callable[[int, int], Any]:
    """What the first part of a span takes, as a function of the number of a batch and its size; made off the clock.

    Raises:
        CrossplaceError: the span cannot be measured; the sentence says why.
    """
    for modality in MODALITIES:
        if span == modality:
            specimen.inputs.batch(modality, 0)
            return partial(specimen.inputs.batch, modality)
    return _queries(specimen, int(span.partition(".")[2]))


def _queries(specimen: Specimen, n_places: int) -> Callable[[int, int], Any]:
    """Random descriptors of the method's shape: the time of an exact search does not depend on their values."""
    spec = specimen.method.descriptors[0]
    shape = (n_places, spec.cloud_views, spec.size)
    if _bytes(shape) > MOST_BYTES:
        raise CrossplaceError(
            f"a map of {n_places:,} places takes {_bytes(shape) / 2**30:.1f} GiB, more than the "
            f"{MOST_BYTES / 2**30:.0f} GiB that a search is measured in; give the method a shorter descriptor"
        )
    queries = _random(1, N_QUERIES, 1, spec.image_views, spec.size)
    space, side = _map(specimen.inputs.maps, shape, spec.distance)
    return lambda number, size: (space, side, queries[number % N_QUERIES])


def _map(maps: Maps, shape: tuple[int, int, int], distance: DistanceKind) -> tuple[Space, Side]:
    """Random places, ready to be searched. They are kept for the next round while all that are kept fit into memory."""
    if (shape, distance) in maps:
        return maps[shape, distance]
    places = _random(0, *shape)
    space = Space.of([places[:N_SAMPLED]], distance)
    found = space, space.side(places)
    if _bytes(shape) + sum(_bytes(kept) for kept, _ in maps) <= kept_bytes():
        maps[shape, distance] = found
    return found


def _bytes(shape: Sequence[int]) -> int:
    """What a map takes: places, views of each and size of a descriptor."""
    return VALUE_BYTES * math.prod(shape)


def _random(seed: int, *shape: int) -> Float[ndarray, "..."]:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).double().numpy()


def whole(specimen: Specimen, span: str, value: Any) -> Any:
    """What the last part of a span gives."""
    for part in parts_of(span).values():
        value = part.run(specimen, value)
    return value


def new_specimen(name: str, preset: str, method: Method, inputs: Inputs, backend: Backend = "torch") -> Specimen:
    """A specimen whose method is in evaluation mode and on the device of the inputs."""
    return Specimen(name=name, preset=preset, method=method.to(inputs.device).eval(), inputs=inputs, backend=backend)
