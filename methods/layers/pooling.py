"""Ways to make one vector of a feature map or of a set of rows, by name."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from methods.layers.gem import GeM
from methods.layers.netvlad import NetVLAD


class MeanPool(nn.Module):
    """The mean: nothing to learn."""

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
        """Mean of the rows of each sample, weighted if ``weights`` (positive) are given; zero without rows."""
        weights = features.new_ones(len(features)) if weights is None else weights.to(features.dtype)
        sums = features.new_zeros(batch_size, features.shape[1]).index_add(0, batch_index, features * weights[:, None])
        totals = weights.new_zeros(batch_size).index_add(0, batch_index, weights)[:, None]
        return sums / torch.where(totals > 0, totals, 1.0)


Pool = GeM | MeanPool | NetVLAD

POOLINGS: dict[str, Callable[[int], Pool]] = {
    "gem": lambda channels: GeM(),
    "mean": lambda channels: MeanPool(),
    "netvlad": NetVLAD,
}
"""Name → module for a number of channels; each pools maps (``forward``) and rows (``pool_rows``)."""


def pooled_channels(pool: nn.Module, channels: int) -> int:
    """Length of what ``pool`` makes of ``channels`` channels."""
    return pool.out_channels if isinstance(pool, NetVLAD) else channels
