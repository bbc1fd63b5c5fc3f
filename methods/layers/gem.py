"""Generalised-mean pooling, of dense maps and of ragged sets of rows."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


def row_means(
    rows: Float[Tensor, "n c"],
    batch_index: Int[Tensor, " n"],
    batch_size: int,
    weights: Float[Tensor, " n"] | None = None,
) -> tuple[Float[Tensor, "b c"], Bool[Tensor, "b 1"]]:
    """Mean of the rows of each sample, weighted by ``weights`` (positive) if given, and which samples have rows.

    A sample without rows gives zeros.
    """
    weights = rows.new_ones(len(rows)) if weights is None else weights.to(rows.dtype)
    sums = rows.new_zeros(batch_size, rows.shape[1]).index_add(0, batch_index, rows * weights[:, None])
    totals = weights.new_zeros(batch_size).index_add(0, batch_index, weights)[:, None]
    has_rows = totals > 0
    return sums / torch.where(has_rows, totals, 1.0), has_rows


class GeM(nn.Module):
    """The p-th root of the mean of p-th powers: between mean (p = 1) and maximum (p → ∞), with p learnt.

    Values below ``eps`` count as ``eps``. So negative activations are lost, as published (Radenović et al., 2019, and
    VXP's image and cloud heads).
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p]))
        self.eps = eps

    def forward(self, feature_map: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Pool each channel of each map over its cells."""
        return self._root(self._power(feature_map).mean((2, 3)))

    def pool_rows(
        self,
        features: Float[Tensor, "n c"],
        batch_index: Int[Tensor, " n"],
        batch_size: int,
        weights: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "b c"]:
        """Pool the rows of each sample, with a weighted mean if ``weights`` (positive) are given.

        A sample without rows gives ``eps``, as if all its features were zero.
        """
        means, has_rows = row_means(self._power(features), batch_index, batch_size, weights)
        return self._root(torch.where(has_rows, means, self.eps**self.p))

    def _power(self, values: Tensor) -> Tensor:
        # In the parameter's precision: ε³ is zero in float16.
        return values.to(self.p.dtype).clamp(min=self.eps) ** self.p

    def _root(self, means: Tensor) -> Tensor:
        return means ** (1 / self.p)
