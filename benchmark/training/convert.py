"""Other people's weights as files that ``--checkpoint`` takes."""

import importlib
from pathlib import Path

from safetensors.torch import save

from datasets.errors import CrossplaceError, unknown
from datasets.files import write_atomically
from methods import CONVERTERS


def convert(kind: str, source: Path, target: Path, teacher: Path | None) -> None:
    """Write ``target``, whole or not at all."""
    if kind not in CONVERTERS:
        raise CrossplaceError(unknown("format of weights", kind, list(CONVERTERS)))
    module, _, function = CONVERTERS[kind].partition(":")
    tensors = getattr(importlib.import_module(module), function)(source, teacher)
    write_atomically(target, save(tensors))
