"""What was fetched into a folder: addresses, lengths and hashes of all files, for later commands and for readers."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from datasets.errors import CrossplaceError
from datasets.files import STRICT, read_as, sealed, write_atomically
from datasets.origin import is_stated

MANIFEST = "manifest.json"
SCHEMA = 1


def _inside(path: str) -> str:
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ValueError(f"{path} is no path below the folder")
    return path


class Entry(BaseModel):
    """One fetched file."""

    model_config = STRICT

    url: str
    member: str = ""
    """Name within the archive at ``url``; empty for a file of its own."""
    n_bytes: Annotated[int, Field(ge=0)]
    etag: str
    """ETag of the file, or of the archive."""
    sha256: str


class Manifest(BaseModel):
    """Everything that was fetched into a folder."""

    model_config = STRICT

    schema_version: int = SCHEMA
    dataset: str
    licence: str
    citation: str
    wishes: list[str] = []
    """What was asked for, in words, one wish a command."""
    is_complete: bool = False
    """Whether the last command fetched all that it was asked for."""
    files: dict[Annotated[str, AfterValidator(_inside)], Entry] = {}
    """Fetched files by path below the folder."""

    @classmethod
    def found(cls, folder: Path) -> "Manifest | None":
        """The manifest in ``folder``, or none if nothing was fetched into it."""
        path = folder / MANIFEST
        remedy = "take it away and give the command data fetch again: files that are right are kept"
        return read_as(path, cls, remedy) if path.is_file() else None

    @classmethod
    def of(cls, folder: Path, dataset: str, licence: str, citation: str) -> "Manifest":
        """The manifest in ``folder``, or a new one.

        Raises:
            CrossplaceError: the folder holds another dataset, or something that was not fetched.
        """
        found = cls.found(folder)
        if found is None:
            is_foreign = not is_stated(folder) and folder.is_dir()
            if is_foreign and any(not path.name.startswith(".") for path in folder.iterdir()):
                raise CrossplaceError(
                    f"{folder}: there is something in this folder that was not fetched by this command; name an empty "
                    "folder (--to)"
                )
            return cls(dataset=dataset, licence=licence, citation=citation)
        if found.dataset != dataset:
            raise CrossplaceError(f"{folder} holds {found.dataset}; name another folder for {dataset} (--to)")
        return found

    def write(self, folder: Path) -> None:
        """Write the manifest into ``folder``."""
        content = json.dumps(sealed(self.model_dump(mode="json")), indent=1)
        write_atomically(folder / MANIFEST, (content + "\n").encode())

    @property
    def n_bytes(self) -> int:
        """Bytes of all fetched files."""
        return sum(entry.n_bytes for entry in self.files.values())
