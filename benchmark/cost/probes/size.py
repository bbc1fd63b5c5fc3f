"""Sizes: parameters, bytes of all weights and buffers, and bytes that a map keeps of one place."""

from benchmark.cost.parts import Specimen
from benchmark.cost.readings import Reading, exact
from datasets.base import MODALITIES


def read(specimen: Specimen, _seconds: float) -> list[Reading]:
    """Exact numbers of the network and of its descriptors."""
    method = specimen.method
    weights = sum(tensor.nbytes for tensor in (*method.parameters(), *method.buffers()))
    return [
        exact("method", "parameters", "M", sum(p.numel() for p in method.parameters()) / 1e6),
        exact("method", "weights", "MiB", weights / 2**20),
        *(exact(modality, "place", "KiB", method.bytes_per_place(modality) / 1024) for modality in MODALITIES),
    ]
