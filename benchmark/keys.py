"""Keys of cached work: equal exactly if everything that the work depends on is equal."""

import ast
import dataclasses
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from datasets.errors import CrossplaceError

KEY_LENGTH = 12
INTERFACE = "methods"
"""The package that every method is written with. Its own ``__init__`` is no more than the table of methods."""


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


# --- code ----------------------------------------------------------------------------------------


@cache
def code_of(*entries: str) -> str:
    """Hash of the source that numbers of these ``module`` or ``module:Class`` come from: :func:`source_files`."""
    files = source_files(*entries)
    return key_of({module: hashlib.sha256(file.read_bytes()).hexdigest() for module, file in files.items()})


def code_behind(thing: object) -> str | None:
    """:func:`code_of` the class of ``thing``; none for a class without a file, such as one typed into a session."""
    try:
        return code_of(type(thing).__module__)
    except CrossplaceError:
        return None


def source_files(*entries: str) -> dict[str, Path]:
    """Files by name of the modules of ``entries``, and of all that these import, directly or not.

    Imports are followed within ``methods`` and the entries' own packages, also those that run later. Nothing is
    imported to find them. Left out are the table of methods, which no number depends on, and what enters keys in
    another way: the harness by its version, datasets by the fingerprint of the data.
    """
    names = [entry.partition(":")[0] for entry in entries]
    packages = {INTERFACE, *(_package(name) for name in names)}
    found: dict[str, Path] = {}
    waiting = [*names]
    while waiting:
        module = waiting.pop()
        if module in found or module == INTERFACE or _package(module) not in packages:
            continue
        file = _source_file(module)
        if file:
            found[module] = file
            waiting += [*_parents(module), *_imported(module, file)]
        elif module in names:
            raise CrossplaceError(f"module {module}: no source file found; expected it as Python code on the path")
    return found


def _package(module: str) -> str:
    return module.partition(".")[0]


def _parents(module: str) -> list[str]:
    """The packages around a module: they are imported before it."""
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _source_file(module: str) -> Path | None:
    """Where the source of a module is; none for a name that is no module."""
    package, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module that was made by hand
        spec = None
    files = [Path(getattr(sys.modules.get(module), "__file__", None) or "")]
    if spec and spec.submodule_search_locations:
        folders = [Path(folder, *rest) for folder in spec.submodule_search_locations]
        files = [file for folder in folders for file in (folder / "__init__.py", folder.with_suffix(".py"))] + files
    elif spec and spec.origin and not rest:
        files = [Path(spec.origin)]
    return next((file for file in files if file.suffix == ".py" and file.is_file()), None)


def _imported(module: str, file: Path) -> Iterator[str]:
    """What a module imports, wherever it does, in absolute names; some of them are names within a module."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise CrossplaceError(f"{file}, line {error.lineno}: not valid Python ({error.msg}); mend that line") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (source, *(f"{source}.{alias.name}" for alias in node.names))
