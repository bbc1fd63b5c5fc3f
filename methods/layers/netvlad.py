"""NetVLAD pooling (Arandjelović et al., CVPR 2016), of dense maps and of ragged sets of rows."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist
from torch import Tensor, nn
from torch.nn import functional

from datasets.errors import CrossplaceError


class NetVLAD(nn.Module):
    """Residuals to cluster centres, softly assigned and summed; unit norm per cluster, then as a whole.

    Features are scaled to unit length first. The assignment is a separate linear layer. Only :meth:`initialise` ties
    it to the centres. A sample without rows gives zeros. Without ``bias`` the assignment uses only the angle to the
    centres, as in the first version of the authors' code.
    """

    def __init__(self, channels: int, clusters: int = 64, bias: bool = True) -> None:
        super().__init__()
        self.assignment = nn.Linear(channels, clusters, bias=bias)
        self.centres = nn.Parameter(functional.normalize(torch.randn(clusters, channels), dim=1))

    @property
    def out_channels(self) -> int:
        """Length of the pooled vector: clusters × channels."""
        return self.centres.numel()

    def forward(self, feature_map: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Pool each map over its cells."""
        rows = functional.normalize(feature_map.flatten(2).transpose(1, 2), dim=2)
        share = self.assignment(rows).softmax(2)
        return self._normalised(share.transpose(1, 2) @ rows, share.sum(1))

    def pool_rows(
        self,
        features: Float[Tensor, "n c"],
        batch_index: Int[Tensor, " n"],
        batch_size: int,
        weights: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "b d"]:
        """Pool the rows of each sample, in a weighted sum if ``weights`` are given."""
        rows = functional.normalize(features, dim=1)
        share = self.assignment(rows).softmax(1)
        if weights is not None:
            share = share * weights.to(share.dtype)[:, None]
        weight = share.new_zeros(batch_size, share.shape[1]).index_add(0, batch_index, share)
        # Sample by sample: all residuals together would be rows × clusters × channels numbers.
        order = batch_index.argsort(stable=True)
        counts = torch.bincount(batch_index, minlength=batch_size).tolist()
        parts = zip(share[order].split(counts), rows[order].split(counts), strict=True)
        return self._normalised(torch.stack([some.T @ own for some, own in parts]), weight)

    def _normalised(self, sums: Float[Tensor, "b k c"], weight: Float[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        residuals = sums - weight[..., None] * self.centres
        return functional.normalize(functional.normalize(residuals, dim=2).flatten(1), dim=1)

    @torch.no_grad()
    def initialise(self, features: Float[Tensor, "n c"], seed: int = 0) -> None:
        """Set the centres by k-means over training features, and the assignment that fits these centres.

        As in the authors' code, the sharpness of the softmax gives the nearest centre a hundred times the weight of
        the second nearest, on average.
        """
        clusters = len(self.centres)
        rows = functional.normalize(features.float(), dim=1).cpu().numpy()
        if len(rows) < clusters:
            raise CrossplaceError(
                f"NetVLAD: {len(rows)} training features cannot be grouped into {clusters} clusters; "
                "train on more frames or take fewer clusters"
            )
        centres, _ = kmeans2(rows, clusters, iter=20, minit="++", rng=np.random.default_rng(seed))
        self.centres.copy_(torch.from_numpy(centres))
        has_bias = self.assignment.bias is not None
        towards = self.centres if has_bias else functional.normalize(self.centres, dim=1)
        nearest, second = np.sort(cdist(rows, towards.cpu().numpy(), "sqeuclidean"), axis=1)[:, :2].T
        sharpness = math.log(100) / max(float((second - nearest).mean()), 1e-6)
        self.assignment.weight.copy_(2 * sharpness * towards)
        if has_bias:
            self.assignment.bias.copy_(-sharpness * towards.square().sum(1))


@torch.no_grad()
def initialise_clusters(pool: nn.Module, features: Iterable[Float[Tensor, "n c"]], enough: int = 20_000) -> None:
    """Give ``pool`` its clusters, if it is a NetVLAD: at most 1,000 rows of each item, until there are ``enough``.

    Items are only iterated over as far as needed, so that they may be computed on the way. Without any item the
    clusters do not change: then there is no training either.
    """
    if not isinstance(pool, NetVLAD):
        return
    found: list[Tensor] = []
    for rows in features:
        found.append(rows[:: max(len(rows) // 1000, 1)][:1000])
        if sum(map(len, found)) >= enough:
            break
    if found:
        pool.initialise(torch.cat(found))
