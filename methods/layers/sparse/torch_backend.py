"""Sparse 3-D convolution in plain torch: any device, deterministic on a CPU, the oracle for faster backends.

A convolution first finds, for every kernel offset, which input row feeds which output row (the rulebook). It looks the
rows up in a table of the grid's cells. Then it gathers, multiplies and adds.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from methods.layers.sparse.sites import Shape, Sites, Triple, cells_fed, check_addressable, each_axis, output_shape

_PORTION = 2**22
"""How many numbers are gathered at a time (16 MiB in float32): they are read again from a cache, while calls stay few.
An addition by several threads sorts its rows first, and its threads wait for each other many times. The size was
measured (docs/performance.md)."""

_TABLE_CELLS = 2**25
"""Most cells of a grid with a table for lookups (128 MiB). Sites of larger grids are sorted and searched."""


@dataclass(frozen=True, eq=False)
class Rulebook:
    """Pairs of an input row and an output row for each kernel offset, offset after offset."""

    in_rows: Int[Tensor, " p"]
    out_rows: Int[Tensor, " p"]
    counts: list[int]
    """Number of pairs of each offset. Within one offset no row occurs twice."""
    n_outputs: int
    identity: int | None = None
    """The offset that feeds every row to itself (the centre of a submanifold convolution). It has no pairs."""

    def __call__(self, features: Float[Tensor, "n c"], weight: Float[Tensor, "d kz ky kx c"]) -> Float[Tensor, "m d"]:
        """Features of the output rows, in the dtype of the weight."""
        return _Convolve.apply(features.to(weight.dtype), weight, self)

    def portions(self, channels: int) -> Iterator[tuple[slice, list[tuple[int, slice]]]]:
        """Some pairs after the other, and for each offset among them its slice of these pairs.

        Narrow layers take several offsets at once. Wide layers take one after the other, or an offset piece by piece.
        """
        most = max(_PORTION // channels, 1)
        start = stop = 0
        parts: list[tuple[int, slice]] = []
        for offset, n_left in enumerate(self.counts):
            while n_left:
                room = start + most - stop
                if room < min(n_left, max(most // 2, 1)):
                    yield slice(start, stop), parts
                    start, room, parts = stop, most, []
                taken = min(n_left, room)
                parts.append((offset, slice(stop - start, stop - start + taken)))
                stop, n_left = stop + taken, n_left - taken
        if parts:
            yield slice(start, stop), parts

    def buffer(self, like: Tensor, channels: int, widest: int) -> Tensor:
        """Room for the rows of a portion, written again and again: new memory would cost as much as an addition."""
        return like.new_empty(min(max(_PORTION // widest, 1), len(self.in_rows)), channels)


def submanifold(sites: Sites, kernel_size: int) -> Rulebook:
    """Rules of a convolution whose output sites are the input sites."""
    centre = kernel_size**3 // 2
    targets = _targets(sites, sites.shape, kernel_size, stride=1, padding=kernel_size // 2)[:centre]
    in_rows, out_rows, counts = _pairs(_find(sites.keys, targets, sites.n_cells))
    # If a feeds b through one offset, b feeds a through the opposite one.
    return Rulebook(
        torch.cat([in_rows, *reversed(out_rows.split(counts))]),
        torch.cat([out_rows, *reversed(in_rows.split(counts))]),
        [*counts, 0, *reversed(counts)],
        len(sites.keys),
        identity=centre,
    )


def reach(
    sites: Sites, kernel_size: Triple, stride: Triple, padding: Triple, kept: Int[Tensor, " m"] | None = None
) -> tuple[Sites, Rulebook]:
    """All sites that a regular convolution can reach from ``sites``, and its rules; with ``kept``, these keys alone."""
    shape = output_shape(sites, kernel_size, stride, padding)
    check_addressable(sites.batch_size, shape)
    targets, n_cells = _targets(sites, shape, kernel_size, stride, padding), sites.batch_size * math.prod(shape)
    if kept is None:
        in_rows, reached, counts = _pairs(targets)
        kept = _unique(reached, n_cells)
        out_rows = _find(kept, reached, n_cells).long()
    else:
        in_rows, out_rows, counts = _pairs(_find(kept, targets, n_cells))
    return Sites.from_keys(kept, shape, sites.batch_size), Rulebook(in_rows, out_rows, counts, len(kept))


def _targets(sites: Sites, shape: Shape, kernel_size: Triple, stride: Triple, padding: Triple) -> Int[Tensor, "k n"]:
    """Key, in the output grid, of the cell that each site feeds through each kernel offset; negative without a cell."""
    n_cells = sites.batch_size * math.prod(shape)
    targets = sites.indices[:, 0] * math.prod(shape)
    kernels, strides, paddings = each_axis(kernel_size), each_axis(stride), each_axis(padding)
    for axis, size in enumerate(shape):
        # Once for each coordinate, since integers divide slowly: (k, coordinates).
        cell = cells_fed(sites.shape[axis], size, kernels[axis], strides[axis], paddings[axis], targets.device)
        # Minus n_cells outweighs the sum of the other axes.
        parts = torch.where(cell >= 0, cell * math.prod(shape[axis + 1 :]), -n_cells)
        # One more leading dimension per axis: (kz, n), (kz, ky, n), (kz, ky, kx, n).
        targets = targets[..., None, :] + parts.index_select(1, sites.indices[:, 1 + axis])
    return targets.flatten(0, 2)


def _pairs(values: Int[Tensor, "k n"]) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"], list[int]]:
    """Input row and value of all non-negative values, offset after offset, and their number for each offset."""
    pairs = (values.flatten() >= 0).nonzero()[:, 0]
    starts = torch.arange(len(values) + 1, device=values.device) * values.shape[1]
    n_pairs = torch.searchsorted(pairs, starts).diff()
    in_rows = pairs - starts[:-1].repeat_interleave(n_pairs, output_size=len(pairs))
    return in_rows, values.flatten().index_select(0, pairs).long(), n_pairs.tolist()


def _find(keys: Int[Tensor, " n"], targets: Int[Tensor, " *m"], n_cells: int) -> Int[Tensor, " *m"]:
    """The row of each target among the ascending ``keys``; -1 if the target is not among the keys."""
    if n_cells > _TABLE_CELLS:
        rows = torch.searchsorted(keys, targets).clamp_(max=len(keys) - 1)
        return torch.where(keys[rows] == targets, rows, -1)
    # One additional cell, the last, for the negative targets.
    table = keys.new_full((n_cells + 1,), -1, dtype=torch.int32)
    table[keys] = torch.arange(len(keys), dtype=torch.int32, device=keys.device)
    return table[targets.clamp(min=-1)]


def _unique(targets: Int[Tensor, " p"], n_cells: int) -> Int[Tensor, " n"]:
    """Each target once, ascending."""
    if n_cells > _TABLE_CELLS:
        return targets.unique()
    is_target = targets.new_zeros(n_cells, dtype=torch.bool)
    is_target[targets] = True
    return is_target.nonzero()[:, 0]


class _Convolve(torch.autograd.Function):
    """Gather, multiply, add. Only features, weight and rules are kept for the backward pass.

    Autocast is off in the forward and the backward pass, as in the published sparse encoder. The results are bit for
    bit repeatable on a CPU. On CUDA they are so only under ``torch.use_deterministic_algorithms``, since additions into
    one row may race.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, rulebook: Rulebook) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.rulebook = rulebook
        kernel = _by_offset(weight)
        widest = max(kernel.shape[1:])
        inputs, products = (rulebook.buffer(features, channels, widest) for channels in kernel.shape[1:])
        with torch.autocast(features.device.type, enabled=False):
            if rulebook.identity is None:
                output = features.new_zeros(rulebook.n_outputs, len(weight))
            else:
                output = features @ kernel[rulebook.identity]
            for pairs, parts in rulebook.portions(widest):
                in_rows, out_rows = rulebook.in_rows[pairs], rulebook.out_rows[pairs]
                gathered = torch.index_select(features, 0, in_rows, out=inputs[: len(in_rows)])
                for offset, part in parts:
                    torch.mm(gathered[part], kernel[offset], out=products[part])
                output.index_add_(0, out_rows, products[: len(out_rows)])
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None]:
        features, weight = ctx.saved_tensors
        rulebook: Rulebook = ctx.rulebook
        kernel = _by_offset(weight)
        grad_kernel, widest = torch.zeros_like(kernel), max(kernel.shape[1:])
        inputs, grads = (rulebook.buffer(features, channels, widest) for channels in kernel.shape[1:])
        products = torch.empty_like(inputs)
        with torch.autocast(features.device.type, enabled=False):
            if rulebook.identity is None:
                grad_features = torch.zeros_like(features)
            else:
                grad_features = grad_output @ kernel[rulebook.identity].T
                torch.mm(features.T, grad_output, out=grad_kernel[rulebook.identity])
            for pairs, parts in rulebook.portions(widest):
                in_rows, out_rows = rulebook.in_rows[pairs], rulebook.out_rows[pairs]
                gathered = torch.index_select(features, 0, in_rows, out=inputs[: len(in_rows)])
                grad_products = torch.index_select(grad_output, 0, out_rows, out=grads[: len(out_rows)])
                for offset, part in parts:
                    torch.mm(grad_products[part], kernel[offset].T, out=products[part])
                    grad_kernel[offset].addmm_(gathered[part].T, grad_products[part])
                grad_features.index_add_(0, in_rows, products[: len(in_rows)])
        return grad_features, grad_kernel.permute(2, 0, 1).reshape(weight.shape), None


def _by_offset(weight: Float[Tensor, "d kz ky kx c"]) -> Float[Tensor, "k c d"]:
    """The matrix of each offset in one piece, as products read it."""
    return weight.flatten(1, 3).permute(1, 2, 0).contiguous()
