"""Checkpoints without pickle: tensors as safetensors with their own checksum, everything else as sealed JSON."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from benchmark.training.bare import plain_names
from datasets.errors import CrossplaceError
from datasets.files import read_text, sealed, unsealed, write_atomically

CHECKSUM = "sha256_of_tensors"
"""Key of the safetensors metadata that holds :func:`_checksum`; files made elsewhere lack it."""


@runtime_checkable
class HasState(Protocol):
    """A module, or a part of one."""

    def state_dict(self) -> dict[str, Tensor]: ...  # noqa: D102
    def load_state_dict(self, state: Mapping[str, Tensor], /) -> object: ...  # noqa: D102


def save_weights(module: HasState, path: Path) -> None:
    """Parameters and buffers of ``module``."""
    write_atomically(path, _serialised(_plain(module.state_dict())))


def checksum_of(module: HasState) -> str:
    """What tells weights apart: SHA-256 over names, types, shapes and contents of parameters and buffers."""
    return _checksum(_plain(module.state_dict()))


def load_weights(module: HasState, path: Path, remedy: str = "take its folder away to train anew") -> None:
    """Load what :func:`save_weights` wrote; names and shapes must fit exactly.

    Weights of other programs may have names with ``module.`` in them, or ``model.`` in front of all (:mod:`.bare`).

    Raises:
        CrossplaceError: damage, or another network's weights; it ends with ``remedy``.
    """
    try:
        found = _read(path)
        expected = module.state_dict()
        if found.keys() != expected.keys():
            shorter = plain_names(found)
            found = {shorter[name]: tensor for name, tensor in found.items()}
        _check_fit(found, expected, path)
    except CrossplaceError as error:
        raise CrossplaceError(f"{error}; {remedy}") from error
    module.load_state_dict(found)


def save_checkpoint(folder: Path, module: HasState, optimizer: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """Replace the checkpoint in ``folder``: weights, optimizer and ``progress`` (plain data) as one consistent whole.

    The tensors go into a file named by epoch; ``progress.json``, written last, names it. A crash in between leaves
    the previous checkpoint valid. The folder is this process's alone (:func:`datasets.files.locked`).
    """
    state = optimizer.state_dict()
    tensors = {f"module.{name}": t for name, t in _plain(module.state_dict()).items()}
    tensors |= _plain({f"optimizer.{i}.{key}": t for i, slots in state["state"].items() for key, t in slots.items()})
    name = f"epoch-{progress['epoch']:04d}.safetensors"
    write_atomically(folder / name, _serialised(tensors))
    content = json.dumps(sealed({**progress, "tensors": name}), indent=1)
    write_atomically(folder / "progress.json", content.encode())
    for old in [*folder.glob("epoch-*.safetensors"), *folder.glob(".*")]:  # hidden: parts that a kill left
        if old.name != name:
            old.unlink()


def load_checkpoint(folder: Path, module: HasState, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Restore the checkpoint in ``folder`` and return its progress; none if there is no checkpoint.

    Raises:
        CrossplaceError: a damaged checkpoint, or one of another network or optimizer; nothing is changed then.
    """
    path = folder / "progress.json"
    if not path.exists():
        return None
    try:
        noted = json.loads(read_text(path))
        noted["seal"]  # KeyError: every checkpoint has one
        progress = unsealed(noted, path)
        file = folder / progress["tensors"]
        tensors = _read(file)
        weights = {k.removeprefix("module."): t for k, t in tensors.items() if k.startswith("module.")}
        _check_fit(weights, module.state_dict(), file)
        slots = _slots(tensors, optimizer, file)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, CrossplaceError) as error:
        raise CrossplaceError(f"{path}: damaged training state ({error}); delete {folder} to start over") from error
    module.load_state_dict(weights)
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def _slots(tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer, path: Path) -> dict[int, dict[str, Tensor]]:
    """The optimizer's state by parameter; each tensor has its parameter's shape, or is a number."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            if int(index) >= len(parameters) or tensor.shape not in (parameters[int(index)].shape, ()):
                raise CrossplaceError(f"{path}: {name} is of another method or configuration")
            slots.setdefault(int(index), {})[key] = tensor
    return slots


def _check_fit(found: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    for name, tensor in expected.items():
        if name not in found:
            raise CrossplaceError(f"{path}: no tensor {name!r}; these weights are for another method or configuration")
        if found[name].shape != tensor.shape:
            raise CrossplaceError(
                f"{path}: {name} has shape {tuple(found[name].shape)}, this configuration needs {tuple(tensor.shape)}"
            )
    surplus = sorted(set(found) - set(expected))
    if surplus:
        raise CrossplaceError(f"{path}: {surplus[0]!r} does not belong to this configuration")


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor with memory of its own, as safetensors wants it: tied parameters are stored once per name."""
    return {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in state.items()}


def _serialised(tensors: dict[str, Tensor]) -> bytes:
    return save_tensors(tensors, metadata={CHECKSUM: _checksum(tensors)})


def _checksum(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and contents."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
        tensors = load_tensors(content)
    except (OSError, ValueError, SafetensorError) as error:
        raise CrossplaceError(f"{path}: no readable safetensors file ({error})") from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    if header.get("__metadata__", {}).get(CHECKSUM) not in (None, _checksum(tensors)):
        raise CrossplaceError(f"{path}: damaged since it was written (its checksum does not fit its tensors)")
    return tensors
