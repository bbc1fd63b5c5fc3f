"""Checkpoints without pickle: tensors as safetensors, everything else as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from datasets.errors import CrossplaceError
from datasets.files import write_atomically


@runtime_checkable
class HasState(Protocol):
    """A module, or a part of one."""

    def state_dict(self) -> dict[str, Tensor]: ...  # noqa: D102
    def load_state_dict(self, state: Mapping[str, Tensor], /) -> object: ...  # noqa: D102


def save_weights(module: HasState, path: Path) -> None:
    """Parameters and buffers of ``module``."""
    write_atomically(path, save_tensors(_plain(module.state_dict())))


def load_weights(module: HasState, path: Path) -> None:
    """Load what :func:`save_weights` wrote; names and shapes must fit exactly."""
    found, expected = _read(path), module.state_dict()
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
    module.load_state_dict(found)


def save_checkpoint(folder: Path, module: HasState, optimizer: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """Replace the checkpoint in ``folder``: weights, optimizer and ``progress`` (plain data) as one consistent whole.

    The tensors go into a file named by epoch; ``progress.json``, written last, names it. A crash in between leaves
    the previous checkpoint valid.
    """
    state = optimizer.state_dict()
    tensors = {f"module.{name}": t for name, t in _plain(module.state_dict()).items()}
    tensors |= _plain({f"optimizer.{i}.{key}": t for i, slots in state["state"].items() for key, t in slots.items()})
    name = f"epoch-{progress['epoch']:04d}.safetensors"
    write_atomically(folder / name, save_tensors(tensors))
    write_atomically(folder / "progress.json", json.dumps({**progress, "tensors": name}, indent=1).encode())
    for old in folder.glob("epoch-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_checkpoint(folder: Path, module: HasState, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Restore the checkpoint in ``folder`` and return its progress; none if there is no checkpoint."""
    path = folder / "progress.json"
    if not path.is_file():
        return None
    try:
        progress: dict[str, Any] = json.loads(path.read_text())
        tensors = _read(folder / progress["tensors"])
    except (json.JSONDecodeError, KeyError) as error:
        raise CrossplaceError(f"{path}: damaged training state ({error!r}); delete {folder} to start over") from error
    module.load_state_dict({k.removeprefix("module."): t for k, t in tensors.items() if k.startswith("module.")})
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            slots.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor with memory of its own, as safetensors wants it: tied parameters are stored once per name."""
    return {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in state.items()}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise CrossplaceError(f"{path}: no readable safetensors file ({error})") from error
