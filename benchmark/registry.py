"""What exists: the tables of methods, registrars and datasets, resolved on first use.

Third parties add entries through the entry points ``crossplace.methods``, ``crossplace.registrars`` and
``crossplace.datasets``.
"""

import importlib
import traceback
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import datasets
import methods
from datasets.errors import CrossplaceError, unknown

if TYPE_CHECKING:
    from datasets.base import Dataset
    from methods.base import Method
    from methods.registration import Registrar

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Names and where the class behind each is found; nothing is imported until it is asked for."""

    kind: str
    table: dict[str, str]
    """Name → ``"module:Class"``."""
    group: str
    """Entry-point group of third parties."""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Names that are no entries although users meet them, and what they are."""

    @cached_property
    def entries(self) -> dict[str, str]:
        """The table and the third parties' entries; a name that is taken twice is an error."""
        entries = dict(self.table)
        for point in entry_points(group=self.group):
            if entries.setdefault(point.name, point.value) != point.value:
                raise CrossplaceError(
                    f"{self.kind} {point.name!r} is registered twice: {entries[point.name]} and {point.value}; "
                    "uninstall or rename one"
                )
        return entries

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self.entries)

    def check(self, name: str) -> None:
        """Refuse an unknown name, with near names and the whole list; imports nothing."""
        if name in self.elsewhere and name not in self.entries:
            raise CrossplaceError(f"{name!r} is no {self.kind} but {self.elsewhere[name]}")
        if name not in self.entries:
            raise CrossplaceError(unknown(self.kind, name, self.names()))

    def get(self, name: str) -> type[T]:
        """The class called ``name``, imported now.

        Raises:
            CrossplaceError: no such name, a card of another name, or another package that cannot be imported.
        """
        self.check(name)
        module, _, attribute = self.entries[name].partition(":")
        try:
            found: type[T] = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # whatever another package does when it is imported
            if name in self.table:
                raise
            raise CrossplaceError(
                f"{self.kind} {name!r} is registered by another package as {self.entries[name]}, "
                f"which cannot be imported: {type(error).__name__}: {error}{_place(error)}; "
                "mend or uninstall that package"
            ) from error
        if (card := getattr(found, "card", None)) and card.name != name:
            raise CrossplaceError(
                f"{self.kind} {name!r} is registered as {self.entries[name]}, whose card is of {card.name!r}; "
                "results are filed under the card's name, so give both the same"
            )
        return found


def _place(error: Exception) -> str:
    """File and line that raised ``error``, in brackets; nothing if that is within Python's own import."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    outside = not isinstance(error, SyntaxError) and Path(last.filename).is_file() and last.filename != __file__
    return f" ({last.filename}, line {last.lineno})" if outside else ""


BOUNDS = dict.fromkeys(
    ("constant", "random", "oracle"), "a bound of recall, which stands beside every row; give a method to get a row"
)
"""The rankers that make no descriptors: their names are in every table."""
METHODS: Registry["Method"] = Registry("method", methods.METHODS, "crossplace.methods", BOUNDS)
REGISTRARS: Registry["Registrar"] = Registry("registrar", methods.REGISTRARS, "crossplace.registrars")
DATASETS: Registry["Dataset"] = Registry("dataset", datasets.DATASETS, "crossplace.datasets")
