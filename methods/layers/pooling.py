"""Poolings by name: each makes one vector from a feature map or from a set of rows."""

from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor, nn

from methods.layers.gem import GeM, row_means
from methods.layers.layout_pool import Layout, LayoutPool
from methods.layers.netvlad import NetVLAD


class MeanPool(nn.Module):
    """Pooling by the mean, without anything to learn."""

    def forward(self, feature_map: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Mean of each map over its cells."""
        return feature_map.mean((2, 3))

    def pool_rows(
        self,
        features: Float[Tensor, "n c"],
        batch_index: Int[Tensor, " n"],
        batch_size: int,
        weights: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "b c"]:
        """Mean of the rows of each sample, weighted by ``weights`` (positive) if given; zero without rows."""
        means, _ = row_means(features, batch_index, batch_size, weights)
        return means


Pool = GeM | MeanPool | NetVLAD

POOLINGS: dict[str, Callable[[int], Pool]] = {
    "gem": lambda channels: GeM(),
    "mean": lambda channels: MeanPool(),
    "netvlad": NetVLAD,
}
"""Poolings: name → module for a number of channels. Each pools maps (``forward``) and rows (``pool_rows``).

A :class:`LayoutPool` stands beside them: its rows also need their places in the image.
"""


def pool_of(name: str, channels: int, layout: Layout | None = None) -> Pool | LayoutPool:
    """The pooling with this name: one of :data:`POOLINGS`, or ``layout``."""
    return LayoutPool(channels, layout) if name == "layout" else POOLINGS[name](channels)


def pooled_channels(pool: nn.Module, channels: int) -> int:
    """Length of the vector that ``pool`` makes from ``channels`` channels."""
    return pool.out_channels if isinstance(pool, NetVLAD | LayoutPool) else channels
