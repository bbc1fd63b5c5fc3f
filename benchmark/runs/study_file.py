"""A study as a file: methods × presets × variants × datasets × protocols × seeds, in TOML. See docs/scale.md."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError, with_config

from benchmark.registry import METHODS
from benchmark.request import Request, option_types
from benchmark.runs.carrying import Wanted
from datasets.errors import CrossplaceError, unknown
from datasets.files import STRICT, first_fault, read_text
from datasets.protocols import PROTOCOLS

AXES = {
    "methods": "method",
    "presets": "preset",
    "variants": "variant",
    "datasets": "dataset",
    "protocols": "protocol",
    "seeds": "seed",
}
"""List of a study file → the option of the command line that takes each of its values."""


@with_config(STRICT)
@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """What a study file may say; a list that it leaves out has the value of the command line alone."""

    methods: tuple[str, ...] = ()
    """Registered methods, or ``["all"]``."""
    presets: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    """Changes of the presets; the empty text is the preset itself."""
    datasets: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    """Protocols; one that is for another registered dataset is left out there."""
    seeds: tuple[int, ...] = ()
    cost: bool = True
    """Whether times and memory are taken, each on a machine where nothing else runs."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further options of ``crossplace bench`` by name, for all runs."""

    @classmethod
    def read(cls, path: Path) -> "StudyFile":
        """The study in a file; raises :class:`CrossplaceError` naming what is wrong."""
        try:
            found = TypeAdapter(cls).validate_python(tomllib.loads(read_text(path)))
        except tomllib.TOMLDecodeError as error:
            raise CrossplaceError(f"{path}: not valid TOML ({error}); docs/scale.md shows a study file") from error
        except ValidationError as error:
            raise CrossplaceError(
                f"{path}: {first_fault(error)}; a study file has {', '.join(f.name for f in fields(cls))}"
            ) from error
        return replace(found, methods=tuple(METHODS.names())) if found.methods == ("all",) else found

    def request(self, base: Request) -> Request:
        """``base`` with the further options of the file."""
        taken = [name for name in self.options if name in AXES.values() and getattr(self, _list_of(name))]
        if taken:
            raise CrossplaceError(f"options.{taken[0]}: the list {_list_of(taken[0])} says it; leave one of them out")
        types = option_types()
        if strange := next((name for name in self.options if name not in types), None):
            raise CrossplaceError(f"options: {unknown('option', strange, list(types))}")
        return base.changed(**{name: _typed(name, value, types[name]) for name, value in self.options.items()})

    def wanted(self, base: Request, *, measured: bool) -> list[Wanted]:
        """All runs of the study, in the order of its lists; protocols that are for other data are left out."""
        request = self.request(base)
        axes = {option: getattr(self, name) for name, option in AXES.items() if getattr(self, name)}
        cells = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
        return named([request.changed(**cell) for cell in cells if _fits(cell)], measured=measured and self.cost)


def named(requests: Sequence[Request], *, measured: bool) -> list[Wanted]:
    """Runs with labels that hold what differs between them, first of all the method."""
    words = [
        (method.name, method.preset, method.variant, data.dataset, data.protocol or "", f"seed {method.seed}")
        for method, data in ((request.method, request.data) for request in requests)
    ]
    differs = [len({word[place] for word in words}) > 1 for place in range(len(AXES))]
    labels = [" · ".join(w for place, w in enumerate(word) if w and (differs[place] or not place)) for word in words]
    if doubled := next((label for label in labels if labels.count(label) > 1), None):
        raise CrossplaceError(f"{doubled}: asked for twice; leave one of them out")
    pairs = zip(labels, requests, strict=True)
    return [Wanted(label=label, request=request, measured=measured) for label, request in pairs]


def _fits(cell: dict[str, Any]) -> bool:
    """Whether a protocol is for the dataset, as far as both are registered and named by the file."""
    protocol = PROTOCOLS.get(cell.get("protocol", ""))
    others = {known.dataset for known in PROTOCOLS.values()}
    return protocol is None or cell.get("dataset") not in others or protocol.dataset == cell["dataset"]


def _list_of(option: str) -> str:
    return next(name for name, taken in AXES.items() if taken == option)


def _typed(name: str, value: Any, kind: Any) -> Any:
    """The value of an option as the command line would make it."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        what = first_fault(error)
        raise CrossplaceError(f"options.{name}: {what}; crossplace bench --help says what it may be") from error
