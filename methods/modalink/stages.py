"""How ModaLink is trained: each image towards its own cloud and away from other places' clouds, and the reverse."""

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn

from datasets.base import Frames
from datasets.places import Poses, same_place
from methods.base import Sampler, Stage, StageOutput
from methods.batch import Batch
from methods.layers.netvlad import initialise_clusters
from methods.learning.samplers import PairSampler
from methods.whole_batch import all_frames, all_rows, counted_once

if TYPE_CHECKING:
    from methods.modalink import ModaLink

_CLUSTER_BATCHES = 16
"""Enough features for the clusters."""


class SharedStage(Stage):
    """Cross-modal triplets of descriptors and of feature maps.

    An anchor's positive is the other modality of its own frame, its negatives are the other modality of the batch's
    frames of other places. Deviation: negatives from the batch (published: ten that are drawn for each anchor, nine
    at random and the nearest beyond 2 m); batches are made of frames and their nearest beyond ``negative_m``, so that
    each has that hard one too. Deviation: both modalities are anchors, for both directions of search. Images and depth
    images go through the network as one batch, so that its normalisation learns the statistics it is evaluated with.
    """

    name = "shared"

    def __init__(self, method: "ModaLink") -> None:
        super().__init__()
        self.method, self.network, self.config = method, method.network, method.config
        self.recipe = self.config.recipe

    def trainable(self) -> list[nn.Module]:
        """The whole network."""
        return [self.network]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Frames, each with its nearest of another place."""
        return PairSampler(nearest_beyond(frames, self.config.negative_m), self.recipe.batch_size)

    def before(self, batches: Iterable[Batch]) -> None:
        """Clusters of the untrained (or pretrained) features of both modalities, and of their heat maps."""
        maps = [self.network.feature_map(self._pixels(batch)) for batch in islice(batches, _CLUSTER_BATCHES)]
        initialise_clusters(self.network.pool, (found.movedim(1, -1).flatten(0, 2) for found in maps))
        if self.network.heat_pool is not None:
            heats = (self.network.heat(found) for found in maps)
            initialise_clusters(self.network.heat_pool, (heat.movedim(1, -1).flatten(0, 2) for heat in heats))

    def _pixels(self, batch: Batch) -> Float[Tensor, "b2 3 height width"]:
        """Images, then clouds, of the batch."""
        return torch.cat([self.method.image_inputs(batch), self.method.cloud_inputs(batch)])

    def forward(self, batch: Batch) -> StageOutput:
        """Sum of both triplet losses, mean over the triplets."""
        maps = self.network.feature_map(self._pixels(batch))
        images, clouds = all_rows(self.network.describe(maps)).chunk(2)
        poses = Poses.of(all_frames(batch))
        negative = torch.from_numpy(~same_place(poses, poses, self.config.negative_m, None)).to(maps.device)
        losses = cross_modal_triplets(torch.cdist(images, clouds), negative, self.config.margin, self.config.mining)
        loss_sum = losses.sum()
        if self.config.map_margin:
            image_maps, cloud_maps = all_rows(maps.flatten(1)).chunk(2)
            distance = torch.cdist(image_maps, cloud_maps, p=1) / image_maps.shape[1]
            triplets = cross_modal_triplets(distance, negative, self.config.map_margin, self.config.mining)
            loss_sum = loss_sum + triplets.sum()
        count, active = losses.new_tensor(float(len(losses))), (losses > 0).sum().to(losses.dtype)
        statistics = {"active": active, "triplets": count}
        return counted_once(StageOutput(loss_sum=loss_sum, count=count, statistics=statistics))


def cross_modal_triplets(
    distance: Float[Tensor, "b b"], negative: Bool[Tensor, "b b"], margin: float, mining: str
) -> Float[Tensor, " t"]:
    """Losses of the triplets of a batch, given distances from images (rows) to clouds (columns).

    Anchor, the other modality of the same frame, the other modality of another place: the nearest one (``hardest``)
    or each (``all``). Anchors without any negative form no triplet.
    """
    losses = []
    for rows, others in ((distance, negative), (distance.T, negative.T)):
        positive = rows.diagonal()[:, None]
        if mining == "hardest":
            has_any = others.any(1)
            nearest = rows.masked_fill(~others, torch.inf).amin(1, keepdim=True)
            losses.append((positive - nearest + margin)[has_any].flatten())
        else:
            losses.append((positive - rows + margin)[others])
    return torch.cat(losses).relu()


def nearest_beyond(frames: Frames, radius_m: float) -> list[Int[ndarray, " _"]]:
    """For each frame the row of the nearest one of its world that is farther than ``radius_m``, if there is any."""
    found = []
    for row in range(len(frames)):
        distance_m = np.hypot(*(frames.position_m[:, :2] - frames.position_m[row, :2]).T)
        distance_m[(distance_m <= radius_m) | (frames.world != frames.world[row])] = np.inf
        nearest = int(distance_m.argmin())
        found.append(np.array([nearest] if np.isfinite(distance_m[nearest]) else [], dtype=np.int64))
    return found
