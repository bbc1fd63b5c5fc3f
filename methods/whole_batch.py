"""Training on several processes: what one process knows of the rows of a batch that the others hold.

A batch is drawn for all processes together. Each one encodes its share, which is some rows in a row. A loss that
compares rows with each other needs all rows, with gradients. Each process then computes the same loss. With one
process every function here returns what it is given.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch import distributed as dist

from datasets.base import Frame
from methods.base import StageOutput
from methods.batch import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The whole batch, and which of its rows this process holds."""

    frames: tuple[Frame, ...]
    """Frames of the whole batch."""
    rows: slice
    """Rows of this process."""
    is_first: bool
    """Whether this is the process that counts what all processes know."""


_SHARE: ContextVar[Share | None] = ContextVar("share", default=None)


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """Context of one step in which this process holds ``share`` of the batch. None: it holds the whole batch."""
    token = _SHARE.set(share)
    try:
        yield
    finally:
        _SHARE.reset(token)


def all_frames(batch: Batch) -> tuple[Frame, ...]:
    """Frames of the whole batch, of which ``batch`` is this process's share."""
    share = _SHARE.get()
    return batch.frames if share is None else share.frames


def all_rows(rows: Float[Tensor, "n ..."]) -> Float[Tensor, "m ..."]:
    """Rows of the whole batch, of which ``rows`` are this process's share; gradients reach all processes.

    A share may hold several rows of each frame: first one of every frame, then the next one of every frame, such as
    images and then clouds. The result has the same order.
    """
    share = _SHARE.get()
    if share is None:
        return rows
    blocks = rows.unflatten(0, (-1, share.rows.stop - share.rows.start))
    whole = rows.new_zeros(len(blocks), len(share.frames), *rows.shape[1:])
    whole[:, share.rows] = blocks
    return total(whole).flatten(0, 1)


def own_rows(rows: Shaped[Tensor, "m ..."]) -> Shaped[Tensor, "n ..."]:
    """The reverse of :func:`all_rows`: of rows of the whole batch those that this process holds."""
    share = _SHARE.get()
    return rows if share is None else rows.unflatten(0, (-1, len(share.frames)))[:, share.rows].flatten(0, 1)


def drawn_rows(draw: Callable[[int], Tensor], n: int) -> Tensor:
    """The ``n`` rows that this process holds of a random tensor, which ``draw`` makes for a number of rows.

    All processes draw for the whole batch, with generators in the same state. So what a row gets does not depend on
    the number of processes, and the generators stay in the same state.
    """
    share = _SHARE.get()
    if share is None:
        return draw(n)
    return own_rows(draw(n // (share.rows.stop - share.rows.start) * len(share.frames)))


def total(values: Tensor) -> Tensor:
    """Sum of ``values`` over all processes, with gradients to all of them."""
    if _SHARE.get() is None:
        return values
    summed: Tensor = _Total.apply(values)
    return summed


def total_count(number: int, like: Tensor) -> int:
    """Sum of a number over all processes, which talk through the device of ``like``."""
    if _SHARE.get() is None:
        return number
    return int(total(torch.tensor(float(number), dtype=torch.float64, device=like.device)))


def counted_once(output: StageOutput) -> StageOutput:
    """Sums over the whole batch, which every process knows, so that their sum over all processes counts them once."""
    share = _SHARE.get()
    if share is None:
        return output
    factor = float(share.is_first)
    statistics = {name: value * factor for name, value in output.statistics.items()}
    return StageOutput(loss_sum=output.loss_sum * factor, count=output.count * factor, statistics=statistics)


class _Total(torch.autograd.Function):
    """Sum over processes. Each process's value enters the loss of all, so gradients are summed too."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        summed = values.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed
