"""What is known of every registered method without importing it: cards, presets and variants, for lists.

Importing all methods and building their networks takes many seconds. ``catalogue.json`` beside this file holds what
came out for the methods of the suite, each with the key of its code. A method whose code has changed since, or that
comes from another package, is imported and described anew. ``crossplace tables`` writes the file.
"""

from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter, ValidationError

from benchmark.keys import code_of
from benchmark.registry import METHODS
from datasets.files import write_atomically

if TYPE_CHECKING:
    from methods.base import DescriptorSpec

CATALOGUE = "catalogue.json"


class PresetEntry(BaseModel):
    """What a preset keeps of a place, and how large its network is."""

    numbers: str
    """Numbers of a place's descriptors, in words."""
    image_bytes: int | None = None
    """Bytes of a place by an image; none if the method has to be built to know it."""
    cloud_bytes: int | None = None
    parameters: int | None = None


class MethodEntry(BaseModel):
    """One method of the list."""

    code: str
    """Key of the code that this was found from."""
    card: dict[str, str | int]
    is_trainable: bool
    presets: dict[str, PresetEntry]
    variants: dict[str, str]
    """Question that each variant helps to answer, by name."""


_CATALOGUE = TypeAdapter(dict[str, MethodEntry])


def method_entry(name: str) -> MethodEntry:
    """What is known of a registered method; :class:`datasets.errors.CrossplaceError` if there is no such method."""
    METHODS.check(name)
    stored = _stored().get(name)
    code = code_of(METHODS.entries[name])
    return stored if stored and stored.code == code else _described(name, code)


@cache
def _described(name: str, code: str) -> MethodEntry:
    """:func:`describe`, once a process: tables ask for the same method many times."""
    return describe(name)


def _stored() -> dict[str, MethodEntry]:
    file = files("benchmark") / CATALOGUE
    try:
        return _CATALOGUE.validate_json(file.read_bytes())
    except (OSError, ValidationError):  # every method can be described anew
        return {}


def describe(name: str) -> MethodEntry:
    """Import a method and describe it; networks are built without memory or weights."""
    method = METHODS.get(name)
    return MethodEntry(
        code=code_of(METHODS.entries[name]),
        card=asdict(method.card),
        is_trainable=method.is_trainable,
        presets={preset: _preset(name, preset) for preset in method.presets},
        variants={name: variant.question for name, variant in method.variants.items()},
    )


def _preset(name: str, preset: str) -> PresetEntry:
    import torch

    method = METHODS.get(name)
    try:
        with torch.device("meta"):
            built = method(replace(method.presets[preset], weights="none", weights_sha256=""))
    except Exception as error:  # somebody else's method that computes while it is built
        return PresetEntry(numbers=f"unknown before it is built ({type(error).__name__})")
    numbers = []
    for spec in built.descriptors:
        views = (
            f" in {spec.image_views} / {spec.cloud_views} views" if max(spec.image_views, spec.cloud_views) > 1 else ""
        )
        numbers.append(f"{spec.size:,}{views}")
    return PresetEntry(
        numbers=" and ".join(map(_numbers, built.descriptors)),
        image_bytes=built.bytes_per_place("image"),
        cloud_bytes=built.bytes_per_place("cloud"),
        parameters=sum(parameter.numel() for parameter in built.parameters()),
    )


def _numbers(spec: "DescriptorSpec") -> str:
    """How many numbers a descriptor has, and in how many views."""
    has_views = max(spec.image_views, spec.cloud_views) > 1
    return f"{spec.size:,}" + (f" in {spec.image_views} / {spec.cloud_views} views" if has_views else "")


def write_catalogue(path: Path) -> None:
    """Describe every method of the suite's own table anew."""
    content = {name: describe(name) for name in sorted(METHODS.table)}
    write_atomically(path, _CATALOGUE.dump_json(content, indent=1) + b"\n")
