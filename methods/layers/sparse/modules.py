"""Sparse 3-D convolution: a sparse grid is a list of active sites and one row of features per site.

Weights are laid out (out, kz, ky, kx, in) as in spconv 2, so its checkpoints load unchanged. The backend is chosen at
run time and changes no weight: see :mod:`methods.layers.sparse.backend`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from datasets.errors import CrossplaceError
from methods.layers.sparse import backend
from methods.layers.sparse.sites import Sites, Triple, each_axis
from methods.whole_batch import total_count


@dataclass(frozen=True, eq=False)
class SparseTensor:
    """Features on the active sites of a sparse grid, one row per site."""

    features: Float[Tensor, "n c"]
    sites: Sites

    def replace(self, features: Float[Tensor, "n d"]) -> "SparseTensor":
        """Other features on the same sites."""
        return SparseTensor(features, self.sites)

    def dense(self) -> Float[Tensor, "b c z y x"]:
        """The whole grid, with zeros where no site is active (small grids only)."""
        channels = self.features.shape[1]
        shape = (self.sites.batch_size, *self.sites.shape)
        cells = self.features.new_zeros(math.prod(shape), channels)
        return cells.index_copy(0, self.sites.keys, self.features).view(*shape, channels).movedim(-1, 1)


class _Conv3d(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: Triple) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        sizes = each_axis(kernel_size)
        self.weight = nn.Parameter(torch.empty(out_channels, *sizes, in_channels))
        # The bound that kaiming_uniform_(a=√5) gives dense convolutions. It would misread the fan-in of this layout.
        bound = 1 / math.sqrt(in_channels * math.prod(sizes))
        nn.init.uniform_(self.weight, -bound, bound)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"


class SubmanifoldConv3d(_Conv3d):
    """Convolution without bias whose output sites are exactly its input sites (odd kernels, stride 1).

    The weight is (out, kz, ky, kx, in). At the sites the result equals a dense convolution of the zero-filled grid.
    """

    kernel_size: int

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        if kernel_size % 2 == 0:
            raise CrossplaceError(f"submanifold convolution: expected an odd kernel size, found {kernel_size}")

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Same sites, new features."""
        convolve = backend.submanifold(x.sites, self.kernel_size)
        return x.replace(convolve(x.features, self.weight))


class SparseConv3d(_Conv3d):
    """Convolution without bias that is active wherever its kernel meets an active site, or only in occupied cells.

    Kernel, stride and padding are the same along all axes, or given for z, y and x. The weight is (out, kz, ky, kx,
    in). At all its output sites, the result equals a dense convolution of the zero-filled grid.

    With ``only_occupied`` the output sites are the cells that hold an active site: along an axis with stride s, cell i
    holds the sites s·i to s·i + s - 1. The kernel must reach all of them.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Triple = 3,
        stride: Triple = 1,
        padding: Triple = 1,
        *,
        only_occupied: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        self.stride, self.padding, self.only_occupied = stride, padding, only_occupied
        axes = zip(*map(each_axis, (kernel_size, stride, padding)), strict=True)
        if only_occupied and not all(pad + step <= kernel <= 2 * pad + 1 for kernel, step, pad in axes):
            raise CrossplaceError(
                f"sparse convolution: kernel {kernel_size} with stride {stride} and padding {padding} does not reach "
                "all occupied cells; choose a padding of half the kernel and a stride of at most half, rounded up"
            )

    def extra_repr(self) -> str:
        """Channels and geometry."""
        occupied = ", only_occupied" if self.only_occupied else ""
        return f"{super().extra_repr()}, stride={self.stride}, padding={self.padding}{occupied}"

    def forward(self, x: SparseTensor) -> SparseTensor:
        """New sites on the output grid, new features."""
        geometry = self.kernel_size, self.stride, self.padding
        sites, convolve = backend.reach(x.sites, *geometry, only_occupied=self.only_occupied)
        return SparseTensor(convolve(x.features, self.weight), sites)


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation over rows, by default with the constants that VXP's layers inherit from mmdet3d.

    Fewer than two rows have no variance. They are normalised by the running statistics, also in training, and do not
    change these statistics.
    """

    def __init__(self, channels: int, eps: float = 1e-3, momentum: float = 0.01) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)

    def forward(self, rows: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Normalised rows."""
        if self.training and total_count(len(rows), rows) < 2:
            return F.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(rows)


class SparseUnit(nn.Sequential):
    """Convolution, batch normalisation, ReLU: one layer of VXP's sparse encoder.

    It is a sequence, so that parameters are called ``0.weight`` and ``1.*`` as in the official checkpoints.
    """

    def __init__(self, conv: SubmanifoldConv3d | SparseConv3d) -> None:
        super().__init__(conv, RowNorm(conv.out_channels), nn.ReLU(inplace=True))

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Non-negative features on the convolution's output sites."""
        conv, norm, relu = self
        x = conv(x)
        return x.replace(relu(norm(x.features)))
