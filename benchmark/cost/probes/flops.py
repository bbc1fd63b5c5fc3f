"""Floating-point operations of one frame: two for each multiplication with addition.

Counted are convolutions, matrix products and attention, as torch performs them. A sparse convolution multiplies one row
for each pair of its rulebook, and just these products are counted. Sums, norms, activations and resizing are left out.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from benchmark.cost.parts import Specimen, parts_of, starts
from benchmark.cost.readings import Reading, hole
from datasets.base import MODALITIES, Modality
from datasets.errors import CrossplaceError
from methods.layers.sparse import backend as sparse_backend

N_INPUTS = 3
"""Different frames that are counted: the work of a sparse network depends on the cloud."""
QUANTITY, UNIT = "FLOPs", "GFLOP"


def read(specimen: Specimen, _seconds: float) -> list[Reading]:
    """Operations of each part of an image and of a cloud, and of all of them together."""
    specimen.method.eval()
    # The torch backend, whatever was chosen: its products are visible, and every backend multiplies the same pairs.
    with torch.no_grad(), sparse_backend.using("torch"):
        return [reading for modality in MODALITIES for reading in _modality(specimen, modality)]


def _modality(specimen: Specimen, modality: Modality) -> list[Reading]:
    parts = parts_of(modality)
    try:
        start = starts(specimen, modality)
    except CrossplaceError as error:
        return [hole(name, QUANTITY, UNIT, str(error)) for name in (*parts, modality)]
    found: dict[str, list[float]] = {name: [] for name in (*parts, modality)}
    for number in range(min(N_INPUTS, len(specimen.inputs.samples[modality]))):
        value, total = start(number, 1), 0
        for name, part in parts.items():
            value, count = counted(partial(part.run, specimen, value))
            found[name].append(count / 1e9)
            total += count
        found[modality].append(total / 1e9)
    return [
        Reading(part=name, quantity=QUANTITY, unit=UNIT, values=_values(numbers)) for name, numbers in found.items()
    ]


def _values(numbers: list[float]) -> dict[str, float]:
    return {"value": sorted(numbers)[len(numbers) // 2], "least": min(numbers), "most": max(numbers)}


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Attention on a CPU, by the shapes of its inputs; torch's own table of operations lacks it."""
    return sdpa_flop_count(query, key, value)


def counted(run: Callable[[], Any]) -> tuple[Any, int]:
    """What ``run`` gives, and the operations that it took."""
    missing = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it hides its products in one operation
    try:
        with FlopCounterMode(display=False, custom_mapping=missing) as counter:
            result = run()
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
    return result, counter.get_total_flops()
