"""What ``crossplace list`` prints."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.registry import DATASETS, METHODS
from datasets.protocols import PROTOCOLS
from methods.base import FROM_SCRATCH, DescriptorSpec, Method


def _card(card: Any) -> str:
    return "\n".join(f"  {f.name}: {getattr(card, f.name)}" for f in fields(card) if getattr(card, f.name) != "")


def methods() -> str:
    """Every method with its card, and what each of its presets keeps of a place."""
    return "\n\n".join(
        f"{name}\n{_card(METHODS.get(name).card)}\n{_presets(METHODS.get(name))}" for name in METHODS.names()
    )


def _presets(method: type[Method]) -> str:
    """A line for each preset: size of its descriptors and of its network, which is built without memory or weights."""
    lines = []
    for name, config in method.presets.items():
        try:
            with torch.device("meta"):
                built = method(replace(config, weights=FROM_SCRATCH, weights_sha256=""))
        except Exception as error:  # somebody else's method that computes while it is built
            lines.append(f"  preset {name}: unknown before it is built ({type(error).__name__})")
            continue
        numbers = " and ".join(_numbers(spec) for spec in built.descriptors)
        stored = dict.fromkeys(f"{built.bytes_per_place(modality):,}" for modality in ("image", "cloud"))
        parameters = sum(parameter.numel() for parameter in built.parameters())
        lines.append(
            f"  preset {name}: {numbers} numbers, {' / '.join(stored)} bytes per place, {parameters:,} parameters"
        )
    return "\n".join(lines)


def _numbers(spec: DescriptorSpec) -> str:
    views = max(spec.image_views, spec.cloud_views)
    return f"{spec.size:,}" if views == 1 else f"{spec.size:,} in {spec.image_views} / {spec.cloud_views} views"


def presets() -> str:
    """Every method's presets."""
    return "\n".join(f"{name}: {', '.join(METHODS.get(name).presets)}" for name in METHODS.names())


def variants() -> str:
    """Every method's variants, by the question that they help to answer."""
    lines = []
    for method in METHODS.names():
        found = METHODS.get(method).variants
        for question in dict.fromkeys(variant.question for variant in found.values()):
            names = [name for name, variant in found.items() if variant.question == question]
            lines.append(f"{method}: {question} {', '.join(names)}")
    return "\n".join(lines)


def datasets() -> str:
    """Every dataset with its card."""
    return "\n\n".join(f"{name}\n{_card(DATASETS.get(name).card)}" for name in DATASETS.names())


def protocols() -> str:
    """Every protocol with the choices that define it; selections by what they leave out."""
    return "\n\n".join(
        "\n".join([name, *(f"  {f.name}: {_words(getattr(protocol, f.name))}" for f in fields(protocol)[1:])])
        for name, protocol in PROTOCOLS.items()
    )


def _words(value: Any) -> str:
    """``value`` in one line; of a dataclass the fields that say something."""
    if is_dataclass(value):
        told = [(f.name, getattr(value, f.name)) for f in fields(value)]
        return f"({', '.join(f'{name} {_words(part)}' for name, part in told if part not in (None, (), (0, None)))})"
    if isinstance(value, tuple):
        return (", " if any(isinstance(part, tuple) for part in value) else " ").join(map(_words, value)) or "none"
    return "none" if value is None else str(value)


def perturbations() -> str:
    """Every perturbation with what it changes and its five severities."""
    return "\n\n".join(
        f"{name}\n  title: {p.title}\n  modality: {p.modality}\n"
        f"  severity 1 to 5: {', '.join(f'{value:g}' for value in p.values)} {p.unit}"
        for name, p in PERTURBATIONS.items()
    )


LISTINGS: dict[str, Callable[[], str]] = {
    "methods": methods,
    "presets": presets,
    "variants": variants,
    "datasets": datasets,
    "protocols": protocols,
    "perturbations": perturbations,
}
