"""Cost volumes: how well each cell of one feature map matches the cells around it in another."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def correlation(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"], reach: int) -> Float[Tensor, "b d h w"]:
    """Mean over channels of ``a(y, x) · b(y + dy, x + dx)`` for each shift of up to ``reach`` cells each way.

    The shifts are the channels: ``dy`` is the outer loop and ``dx`` the inner one, both from −``reach`` to ``reach``.
    Outside the map ``b`` is zero. Source: PWC-Net's cost volume, as CMRNet uses it.
    """
    height, width = a.shape[2:]
    padded = functional.pad(b, (reach,) * 4)
    side = range(2 * reach + 1)
    shifted = [(a * padded[:, :, dy : dy + height, dx : dx + width]).mean(1) for dy in side for dx in side]
    return torch.stack(shifted, dim=1)
