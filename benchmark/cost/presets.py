"""Which presets a session measures, and methods in them with random weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from benchmark.registry import METHODS
from datasets.errors import CrossplaceError, unknown
from methods.base import FROM_SCRATCH, Method, MethodConfig

PAPER = "paper"
"""The word for the preset with the architecture of a method's paper, whatever its name."""
WHOLE = (PAPER, "full", "gpu")
"""Beginnings of names of such presets; the first that a method has counts."""


@dataclass(frozen=True, kw_only=True)
class PresetChoice:
    """A method in one preset, or the reason why it has none."""

    name: str
    preset: str
    hole: str = ""


def chosen(names: Sequence[str], words: Sequence[str]) -> list[PresetChoice]:
    """Each method in each preset that ``words`` mean, once; a preset that a method lacks is a hole.

    Raises:
        CrossplaceError: a word that is a preset of none of the methods.
    """
    choices: dict[tuple[str, str], PresetChoice] = {}
    for word in words:
        presets = {name: _preset(name, word) for name in names}
        if not any(presets.values()) and word != PAPER:
            known = sorted({PAPER, *(preset for name in names for preset in METHODS.get(name).presets)})
            raise CrossplaceError(unknown("preset", word, known))
        for name, preset in presets.items():
            choice = PresetChoice(name=name, preset=preset or word, hole="" if preset else _lacking(name, word))
            choices.setdefault((name, choice.preset), choice)
    order = {name: place for place, name in enumerate(names)}
    return sorted(choices.values(), key=lambda choice: order[choice.name])


def _preset(name: str, word: str) -> str:
    """The preset of a method that ``word`` means; empty if it has none."""
    presets = METHODS.get(name).presets
    if word != PAPER:
        return word if word in presets else ""
    return next((preset for start in WHOLE for preset in presets if preset.startswith(start)), "")


def _lacking(name: str, word: str) -> str:
    what = "preset with a paper's architecture" if word == PAPER else f"preset {word}"
    return f"{name} has no {what}, only {', '.join(METHODS.get(name).presets)}"


def without_weights(name: str, preset: str) -> MethodConfig:
    """The configuration of a preset from scratch: times do not depend on what weights are, so none are needed."""
    return replace(METHODS.get(name).presets[preset], weights=FROM_SCRATCH, weights_sha256="")


def untrained(name: str, preset: str) -> Method:
    """The method in a preset, with random weights."""
    torch.manual_seed(0)
    return METHODS.get(name)(without_weights(name, preset))
