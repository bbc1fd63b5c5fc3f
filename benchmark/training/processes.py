"""Training on several processes: who holds which rows of a batch, sums over all rows, and who writes.

``torchrun`` starts the processes. They are one group, and each knows its number in it. All draw the same batches, and
each loads and encodes consecutive rows of them. :mod:`methods.whole_batch` is the side that losses see.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from benchmark.machine import rank_and_size
from datasets.base import Frame
from datasets.files import locked
from methods.base import StageOutput
from methods.whole_batch import Share, counted_once, drawn_rows, sharing, total

try:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy
except ImportError:  # the full lightning package brings it under another name
    from lightning.fabric import Fabric
    from lightning.fabric.strategies import DDPStrategy

PATIENCE = timedelta(days=1)
"""How long a process waits for the others. The first one may wait for a training of the same stage to end."""


def launched(**options: Any) -> Fabric:
    """Fabric on the processes that ``torchrun`` started, or on this process alone."""
    _, size = rank_and_size()
    if size > 1:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", str(size)))
        strategy = DDPStrategy(timeout=PATIENCE, find_unused_parameters=True, broadcast_buffers=False)
        options |= {"strategy": strategy, "devices": local, "num_nodes": size // local}
    logging.getLogger(Fabric.__module__.rpartition(".")[0]).setLevel(logging.WARNING)  # no advice on TF32
    fabric = Fabric(**options)
    fabric.launch()
    return fabric


@dataclass(frozen=True)
class Processes:
    """All processes that train together, seen from one of them."""

    rank: int = 0
    """Number of this process, from 0."""
    size: int = 1
    """Number of processes."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def own(self, n_rows: int) -> slice:
        """Rows of a batch that this process holds. Of a batch with fewer rows than processes, each holds all rows."""
        if n_rows < self.size:
            return slice(0, n_rows)
        sizes = [n_rows // self.size + (rank < n_rows % self.size) for rank in range(self.size)]
        return [slice(*ends) for ends in pairwise([0, *accumulate(sizes)])][self.rank]

    @contextmanager
    def step(self, frames_of: Callable[[], Sequence[Frame]]) -> Iterator[None]:
        """Context of a step on a batch, of whose frames this process holds its :meth:`own`."""
        frames = frames_of() if self.size > 1 else ()
        if len(frames) < self.size or self.size == 1:
            yield
            return
        share = Share(frames=tuple(frames), rows=self.own(len(frames)), is_first=self.is_first)
        with sharing(share), _WholeBatch():
            yield

    def total(self, output: StageOutput, n_rows: int) -> tuple[StageOutput, Tensor]:
        """Sums over the whole batch of ``n_rows``; and the loss for this process to take gradients of.

        The gradients that processes find are averaged by DDP. So the loss of each is its part of the mean loss times
        the number of processes.
        """
        if self.size == 1:
            return output, output.loss
        share = Share(frames=(), rows=slice(0), is_first=self.is_first)
        with sharing(share):
            part = counted_once(output) if n_rows < self.size else output
            with torch.no_grad():
                statistics = {name: total(value) for name, value in part.statistics.items()}
                whole = StageOutput(loss_sum=total(part.loss_sum), count=total(part.count), statistics=statistics)
        return whole, self.size * part.loss_sum / whole.count.clamp(min=1)

    def as_first(self, module: nn.Module) -> None:
        """Give all processes the first one's parameters and buffers."""
        if self.size > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)

    def seconds(self, seconds: float, device: torch.device) -> float:
        """The first process's time, so that all end a stage together."""
        if self.size == 1:
            return seconds
        found = torch.tensor(seconds, dtype=torch.float64, device=device)
        dist.broadcast(found, 0)
        return float(found)

    def wait(self) -> None:
        """Return once all processes are here: what the first one wrote before is there."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        """Hold ``folder`` for these processes alone."""
        with locked(folder) if self.is_first else nullcontext():
            self.wait()
            yield
            self.wait()


# --- what a layer must know of other processes ---------------------------------------------------


class _WholeBatch(TorchFunctionMode):
    """Layers whose result for a row depends on the other rows, or on chance, act as on the whole batch."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _ACROSS.get(function, function)(*args, **(kwargs or {}))


def batch_norm(
    rows: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation (n, c, ...) whose mean and variance are those of the rows of all processes.

    It works on any device and is differentiated by autograd, in contrast to torch's own, which needs CUDA.
    """
    if not training:
        return functional.batch_norm(rows, running_mean, running_var, weight, bias, eps=eps)
    wide = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
    channels = (1, -1, *[1] * (rows.dim() - 2))
    others = [axis for axis in range(rows.dim()) if axis != 1]
    sums = total(torch.cat([wide.sum(others), wide.new_tensor([rows.numel() // rows.shape[1]])]))
    mean, n = sums[:-1] / sums[-1], sums[-1]
    centred = wide - mean.view(channels)
    variance = total(centred.square().sum(others)) / n
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean), momentum)
            running_var.lerp_((variance * n / (n - 1)).to(running_var), momentum)
    found = centred * (variance + eps).rsqrt().view(channels)
    found = found if weight is None else found * weight.view(channels)
    found = found if bias is None else found + bias.view(channels)
    return found.to(rows.dtype)


def dropout(rows: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout (n, ...) whose choice for a row does not depend on the number of processes."""
    if not training or not p:
        return rows
    kept = drawn_rows(lambda n: functional.dropout(rows.new_ones(n, *rows.shape[1:]), p), len(rows))
    return rows.mul_(kept) if inplace else rows * kept


_ACROSS: dict[Any, Callable[..., Any]] = {functional.batch_norm: batch_norm, functional.dropout: dropout}
