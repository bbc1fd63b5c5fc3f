"""Non-negative matrix factorisation by multiplicative updates (Lee and Seung, 2001), many matrices at once."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_TINY = 1e-12
"""Smallest divisor. It keeps divisions by zero finite: rows of zeros stay zeros."""


class Factors(NamedTuple):
    """Factors of a matrix: ``shares @ parts`` is close to the matrix. No number is negative."""

    shares: Float[Tensor, "g n k"]
    parts: Float[Tensor, "g k c"]


@torch.no_grad()
def factorise(rows: Float[Tensor, "g n c"], start: Float[Tensor, "k c"], updates: int = 50) -> Factors:
    """Factorise each matrix of non-negative ``rows`` into non-negative shares of ``k`` parts, without gradient.

    Every matrix starts from the same positive ``start`` as its parts and from equal shares. So a factor means about
    the same in all matrices. Each matrix takes exactly ``updates`` steps of shares, then parts. So its outcome does not
    depend on the other matrices. The squared error never rises.
    """
    with torch.autocast(rows.device.type, enabled=False):
        rows, start = rows.float(), start.float()
        parts = start.expand(len(rows), *start.shape)
        shares = rows.new_ones(*rows.shape[:2], len(start))
        for _ in range(updates):
            shares = shares * (rows @ parts.mT) / (shares @ (parts @ parts.mT)).clamp(min=_TINY)
            parts = parts * (shares.mT @ rows) / ((shares.mT @ shares) @ parts).clamp(min=_TINY)
    return Factors(shares, parts)


def heat_maps(
    feature_map: Float[Tensor, "b c h w"], start: Float[Tensor, "k c"], updates: int = 50, *, together: bool = False
) -> Float[Tensor, "b k h w"]:
    """How strongly each cell shows each of ``k`` factors of the non-negative features, without gradient.

    Heat is in units of the features: each part is scaled to unit length and its shares are scaled to match. Otherwise
    the split of a factor's size between part and shares would be arbitrary. With ``together`` all maps of the batch are
    factorised as one matrix. Then the outcome of a map depends on the other maps of the batch.
    """
    batch, channels, height, width = feature_map.shape
    rows = feature_map.detach().relu().flatten(2).mT
    if together:
        rows = rows.reshape(1, -1, channels)
    shares, parts = factorise(rows, start, updates)
    heat = shares * parts.norm(dim=2)[:, None]
    return heat.reshape(batch, height * width, -1).mT.unflatten(2, (height, width))
