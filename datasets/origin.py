"""Where raw data in a folder comes from, if the suite itself put it there: generated, or a part of a download.

The file ``origin.json`` lies in the raw folder. A preparer hands it on to the prepared form, and every result of that
data says what it holds.
"""

import json
from pathlib import Path

from pydantic import BaseModel

from datasets.files import STRICT, read_as, sealed, sha256_of, write_atomically

ORIGIN = "origin.json"


class Origin(BaseModel):
    """What readers of a number must know about the raw data behind it."""

    model_config = STRICT

    is_synthetic: bool
    """Whether the data was generated: its numbers must never stand beside those of recorded data."""
    note: str
    """The same in a sentence, which stands among the warnings of a result."""


def write_origin(folder: Path, origin: Origin) -> None:
    """State the origin of the raw data in ``folder``."""
    content = sealed(origin.model_dump(mode="json"))
    write_atomically(folder / ORIGIN, (json.dumps(content, indent=1) + "\n").encode())


def is_stated(source: Path | None) -> bool:
    """Whether the raw folder ``source`` says where its data comes from; a download made by hand does not."""
    return source is not None and (source / ORIGIN).is_file()


def origin_of(source: Path | None) -> Origin | None:
    """The origin that is stated in the raw folder ``source``; none if nothing is."""
    if source is None or not is_stated(source):
        return None
    return read_as(source / ORIGIN, Origin, "give the command that wrote the folder again")


def listing_of(source: Path | None) -> list[str]:
    """A line for a fingerprint: none where no origin is stated."""
    return [f"{ORIGIN} {sha256_of(source / ORIGIN)}"] if source and is_stated(source) else []
