"""Records that are one sealed file in a folder of their own: how they are found, read and written."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from datasets.files import read_as, sealed, write_atomically

T = TypeVar("T", bound="StoredRecord")


class Model(BaseModel):
    """Part of a record: fields that later versions add are ignored, and every number is finite."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class StoredRecord(Model):
    """Base of records that are computed again when their key changes."""

    file_name: ClassVar[str]
    """Name of the file in the record's folder."""
    command: ClassVar[str]
    """The command that makes such a record."""
    if TYPE_CHECKING:  # a field here would stand first in the files of all records
        key: str

    @classmethod
    def found(cls: type[T], folder: Path, key: str) -> T | None:
        """The record in ``folder`` if it is there and has this key."""
        record = cls.read(folder / cls.file_name) if (folder / cls.file_name).is_file() else None
        return record if record and record.key == key else None

    @classmethod
    def read(cls: type[T], path: Path) -> T:
        """Read a stored record; fields that later versions add are ignored."""
        return read_as(path, cls, f"take {path.parent} away and run {cls.command} again")

    def write(self, path: Path) -> None:
        """Write the record, sealed."""
        write_atomically(path, sealed_json(self))


def sealed_json(record: BaseModel) -> bytes:
    """What the file of a record holds: its fields in their order, and a seal."""
    content = json.dumps(sealed(record.model_dump(mode="json")), indent=1, allow_nan=False, ensure_ascii=False)
    return (content + "\n").encode()
