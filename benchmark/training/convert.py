"""Other people's weights as files that ``--checkpoint`` takes."""

import importlib
from pathlib import Path

from safetensors.torch import save

from datasets.files import write_atomically

FORMATS = {"vxp-official": "methods.vxp.official:convert"}
"""Format → ``"module:function"`` from one or two files to tensors under our names."""


def convert(kind: str, source: Path, target: Path, teacher: Path | None) -> None:
    """Write ``target``, whole or not at all."""
    module, _, function = FORMATS[kind].partition(":")
    tensors = getattr(importlib.import_module(module), function)(source, teacher)
    write_atomically(target, save(tensors))
