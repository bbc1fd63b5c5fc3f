"""What is known of every registered method and registrar without importing it: cards, presets and variants, for lists.

Importing all of them and building their networks takes many seconds. ``catalogue.json`` beside this file holds what
came out for those of the suite, each with the key of its code. One whose code has changed since, or that comes from
another package, is imported and described anew. ``crossplace tables`` writes the file.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchmark.keys import code_of
from benchmark.registry import METHODS, REGISTRARS, Registry
from datasets.files import write_atomically

if TYPE_CHECKING:
    from methods.base import DescriptorSpec, Method
    from methods.registration import Registrar

CATALOGUE = "catalogue.json"


class PresetEntry(BaseModel):
    """What a preset keeps of a place, and how large its network is."""

    numbers: str
    """Numbers of a place's descriptors, in words."""
    image_bytes: int | None = None
    """Bytes of a place by an image; none if the method has to be built to know it."""
    cloud_bytes: int | None = None
    parameters: int | None = None


class ListEntry(BaseModel):
    """One line of a list."""

    code: str
    """Key of the code that this was found from."""
    card: dict[str, str | int]
    is_trainable: bool
    variants: dict[str, str]
    """Question that each variant helps to answer, by name."""


class MethodEntry(ListEntry):
    """One method of the list."""

    presets: dict[str, PresetEntry]


class RegistrarEntry(ListEntry):
    """One registrar of the list."""

    presets: dict[str, int | None]
    """Number of parameters of each preset; none if the registrar has to be built to know it."""


class Catalogue(BaseModel):
    """The file."""

    methods: dict[str, MethodEntry] = {}
    registrars: dict[str, RegistrarEntry] = {}


Described = TypeVar("Described", bound=ListEntry)


def method_entry(name: str) -> MethodEntry:
    """What is known of a registered method; :class:`datasets.errors.CrossplaceError` if there is no such method."""
    return _entry(METHODS, _stored().methods, name, describe)


def registrar_entry(name: str) -> RegistrarEntry:
    """What is known of a registrar; :class:`datasets.errors.CrossplaceError` if there is no such registrar."""
    return _entry(REGISTRARS, _stored().registrars, name, describe_registrar)


def _entry(
    registry: Registry[Any], stored: dict[str, Described], name: str, describing: Callable[[str], Described]
) -> Described:
    registry.check(name)
    code, found = code_of(registry.entries[name]), stored.get(name)
    return found if found and found.code == code else _described(describing, name, code)


@cache
def _described(describing: Callable[[str], Described], name: str, code: str) -> Described:
    """The entry made anew, once a process: tables ask for the same one many times."""
    return describing(name)


def _stored() -> Catalogue:
    file = files("benchmark") / CATALOGUE
    try:
        return Catalogue.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):  # everything can be described anew
        return Catalogue()


def describe(name: str) -> MethodEntry:
    """Import a method and describe it; networks are built without memory or weights."""
    method = METHODS.get(name)
    presets = {preset: _preset(method, preset) for preset in method.presets}
    return MethodEntry(presets=presets, **_common(METHODS, name))


def describe_registrar(name: str) -> RegistrarEntry:
    """Import a registrar and describe it; networks are built without memory or weights."""
    kind = REGISTRARS.get(name)
    built = {preset: _built(kind, preset) for preset in kind.presets}
    presets = {preset: None if isinstance(found, str) else _n_parameters(found) for preset, found in built.items()}
    return RegistrarEntry(presets=presets, **_common(REGISTRARS, name))


def _common(registry: Registry[Any], name: str) -> dict[str, Any]:
    """The fields of an :class:`ListEntry`."""
    kind = registry.get(name)
    variants = {variant: found.question for variant, found in kind.variants.items()}
    code = code_of(registry.entries[name])
    return {"code": code, "card": asdict(kind.card), "is_trainable": kind.is_trainable, "variants": variants}


def _built(kind: "type[Method] | type[Registrar]", preset: str) -> Any:
    """An instance without memory, or why there is none in a word."""
    import torch

    try:
        with torch.device("meta"):
            return kind(replace(kind.presets[preset], weights="none", weights_sha256=""))
    except Exception as error:  # somebody else's class that computes while it is built
        return type(error).__name__


def _n_parameters(built: Any) -> int:
    return sum(parameter.numel() for parameter in built.parameters())


def _preset(method: "type[Method]", preset: str) -> PresetEntry:
    built = _built(method, preset)
    if isinstance(built, str):
        return PresetEntry(numbers=f"unknown before it is built ({built})")
    return PresetEntry(
        numbers=" and ".join(map(_numbers, built.descriptors)),
        image_bytes=built.bytes_per_place("image"),
        cloud_bytes=built.bytes_per_place("cloud"),
        parameters=_n_parameters(built),
    )


def _numbers(spec: "DescriptorSpec") -> str:
    """How many numbers a descriptor has, and in how many views."""
    has_views = max(spec.image_views, spec.cloud_views) > 1
    return f"{spec.size:,}" + (f" in {spec.image_views} / {spec.cloud_views} views" if has_views else "")


def write_catalogue(path: Path) -> None:
    """Describe every method and registrar of the suite's own tables anew."""
    found = Catalogue(
        methods={name: describe(name) for name in sorted(METHODS.table)},
        registrars={name: describe_registrar(name) for name in sorted(REGISTRARS.table)},
    )
    write_atomically(path, found.model_dump_json(indent=1).encode() + b"\n")
