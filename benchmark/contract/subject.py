"""A method under test: the frames that it is tried on, and what is asked of its descriptors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmark.descriptors.encoding import encode_batch
from benchmark.registry import METHODS
from datasets.base import Modality
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.batch import Sample, collate, load_sample
from methods.learning.normalisation import measured_statistics
from methods.registration import Registrar

USUAL = "quick"
"""The preset that every method has."""
TOLERANCE = 1e-5
"""Between descriptors that should be the same, as a share of their largest number (of 1, if that is less).

Float32 rounds otherwise in another batch. That of liploc, whose numbers reach 3, then moves by 2e-6 to 1.2e-5, and in
float64 by 1e-14."""
GPU_TOLERANCE = 1e-2
"""The same between CUDA and a CPU."""
LEAST_COSINE = 0.999
"""Between descriptors of a method and of its copy for inference."""
NO_POINTS = torch.zeros(0, 3)
SPARSE_CLOUDS = {
    "no point": NO_POINTS,
    "one point": torch.tensor([[10.0, 0.5, 0.2]]),
    "one point out of view": torch.tensor([[-10.0, 0.0, 0.0]]),
}

Descriptors = dict[tuple[Modality, str], Tensor]
"""By modality and descriptor name, (batch, views, size)."""


class BrokenContractError(Exception):
    """What a method does and should not do, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A method and the frames that it is tried on."""

    name: str
    method: Method
    """One of its presets, untrained, in evaluation mode."""
    dataset: PreparedDataset
    preset: str = USUAL

    @classmethod
    def of(cls, name: str, dataset: PreparedDataset, preset: str = USUAL) -> "Subject":
        """Batch-norm statistics are those of some frames: untrained ones make all descriptors equal."""
        method = new_method(name, preset)
        subject = cls(name=name, method=method, dataset=dataset, preset=preset)
        with measured_statistics(method):
            encode(method, subject.samples())
        return subject

    def samples(self) -> list[Sample]:
        """Four frames, evenly spread; one with an image of another size."""
        rows = np.linspace(0, len(self.dataset.frames) - 1, 4).astype(int).tolist()
        found = [load_sample(self.dataset, self.dataset.frame(row), ("image", "cloud")) for row in rows]
        found[1].image = torch.randint(
            0, 256, (3, 30, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        return found


def new_method(name: str, preset: str = USUAL, *, seed: int = 0) -> Method:
    """A method as a preset configures it, untrained and without a pretrained backbone."""
    torch.manual_seed(seed)
    kind = METHODS.get(name)
    require_preset(kind, preset)
    return kind(replace(kind.presets[preset], weights="none")).eval()


def encode(method: Method, samples: Sequence[Sample]) -> Descriptors:
    """All descriptors of some samples in one batch; :class:`BrokenContractError` if an encoder returns no dict."""
    with torch.inference_mode():
        encoded = encode_batch(method, collate(samples))
    for modality, named in encoded.items():
        kind = type(named).__name__
        require(isinstance(named, dict), f"encode_{modality}s returned a {kind}, expected a dict of tensors by name")
    return {(modality, name): d for modality, named in encoded.items() for name, d in named.items()}


def require(holds: bool | Tensor, fault: str) -> None:
    """Raise :class:`BrokenContractError` with ``fault`` unless something holds."""
    if not holds:
        raise BrokenContractError(fault)


def require_preset(kind: type[Method | Registrar], preset: str) -> None:
    """Refuse a method or registrar without the preset that it is tried in."""
    require(preset in kind.presets, f"there is no preset {preset!r}")


def are_close(found: Tensor, expected: Tensor) -> bool:
    """Whether descriptors differ by no more than rounding."""
    limit = TOLERANCE * max(1.0, expected.abs().max().item())
    return torch.allclose(found, expected, atol=limit, rtol=0.0)


def require_same(found: Descriptors, expected: Descriptors, fault: str, row: int | None = None) -> None:
    """``found`` equals ``expected``, or its one ``row`` (if ``expected`` has more rows than one)."""
    require(found.keys() == expected.keys(), f"{fault}: other descriptors come back")
    for (modality, name), tensor in found.items():
        other = expected[modality, name] if row is None else expected[modality, name][[row]]
        require(tensor.shape == other.shape, f"{fault}: the {modality} descriptor {name!r} has another shape")
        off = (tensor - other).abs().max().item()
        require(are_close(tensor, other), f"{fault}: the {modality} descriptor {name!r} differs by {off:.2g}")
