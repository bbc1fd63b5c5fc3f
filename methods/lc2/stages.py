"""How (LC)² is trained after depth is there: contrast by overlap, then triplets."""

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from datasets.base import Frames, Split
from datasets.places import Poses, neighbours
from methods.base import Sampler, Stage, StageOutput
from methods.batch import Batch
from methods.layers.netvlad import initialise_clusters
from methods.lc2.inputs import around, camera_headings, cloud_views, disparity, view_widths
from methods.learning.losses import cross_modal_masks, pairwise_distance
from methods.learning.overlap import Views, overlap_contrastive, overlaps
from methods.learning.samplers import PairSampler
from methods.whole_batch import all_frames, all_rows, counted_once, drawn_rows

if TYPE_CHECKING:
    from methods.lc2 import Lc2

SECOND_PHASE = ("views", "clusters", "margin", "hard_negatives", "vlad", "triplet")
"""Fields of the configuration that the first phase does not read."""
APART = 0.01
"""Views that overlap less do not at all, for the balance of pairs (as in the authors' code)."""


class _Lc2Stage(Stage):
    """What the stages share."""

    def __init__(self, method: "Lc2", split: Split) -> None:
        super().__init__()
        self.method, self.split, self.config = method, split, method.config
        recipes = {"contrastive": self.config.contrastive, "vlad": self.config.vlad, "triplet": self.config.triplet}
        self.recipe = recipes[self.name]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame, beside another one of its place if there is one: an image and its own cloud are a pair too."""
        positives = neighbours(frames, self.split.positive_m, self.split.heading_limit_rad)
        return PairSampler(positives, self.recipe.batch_size, alone=True)

    @property
    def is_learning(self) -> bool:
        """Whether this is a training step; validation draws nothing at random."""
        return self.trainable()[0].training

    def image_inputs(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Disparity of the images, in training with depth scaled at random."""
        depth_m = self.method.image_depth(batch)
        if self.is_learning:
            share = self.config.scale_augmentation
            depth_m = depth_m * drawn_rows(
                lambda n: depth_m.new_empty(n, 1, 1, 1).uniform_(1 - share, 1 + share), len(batch)
            )
        return disparity(depth_m, self.config.nearest_m)


class ContrastiveStage(_Lc2Stage):
    """First phase: any two images of the batch, of either kind, together as far as their views overlap."""

    name = "contrastive"
    ignores = SECOND_PHASE

    def trainable(self) -> list[nn.Module]:
        """What is trained of the encoders, and GeM."""
        return [self.method.gem, *self.method.trained_encoders()]

    def forward(self, batch: Batch) -> StageOutput:
        """Contrastive loss by overlap, mean over pairs; those that overlap weigh as much as all others together."""
        turned = self._turned(batch)
        heading, width = camera_headings(batch)
        seen = cloud_views(batch, (heading + turned)[:, None], self.config)
        features = [self.method.image_features(self.image_inputs(batch)), self.method.cloud_features(seen)]
        embeddings = all_rows(torch.cat([self.method.gem_pooled(maps) for maps in features]))
        widths = torch.cat([width, view_widths(batch, self.config)])
        psi = self._psi(batch, torch.cat([heading, heading + turned]), widths)
        losses = overlap_contrastive(pairwise_distance(embeddings), psi.to(embeddings), self.config.tau)
        pairs = torch.ones_like(losses).triu(1)
        together = pairs * (psi.to(pairs) > APART)
        apart = pairs - together
        balance = together.sum() / apart.sum().clamp(min=1)
        weights = together + balance * apart
        statistics = {"overlapping": together.sum()}
        return counted_once(StageOutput(loss_sum=(weights * losses).sum(), count=weights.sum(), statistics=statistics))

    def _turned(self, batch: Batch) -> Float[Tensor, " b"]:
        """How far the view of each cloud is turned from where the camera looks, radians.

        Deviation: one of the views is drawn for each cloud; published all eight at once, eight times the batch.
        """
        like = batch.require_clouds().points
        if not self.is_learning:
            return like.new_zeros(len(batch))
        headings = around(self.config.training_views, like)
        return headings[drawn_rows(lambda n: torch.randint(len(headings), (n,), device=like.device), len(batch))]

    def _psi(
        self, batch: Batch, headings_rad: Float[Tensor, " n"], widths_rad: Float[Tensor, " n"]
    ) -> Float[Tensor, "n n"]:
        """Overlap between the views of all images and then all clouds, whose headings are in the LiDAR's frame."""
        frames = all_frames(batch)
        poses = Poses.of([*frames, *frames])
        views = Views(
            poses.position_m[:, :2],
            poses.yaw_rad + all_rows(headings_rad.double()).cpu().numpy(),
            all_rows(widths_rad.double()).cpu().numpy(),
            self.config.reach_m,
            poses.world,
        )
        return torch.from_numpy(overlaps(views, views))


class VladStage(_Lc2Stage):
    """Second phase, NetVLAD alone: clusters of the training features, then triplets."""

    name = "vlad"
    ignores: tuple[str, ...] = ("views", "triplet")

    def trainable(self) -> list[nn.Module]:
        """NetVLAD."""
        return [self.method.netvlad]

    def before(self, batches: Iterable[Batch]) -> None:
        """Clusters of the features of both encoders."""
        initialise_clusters(self.method.netvlad, chain.from_iterable(map(self._features, batches)))

    def _features(self, batch: Batch) -> list[Float[Tensor, "n c"]]:
        images = self.method.image_features(self.method.image_inputs(batch))
        clouds = self.method.cloud_features(self._views(batch))
        return [maps.movedim(1, -1).flatten(0, 2) for maps in (images, clouds)]

    def _views(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """As published, the second phase is trained on views towards where the camera looks."""
        return cloud_views(batch, camera_headings(batch)[0][:, None], self.config)

    def forward(self, batch: Batch) -> StageOutput:
        """Triplet loss across modalities, mean over triplets."""
        images, clouds = self.image_inputs(batch), self._views(batch)
        features = [self.method.image_features(images), self.method.cloud_features(clouds)]
        embeddings = all_rows(torch.cat([self.method.netvlad(maps) for maps in features]))
        positive, negative = cross_modal_masks(all_frames(batch), self.split, embeddings.device)
        losses = hard_triplets(
            pairwise_distance(embeddings), positive, negative, self.config.margin, self.config.hard_negatives
        )
        count, active = losses.new_tensor(float(len(losses))), (losses > 0).sum().to(losses.dtype)
        return counted_once(StageOutput(loss_sum=losses.sum(), count=count, statistics={"active": active}))


class TripletStage(VladStage):
    """Second phase, encoders and NetVLAD together."""

    name = "triplet"
    ignores = ("views",)

    def trainable(self) -> list[nn.Module]:
        """What is trained of the encoders, and NetVLAD."""
        return [self.method.netvlad, *self.method.trained_encoders()]

    def before(self, batches: Iterable[Batch]) -> None:
        """Clusters, if no stage before has found them."""
        if not self.config.vlad.epochs:
            super().before(batches)


def hard_triplets(
    distance: Float[Tensor, "n n"],
    positive: Bool[Tensor, "n n"],
    negative: Bool[Tensor, "n n"],
    margin: float,
    hard_negatives: int,
) -> Float[Tensor, " m"]:
    """Losses max(d⁺ − d⁻ + margin, 0) of each anchor with its nearest positive and its nearest negatives.

    As in the authors' code (and NetVLAD's): of the positives the one that is nearest already. Deviation: all are from
    the batch; the authors' code mines them over all training descriptors before each epoch, a pass for every epoch.
    """
    to_positive = distance.masked_fill(~positive, torch.inf).amin(1)
    nearest = distance.masked_fill(~negative, torch.inf).topk(min(hard_negatives, len(distance)), dim=1, largest=False)
    losses = torch.relu(to_positive[:, None] - nearest.values + margin)
    return losses[positive.any(1)[:, None] & nearest.values.isfinite()]
