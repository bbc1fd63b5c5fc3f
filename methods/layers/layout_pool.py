"""Pooling that keeps the layout: means in the cells of a coarse grid over the image, one beside the other."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from methods.layers.gem import row_means
from methods.layers.projection import image_cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A coarse grid over the image, and what is kept of each of its cells."""

    rows: int = 2
    columns: int = 6
    channels: int = 64
    """Channels to which the mean of each cell is reduced."""


class LayoutPool(nn.Module):
    """The mean feature of each cell of the grid, reduced to few channels; row by row, cell by cell.

    The reduction is linear, so it is applied after the mean, where it is cheap. It has no bias: an empty cell gives
    zeros. Descriptors depend on where things are seen, so they change with the heading of the camera.
    """

    def __init__(self, channels: int, layout: Layout | None = None) -> None:
        super().__init__()
        self.layout = layout or Layout()
        self.reduce = nn.Linear(channels, self.layout.channels, bias=False)

    @property
    def out_channels(self) -> int:
        """Length of the pooled vector."""
        return self.layout.rows * self.layout.columns * self.layout.channels

    def forward(self, feature_map: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Pool maps. Where the grid does not divide the map, neighbouring cells share rows or columns of it."""
        cells = functional.adaptive_avg_pool2d(feature_map, (self.layout.rows, self.layout.columns))
        return self.reduce(cells.flatten(2).movedim(1, 2)).flatten(1)

    def pool_rows(
        self,
        features: Float[Tensor, "n c"],
        uv: Float[Tensor, "n 2"],
        batch_index: Int[Tensor, " n"],
        batch_size: int,
        weights: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "b d"]:
        """Pool the rows of each sample by their image positions ``uv``, fractions of width and height in (0, 1).

        The mean in a cell is weighted by ``weights`` (positive) if given. A cell without rows gives zeros, and so does
        a sample without rows.
        """
        rows, columns = self.layout.rows, self.layout.columns
        column, row = image_cells(uv, rows, columns).unbind(1)
        cell = (batch_index * rows + row) * columns + column
        means, _ = row_means(features, cell, batch_size * rows * columns, weights)
        return self.reduce(means.unflatten(0, (batch_size, rows * columns))).flatten(1)
