"""State dicts as other people's code saved them, taken out of what is around them. Nothing in a file is executed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

AROUND = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Keys below which training programs keep the weights, beside epochs and optimizers; the first that is there counts."""
LEADING = ("model", "net", "network", "state_dict")
"""First parts of names that say only that it is a network; they are taken off if all names begin with them."""
INSERTED = ("module", "_orig_mod")
"""Parts of names that ``DataParallel`` and ``torch.compile`` insert before the parts of a network, anywhere."""


def bare(path: Path) -> tuple[dict[str, Tensor], str] | None:
    """The state dict in ``path`` under its own names, and what was taken off, in words.

    The result is None if nothing is to be taken off, or if the file holds anything else: its reader says what.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # many kinds, by what the bytes look like
        return None
    keys = []
    while isinstance(found, Mapping) and not _is_state(found):
        key = next((key for key in AROUND if isinstance(found.get(key), Mapping)), "")
        if not key:
            return None
        keys.append(key)
        found = found[key]
    if not isinstance(found, Mapping):
        return None
    names = plain_names(found)
    changed = [name for name, plain in names.items() if name != plain]
    words = [f"taken out of {'.'.join(keys)}"] if keys else []
    words += [f"{len(changed)} names such as {changed[0]} shortened to {names[changed[0]]}"] if changed else []
    return ({plain: found[name] for name, plain in names.items()}, ", ".join(words)) if words else None


def plain_names(found: Iterable[str]) -> dict[str, str]:
    """Names of tensors without what was put around them, by name; all as they are if two would become one."""
    before = list(found)
    names = {name: _plain(name) for name in before}
    while (first := _shared_first(names.values())) in LEADING:
        names = {name: plain.removeprefix(f"{first}.") for name, plain in names.items()}
    return names if len(set(names.values())) == len(names) else {name: name for name in before}


def _is_state(found: Mapping[Any, Any]) -> bool:
    return all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items())


def _plain(name: str) -> str:
    """A name without the parts that were inserted; a name that consists of them alone stays."""
    return ".".join(part for part in name.split(".") if part not in INSERTED) or name


def _shared_first(names: Iterable[str]) -> str:
    """The first part that all names share, if they have a further one."""
    firsts = {name.partition(".")[0] if "." in name else "" for name in names}
    return firsts.pop() if len(firsts) == 1 else ""
