"""A sample appears in its folder whole, and says of itself that it is generated."""

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from datasets.errors import CrossplaceError, install, unknown
from datasets.files import locked, writing
from datasets.origin import Origin, write_origin
from datasets.samples import SAMPLES

NOTE = "SYNTHETIC: a sample from the procedural town in the layout of {name}; recall says nothing about {name}"


def parts_of(name: str) -> int:
    """How many parts the sample of dataset ``name`` has: runs or sequences."""
    return len(_module(name).RUNS)


def write_sample(name: str, folder: Path) -> Iterator[str]:
    """Write a small raw download of dataset ``name`` into the new ``folder``; yields the name of each part.

    Raises:
        CrossplaceError: there is no such sample, the folder holds something, or an extra is not installed.
    """
    module = _module(name)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise CrossplaceError(f"{folder}: there is something already; name a new folder for the sample")
    begun = folder.absolute().parent / f".{folder.absolute().name}.begun"
    with locked(folder.absolute()), writing(folder):
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        write_origin(begun, Origin(is_synthetic=True, note=NOTE.format(name=name)))
        yield from module.write_sample(begun)
        begun.replace(folder)


def _module(name: str) -> ModuleType:
    """The module that writes the sample of dataset ``name``."""
    if name not in SAMPLES:
        raise CrossplaceError(unknown("sample", name, [*SAMPLES]))
    try:
        return importlib.import_module(SAMPLES[name])
    except ImportError as error:
        raise CrossplaceError(f"the sample of {name} needs the extra {name!r}: {install(name)}") from error
