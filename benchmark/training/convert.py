"""Other people's weights as files that ``--checkpoint`` takes."""

import importlib
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save

from benchmark.training.bare import bare
from datasets.errors import CrossplaceError, unknown
from datasets.files import write_atomically
from methods import CONVERTERS

log = logging.getLogger(__name__)


def convert(kind: str, source: Path, target: Path, teacher: Path | None) -> None:
    """Write ``target``, whole or not at all.

    State dicts are taken out of what training programs save around them, and their names out of ``DataParallel``.
    """
    if kind not in CONVERTERS:
        raise CrossplaceError(unknown("format of weights", kind, list(CONVERTERS)))
    module, _, function = CONVERTERS[kind].partition(":")
    with TemporaryDirectory() as folder:
        files = {path: _readable(path, Path(folder)) for path in (source, teacher) if path is not None}
        try:
            found = getattr(importlib.import_module(module), function)(
                files[source], None if teacher is None else files[teacher]
            )
        except CrossplaceError as error:
            sentence = str(error)
            for path, file in files.items():
                sentence = sentence.replace(str(file), str(path))
            raise CrossplaceError(sentence) from error
    write_atomically(target, save(found))


def _readable(path: Path, folder: Path) -> Path:
    """``path``, or a bare copy in ``folder`` if the weights are wrapped in something."""
    unwrapped = bare(path)
    if unwrapped is None:
        return path
    tensors, words = unwrapped
    log.info("%s: %s", path, words)
    copy = folder / str(len(list(folder.iterdir()))) / path.name
    copy.parent.mkdir()
    torch.save(tensors, copy)
    return copy
