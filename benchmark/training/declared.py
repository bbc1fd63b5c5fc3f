"""What a plan has to know of a configured method, remembered from run to run: a plan needs no network and no torch.

Importing a method imports torch, which takes seconds. What the method declares for some options depends on its code
and on these options alone, and is therefore kept as a file under a key of both.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

import benchmark
from benchmark.keys import code_of, key_of, plain
from benchmark.registry import METHODS
from benchmark.request import MethodOptions
from datasets.errors import CrossplaceError
from datasets.files import read_json, sealed, sha256_of, unsealed, write_atomically
from methods.card import ShippedWeights


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a method declares for some options."""

    identity: dict[str, Any]
    """Configuration as plain data; files of weights and of depth by name and hash, wherever they lie."""
    is_trainable: bool
    reads_depth_files: bool
    """Whether depth comes from files, which were made of the images as recorded."""
    planned_share: float
    """Training epochs that are planned of those of the preset and its variant."""
    shipped: tuple[ShippedWeights, ...] = ()


_DECLARED = TypeAdapter(Declared)


def declare(options: MethodOptions, runs: Path) -> Declared:
    """What the method declares for ``options``; read from below ``runs`` if it was asked for before.

    Raises:
        CrossplaceError: no such method, preset or variant, or options that the method does not take.
    """
    METHODS.check(options.name)
    path = runs / "declared" / f"{options.name}-{options.preset}-{_key(options)}.json"
    if (found := _read(path)) is not None:
        return found
    declared = _ask(options)
    if not _is_folder(options.depth):  # its files may change under the same name
        content = sealed(_DECLARED.dump_python(declared, mode="json"))
        write_atomically(path, json.dumps(content).encode(), durable=False)
    return declared


def _key(options: MethodOptions) -> str:
    """A key of the method's code, the options that a configuration depends on, and the content of a backbone's file."""
    asked = {k: v for k, v in asdict(options).items() if k not in ("seed", "checkpoint", "untrained", "retrain")}
    file = Path(options.weights or "").expanduser()
    content = sha256_of(file) if file.is_file() else ""
    return key_of(asked, content, code_of(METHODS.entries[options.name]), benchmark.__version__)


def _read(path: Path) -> Declared | None:
    """What was stored; none if nothing was, or if it is damaged: it can be asked for again."""
    try:
        return _DECLARED.validate_python(unsealed(read_json(path), path)) if path.is_file() else None
    except (CrossplaceError, ValidationError, AttributeError):
        return None


def _ask(options: MethodOptions) -> Declared:
    """Import the method and ask it."""
    from benchmark.training.configuring import configure, planned_share, without_path
    from methods.layers.depth.sources import has_depth_files

    method = METHODS.get(options.name)
    config = configure(method, options)
    return Declared(
        identity=plain(without_path(config), with_defaults=False),
        is_trainable=method.is_trainable,
        reads_depth_files=has_depth_files(config),
        planned_share=planned_share(method, options),
        shipped=tuple(w for w in method.shipped if method.presets[w.preset] == config),
    )


def _is_folder(name: str | None) -> bool:
    return name is not None and Path(name).expanduser().is_dir()
