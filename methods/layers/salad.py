"""SALAD: local features go to clusters by optimal transport (Izquierdo and Civera, CVPR 2024, arXiv 2311.15937)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from datasets.errors import CrossplaceError


class Salad(nn.Module):
    """Sums of reduced features in each cluster, beside a reduced global token; unit length per part and as a whole.

    Each feature has mass 1. It goes to the clusters, which take mass 1 each, or to a dustbin, which takes the rest. So
    features without information need not count. Scores, features and token come from a layer of ``hidden`` neurons
    each. There are no cluster centres, in contrast to NetVLAD. Written from the paper, without the authors' code.
    """

    def __init__(
        self,
        channels: int,
        clusters: int = 64,
        cluster_channels: int = 128,
        token_channels: int = 256,
        *,
        hidden: int = 512,
        dropout: float = 0.3,
        iterations: int = 3,
    ) -> None:
        super().__init__()
        self.iterations = iterations
        self.scores = _two_layers(channels, hidden, clusters, dropout)
        self.features = _two_layers(channels, hidden, cluster_channels, dropout)
        self.token = _two_layers(channels, hidden, token_channels, 0.0)
        self.dustbin = nn.Parameter(torch.tensor(1.0))
        """Score of the dustbin, one for all features (as published). Its mass is fixed, so its score matters little."""
        self.out_channels = clusters * cluster_channels + token_channels
        """Length of the descriptor."""

    def forward(self, feature_map: Float[Tensor, "b c h w"], token: Float[Tensor, "b c"]) -> Float[Tensor, "b d"]:
        """Descriptors of unit length; the order of the cells of a map does not matter."""
        rows = feature_map.flatten(2).transpose(1, 2)
        share = transported(self.scores(rows).float(), self.dustbin.float(), self.iterations)
        sums = torch.einsum("bnk,bnc->bkc", share, self.features(rows).to(share.dtype))
        parts = [functional.normalize(sums, dim=2).flatten(1), functional.normalize(self.token(token).float(), dim=1)]
        return functional.normalize(torch.cat(parts, dim=1), dim=1)


def transported(
    scores: Float[Tensor, "b n k"], dustbin: Float[Tensor, ""], iterations: int = 3
) -> Float[Tensor, "b n k"]:
    """Mass that goes from each of n features to each of k clusters, without the dustbin's, by Sinkhorn's algorithm.

    It maximises the sum of mass × score plus the entropy of the mass. Each feature gives 1, each cluster takes 1, and
    the dustbin takes n − k. Rows, then columns, are scaled to these sums ``iterations`` times, in log space. So the
    sums of the clusters are exact, and those of the features are approached.

    Raises:
        CrossplaceError: the clusters need more mass than there is.
    """
    n, k = scores.shape[1:]
    require_mass(n, k)
    with torch.autocast(scores.device.type, enabled=False):
        kernel = torch.cat([scores, dustbin.expand(len(scores), n, 1)], dim=2)
        column_mass = kernel.new_zeros(k + 1)
        column_mass[k] = math.log(n - k)
        columns = torch.zeros_like(kernel[:, :1])
        for _ in range(iterations):
            rows = -(kernel + columns).logsumexp(2, keepdim=True)
            columns = column_mass - (kernel + rows).logsumexp(1, keepdim=True)
        return (kernel + rows + columns)[:, :, :k].exp()


def require_mass(features: int, clusters: int) -> None:
    """Raise a :class:`CrossplaceError` unless there are more features than clusters."""
    if features <= clusters:
        raise CrossplaceError(
            f"SALAD: {features} local features cannot fill {clusters} clusters and a dustbin; take larger images or "
            "fewer clusters"
        )


def _two_layers(channels: int, hidden: int, out_channels: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, hidden), nn.Dropout(dropout), nn.ReLU(), nn.Linear(hidden, out_channels))
