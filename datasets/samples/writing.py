"""A sample appears in its folder whole, and says of itself that it is generated."""

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from datasets.errors import CrossplaceError, unknown
from datasets.files import locked, writing
from datasets.origin import Origin, write_origin
from datasets.samples import SAMPLES

NOTE = "SYNTHETIC: a sample from the procedural town in the layout of {name}; recall says nothing about {name}"


def write_sample(name: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Write a small raw download of dataset ``name`` into the new ``folder``; yields (parts done, parts in all).

    Raises:
        CrossplaceError: there is no such sample, the folder holds something, or an extra is not installed.
    """
    if name not in SAMPLES:
        raise CrossplaceError(unknown("sample", name, [*SAMPLES]))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise CrossplaceError(f"{folder}: there is something already; name a new folder for the sample")
    try:
        module = importlib.import_module(SAMPLES[name])
    except ImportError as error:
        raise CrossplaceError(
            f"the sample of {name} needs the extra {name!r}: python -m pip install 'crossplace[{name}]' (in a "
            f"checkout: .[{name}])"
        ) from error
    begun = folder.absolute().parent / f".{folder.absolute().name}.begun"
    with locked(folder.absolute()), writing(folder):
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        write_origin(begun, Origin(is_synthetic=True, note=NOTE.format(name=name)))
        yield from module.write_sample(begun)
        begun.replace(folder)
