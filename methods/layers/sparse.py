"""Sparse 3-D convolution in plain torch: any device, deterministic on a CPU, the oracle for faster backends.

A sparse grid is a list of active sites and one row of features per site. A convolution first finds, for every
kernel offset, which input row feeds which output row (the rulebook; a table of the grid's cells), then gathers,
multiplies and adds. Weights are laid out (out, kz, ky, kx, in) as in spconv 2, so its checkpoints load unchanged.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from datasets.errors import CrossplaceError

Shape = tuple[int, int, int]
"""Cells of a grid along z, y and x."""

_PORTION = 2**19
"""Numbers gathered at a time (2 MiB in float32): fits a cache, yet few calls, each of which wakes threads."""

_TABLE_CELLS = 2**25
"""Cells of the largest grid that is looked up in a table (128 MiB); larger ones are sorted and searched."""


@dataclass(frozen=True, eq=False)
class Rulebook:
    """Which input row meets which output row through which kernel offset, offset after offset."""

    in_rows: Int[Tensor, " p"]
    out_rows: Int[Tensor, " p"]
    counts: list[int]
    """Pairs of each offset. Within one offset no row occurs twice."""
    n_outputs: int
    identity: int | None = None
    """The offset that feeds every row to itself (the centre of a submanifold convolution); it has no pairs."""

    def portions(self, channels: int) -> Iterator[tuple[Tensor, Tensor, list[tuple[int, slice]]]]:
        """Input rows, output rows and (offset, slice of these rows) of a few neighbouring offsets at a time.

        Narrow layers are done in few large operations, wide ones offset by offset so that memory stays bounded.
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


@dataclass(frozen=True, eq=False)
class Sites:
    """The active cells of a batch of sparse grids.

    Raises :class:`CrossplaceError` unless the indices are sorted, unique and inside the grid: everything below
    relies on it, and a wrong order would give wrong numbers instead of an error.
    """

    indices: Int[Tensor, "n 4"]
    """Columns batch, z, y, x (int64); rows in lexicographic order, none twice."""
    shape: Shape
    batch_size: int
    """Number of samples, including those without any site."""
    _submanifold: dict[int, Rulebook] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        limits = self.indices.new_tensor([self.batch_size, *self.shape])
        inside = ((self.indices >= 0) & (self.indices < limits)).all()
        if not bool(inside & (self.keys.diff() > 0).all()):
            raise CrossplaceError(
                f"sparse sites: expected sorted, unique (batch, z, y, x) below {limits.tolist()}; "
                "sort the indices and drop repeated and outlying ones first"
            )

    @cached_property
    def keys(self) -> Int[Tensor, " n"]:
        """Each site as one number; ascending, since the sites are in lexicographic order."""
        return site_keys(self.indices, self.shape, self.batch_size)

    @property
    def n_cells(self) -> int:
        """Cells of the whole grid, active or not, over all samples."""
        return self.batch_size * math.prod(self.shape)

    @classmethod
    def from_keys(cls, keys: Int[Tensor, " n"], shape: Shape, batch_size: int) -> "Sites":
        """The sites that :func:`site_keys` gave these ascending, unique numbers."""
        return cls(torch.stack(torch.unravel_index(keys, (batch_size, *shape)), dim=1), shape, batch_size)

    def submanifold(self, kernel_size: int) -> Rulebook:
        """Rules of a convolution whose output sites are the input sites; found once per kernel size."""
        if kernel_size not in self._submanifold:
            centre = kernel_size**3 // 2
            targets = _targets(self, self.shape, kernel_size, stride=1, padding=kernel_size // 2)[:centre]
            in_rows, out_rows, counts = _pairs(_find(self.keys, targets, self.n_cells))
            # If a feeds b through one offset, b feeds a through the opposite one.
            self._submanifold[kernel_size] = Rulebook(
                torch.cat([in_rows, *reversed(out_rows.split(counts))]),
                torch.cat([out_rows, *reversed(in_rows.split(counts))]),
                [*counts, 0, *reversed(counts)],
                len(self.keys),
                identity=centre,
            )
        return self._submanifold[kernel_size]

    def reach(self, kernel_size: int, stride: int, padding: int) -> tuple["Sites", Rulebook]:
        """All sites that a regular convolution can reach from these, and its rules."""
        depth, height, width = ((size + 2 * padding - kernel_size) // stride + 1 for size in self.shape)
        shape = (depth, height, width)
        if min(shape) < 1:
            raise CrossplaceError(f"sparse convolution: kernel {kernel_size} does not fit into a grid of {self.shape}")
        _check_addressable(self.batch_size, shape)
        in_rows, targets, counts = _pairs(_targets(self, shape, kernel_size, stride, padding))
        keys = _unique(targets, n_cells := self.batch_size * math.prod(shape))
        rulebook = Rulebook(in_rows, _find(keys, targets, n_cells).long(), counts, len(keys))
        return Sites.from_keys(keys, shape, self.batch_size), rulebook


def site_keys(indices: Int[Tensor, "n 4"], shape: Shape, batch_size: int) -> Int[Tensor, " n"]:
    """Each (batch, z, y, x) as one number, ascending in lexicographic order."""
    _check_addressable(batch_size, shape)
    batch, z, y, x = indices.unbind(1)
    return ((batch * shape[0] + z) * shape[1] + y) * shape[2] + x


def _check_addressable(batch_size: int, shape: Shape) -> None:
    if batch_size * math.prod(shape) >= 2**61:
        raise CrossplaceError(
            f"sparse grid: {batch_size} samples of {shape} cells are more than 64-bit keys can number; "
            "use larger voxels or a smaller range"
        )


def _targets(sites: Sites, shape: Shape, kernel_size: int, stride: int, padding: int) -> Int[Tensor, "k n"]:
    """Key, in the output grid, of the cell each site feeds through each kernel offset; negative if there is none."""
    offsets = torch.arange(kernel_size, device=sites.indices.device)[:, None]
    n_cells = sites.batch_size * math.prod(shape)
    targets = sites.indices[:, 0] * math.prod(shape)
    for axis, size in enumerate(shape):
        # For each coordinate once, as integers divide slowly: (k, coordinates).
        scaled = torch.arange(sites.shape[axis], device=offsets.device) + padding - offsets
        cell = scaled // stride
        is_cell = (cell * stride == scaled) & (cell >= 0) & (cell < size)
        # Minus n_cells outweighs what the other axes add.
        parts = torch.where(is_cell, cell * math.prod(shape[axis + 1 :]), -n_cells)
        # One more leading dimension per axis: (kz, n), (kz, ky, n), (kz, ky, kx, n).
        targets = targets[..., None, :] + parts.index_select(1, sites.indices[:, 1 + axis])
    return targets.flatten(0, 2)


def _pairs(values: Int[Tensor, "k n"]) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"], list[int]]:
    """Input row and value of all values that are not negative, offset after offset, and how many each offset has."""
    pairs = (values.flatten() >= 0).nonzero()[:, 0]
    starts = torch.arange(len(values) + 1, device=values.device) * values.shape[1]
    n_pairs = torch.searchsorted(pairs, starts).diff()
    in_rows = pairs - starts[:-1].repeat_interleave(n_pairs, output_size=len(pairs))
    return in_rows, values.flatten().index_select(0, pairs).long(), n_pairs.tolist()


def _find(keys: Int[Tensor, " n"], targets: Int[Tensor, " *m"], n_cells: int) -> Int[Tensor, " *m"]:
    """The row of each target among the ascending ``keys``; -1 if it is none of them."""
    if n_cells > _TABLE_CELLS:
        rows = torch.searchsorted(keys, targets).clamp_(max=len(keys) - 1)
        return torch.where(keys[rows] == targets, rows, -1)
    # One more cell, the last, for the negative targets.
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
    """Gather, multiply, add; keeps the features, the weight and the rules for the backward pass, nothing else.

    Autocast is off inside, as in the published sparse encoder, in the backward pass too. Bit-for-bit repeatable on
    a CPU; on CUDA only under ``torch.use_deterministic_algorithms``, since additions into one row may race.
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


@dataclass(frozen=True, eq=False)
class SparseTensor:
    """Features on the active sites of a sparse grid, one row per site."""

    features: Float[Tensor, "n c"]
    sites: Sites

    def replace(self, features: Float[Tensor, "n d"]) -> "SparseTensor":
        """Other features on the same sites."""
        return SparseTensor(features, self.sites)

    def dense(self) -> Float[Tensor, "b c z y x"]:
        """The whole grid with zeros where no site is active (small grids only)."""
        channels = self.features.shape[1]
        shape = (self.sites.batch_size, *self.sites.shape)
        cells = self.features.new_zeros(math.prod(shape), channels)
        return cells.index_copy(0, self.sites.keys, self.features).view(*shape, channels).movedim(-1, 1)


class _Conv3d(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.weight = nn.Parameter(torch.empty(out_channels, *(kernel_size,) * 3, in_channels))
        # What kaiming_uniform_(a=√5) gives dense convolutions; it would misread the fan-in of this layout.
        bound = 1 / math.sqrt(in_channels * kernel_size**3)
        nn.init.uniform_(self.weight, -bound, bound)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"

    def _convolve(self, features: Tensor, rulebook: Rulebook) -> Tensor:
        return _Convolve.apply(features.to(self.weight.dtype), self.weight, rulebook)


class SubmanifoldConv3d(_Conv3d):
    """Convolution without bias whose output sites are exactly its input sites (odd kernels, stride 1).

    Weight (out, kz, ky, kx, in); at the sites it equals a dense convolution of the zero-filled grid.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        if kernel_size % 2 == 0:
            raise CrossplaceError(f"submanifold convolution: expected an odd kernel size, found {kernel_size}")

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Same sites, new features."""
        return x.replace(self._convolve(x.features, x.sites.submanifold(self.kernel_size)))


class SparseConv3d(_Conv3d):
    """Convolution without bias that is active wherever its kernel meets an active site.

    Weight (out, kz, ky, kx, in); equals a dense convolution of the zero-filled grid at all sites it reaches.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, padding: int = 1
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        self.stride, self.padding = stride, padding

    def extra_repr(self) -> str:
        """Channels and geometry."""
        return f"{super().extra_repr()}, stride={self.stride}, padding={self.padding}"

    def forward(self, x: SparseTensor) -> SparseTensor:
        """New sites on the output grid, new features."""
        sites, rulebook = x.sites.reach(self.kernel_size, self.stride, self.padding)
        return SparseTensor(self._convolve(x.features, rulebook), sites)


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation over the rows of all samples, with the constants VXP inherits from mmdet3d.

    Fewer than two rows have no variance: they are normalised by the running statistics, also while training,
    and leave these as they are.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3, momentum=0.01)

    def forward(self, rows: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Normalised rows."""
        if len(rows) < 2:
            return F.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(rows)


class SparseUnit(nn.Sequential):
    """Convolution, batch normalisation, ReLU: what every layer of VXP's sparse encoder is.

    A sequence, so that parameters are called ``0.weight`` and ``1.*`` as in the official checkpoints.
    """

    def __init__(self, conv: SubmanifoldConv3d | SparseConv3d) -> None:
        super().__init__(conv, RowNorm(conv.out_channels), nn.ReLU(inplace=True))

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Non-negative features on the convolution's output sites."""
        conv, norm, relu = self
        x = conv(x)
        return x.replace(relu(norm(x.features)))
