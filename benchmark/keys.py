"""Keys of cached work: equal exactly if everything that the work depends on is equal."""

import dataclasses
import hashlib
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np

import methods.base

KEY_LENGTH = 12


def plain(value: Any, *, with_defaults: bool = True) -> Any:
    """``value`` as JSON-ready plain data: dataclasses as objects, arrays as lists.

    Not ``with_defaults``, fields that were ``ADDED`` to a dataclass later are left out where they have their default.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: plain(getattr(value, f.name), with_defaults=with_defaults)
            for f in dataclasses.fields(value)
            if with_defaults or "added" not in f.metadata or getattr(value, f.name) != f.default
        }
    if isinstance(value, dict):
        return {str(k): plain(v, with_defaults=with_defaults) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, with_defaults=with_defaults) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def key_of(*parts: Any) -> str:
    """A short hash of ``parts`` in order; fields that were added later count once they are used."""
    text = json.dumps([plain(p, with_defaults=False) for p in parts], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def code_of(kind: type | None = None) -> str:
    """Hash of the source that a method's numbers come from: its file or package, the interface, recipes, shared layers.

    Of no method, of what all share.
    """
    shared = Path(inspect.getfile(methods.base)).parent
    files = [shared / "base.py", shared / "recipe.py", *(shared / "layers").glob("*.py")]
    if kind:
        own = Path(inspect.getfile(kind))
        files += own.parent.glob("*.py") if own.name == "__init__.py" else [own]
    return key_of([(f.name, hashlib.sha256(f.read_bytes()).hexdigest()) for f in sorted(files)])
