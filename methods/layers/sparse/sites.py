"""The active cells of a batch of sparse grids."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from datasets.errors import CrossplaceError

Shape = tuple[int, int, int]
"""Number of cells of a grid along z, y and x."""

Triple = int | Shape
"""One number for all axes, or one number each for z, y and x."""


def each_axis(value: Triple) -> Shape:
    """The numbers for z, y and x."""
    return (value, value, value) if isinstance(value, int) else value


@dataclass(frozen=True, eq=False)
class Sites:
    """The active cells of a batch of sparse grids.

    Raises :class:`CrossplaceError` unless the indices are sorted, unique and inside the grid. All convolutions rely on
    this order: a wrong order would give wrong numbers instead of an error.
    """

    indices: Int[Tensor, "n 4"]
    """Indices of the sites: columns batch, z, y, x (int64). Rows are unique and in lexicographic order."""
    shape: Shape
    batch_size: int
    """Number of samples, including samples without sites."""
    rules: dict[tuple[str, int], Any] = field(default_factory=dict, init=False, repr=False)
    """Rules of submanifold convolutions on the sites, by backend and kernel size. Each is found once."""

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
        """Each site as one number. The numbers ascend, since the sites are in lexicographic order."""
        return site_keys(self.indices, self.shape, self.batch_size)

    @property
    def n_cells(self) -> int:
        """Cells of the whole grid, active or not, over all samples."""
        return self.batch_size * math.prod(self.shape)

    @classmethod
    def from_keys(cls, keys: Int[Tensor, " n"], shape: Shape, batch_size: int) -> "Sites":
        """The sites with these ascending, unique numbers of :func:`site_keys`."""
        return cls(torch.stack(torch.unravel_index(keys, (batch_size, *shape)), dim=1), shape, batch_size)


def site_keys(indices: Int[Tensor, "n 4"], shape: Shape, batch_size: int) -> Int[Tensor, " n"]:
    """Each (batch, z, y, x) as one number, ascending in lexicographic order."""
    check_addressable(batch_size, shape)
    batch, z, y, x = indices.unbind(1)
    return ((batch * shape[0] + z) * shape[1] + y) * shape[2] + x


def check_addressable(batch_size: int, shape: Shape) -> None:
    """Raise :class:`CrossplaceError` if the grids have too many cells for 64-bit keys."""
    if batch_size * math.prod(shape) >= 2**61:
        raise CrossplaceError(
            f"sparse grid: {batch_size} samples of {shape} cells are more than 64-bit keys can number; "
            "use larger voxels or a smaller range"
        )


def output_shape(sites: Sites, kernel_size: Triple, stride: Triple, padding: Triple) -> Shape:
    """Number of cells of a regular convolution's output grid along z, y and x."""
    axes = zip(sites.shape, *map(each_axis, (kernel_size, stride, padding)), strict=True)
    depth, height, width = ((size + 2 * pad - kernel) // step + 1 for size, kernel, step, pad in axes)
    if min(depth, height, width) < 1:
        raise CrossplaceError(f"sparse convolution: kernel {kernel_size} does not fit into a grid of {sites.shape}")
    return depth, height, width


def occupied_cells(sites: Sites, shape: Shape, stride: Triple) -> Int[Tensor, " n"]:
    """Ascending keys of the cells of a strided grid of ``shape`` that hold a site.

    Along an axis with stride s, cell i holds the sites s·i to s·i + s - 1.
    """
    held = sites.indices.clone()
    for axis, step in enumerate(each_axis(stride), start=1):
        held[:, axis] //= step
    return site_keys(held, shape, sites.batch_size).unique()


def cells_fed(
    size: int, out_size: int, kernel_size: int, stride: int, padding: int, device: torch.device
) -> Int[Tensor, "k {size}"]:
    """Along one axis: the output coordinate that each input coordinate feeds through each offset; -1 if none."""
    scaled = torch.arange(size, device=device) + padding - torch.arange(kernel_size, device=device)[:, None]
    cell = scaled // stride
    return torch.where((cell * stride == scaled) & (cell < out_size), cell, -1)
