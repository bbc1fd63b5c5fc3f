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

_PORTION = 2**19
"""How many numbers are gathered at a time (2 MiB in float32). They fit a cache. Each call wakes threads, so calls
should be few."""

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

    def portions(self, channels: int) -> Iterator[tuple[Tensor, Tensor, list[tuple[int, slice]]]]:
        """Input rows, output rows and (offset, slice of these rows) of a few neighbouring offsets at a time.

        Narrow layers take few large operations. Wide layers go offset by offset, so that memory stays bounded.
        """
        start = stop = 0
        parts: list[tuple[int, slice]] = []
        for offset, count in enumerate(self.counts):
            if parts and (stop + count - start) * channels > _PORTION:
                yield self.in_rows[start:stop], self.out_rows[start:stop], parts
                start, parts = stop, []
            if count:
                parts.append((offset, slice(stop - start, stop - start + count)))
                stop += count
        if parts:
            yield self.in_rows[start:stop], self.out_rows[start:stop], parts


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
        kernel = weight.flatten(1, 3)
        with torch.autocast(features.device.type, enabled=False):
            if rulebook.identity is None:
                output = features.new_zeros(rulebook.n_outputs, len(weight))
            else:
                output = features @ kernel[:, rulebook.identity].T
            for in_rows, out_rows, parts in rulebook.portions(max(kernel.shape[::2])):
                gathered = features.index_select(0, in_rows)
                products = features.new_empty(len(in_rows), len(weight))
                for offset, part in parts:
                    torch.mm(gathered[part], kernel[:, offset].T, out=products[part])
                output.index_add_(0, out_rows, products)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None]:
        features, weight = ctx.saved_tensors
        rulebook: Rulebook = ctx.rulebook
        kernel = weight.flatten(1, 3)
        grad_kernel = torch.zeros_like(kernel)
        with torch.autocast(features.device.type, enabled=False):
            if rulebook.identity is None:
                grad_features = torch.zeros_like(features)
            else:
                grad_features = grad_output @ kernel[:, rulebook.identity]
                grad_kernel[:, rulebook.identity] = grad_output.T @ features
            for in_rows, out_rows, parts in rulebook.portions(max(kernel.shape[::2])):
                gathered, grad_products = features.index_select(0, in_rows), grad_output.index_select(0, out_rows)
                grad_gathered = torch.empty_like(gathered)
                for offset, part in parts:
                    torch.mm(grad_products[part], kernel[:, offset], out=grad_gathered[part])
                    grad_kernel[:, offset] = grad_products[part].T @ gathered[part]
                grad_features.index_add_(0, in_rows, grad_gathered)
        return grad_features, grad_kernel.view_as(weight), None
