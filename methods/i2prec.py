"""I2P-Rec: images on point cloud maps through bird's-eye views (Zheng et al., IROS 2023, arXiv 2303.14043)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from datasets.base import Frames, Split
from datasets.places import neighbours
from methods.base import DescriptorSpec, Method, MethodConfig, Sampler, Stage, StageOutput, Variant
from methods.batch import Batch
from methods.card import MethodCard
from methods.depth import GPU_DEPTH, QUICK_DEPTH, DepthConfig
from methods.layers.backbone import ImageBackbone
from methods.layers.bev import BevGrid, bev_image, pseudo_points, thinned
from methods.layers.depth.sources import depth_provider
from methods.layers.netvlad import NetVLAD, initialise_clusters
from methods.layers.package_weights import LITE0, started_from
from methods.layers.projection import network_from_lidar, project, transform_points
from methods.learning.depth_stage import depth_stages
from methods.learning.losses import batch_all_triplet, batch_hard_triplet, cross_modal_masks, mean_over_triplets
from methods.learning.samplers import PairSampler
from methods.recipe import Recipe
from methods.whole_batch import all_frames, all_rows, counted_once, drawn_rows


@dataclass(frozen=True, kw_only=True)
class I2pRecConfig(MethodConfig):
    """Architecture and training. The paper's first page gives only the idea; all other values are our choice."""

    weights: str = "timm"
    depth: DepthConfig = DepthConfig()
    """Depth of images. Deviation: published with MIM (one image), PSM and LEA (two); here any source can be named.
    Default: the suite's own light network."""
    depth_size: tuple[int, int] = (96, 192)
    """Height and width of the depth image. Its pixels become points. The default is the output size of the default
    network: without resizing, no point lies between a near and a far object."""
    grid: BevGrid = BevGrid(rows=200, columns=200, forward_m=(0.0, 40.0), left_m=(-20.0, 20.0), height_m=(-3.0, 9.0))
    """Grid of the bird's-eye view at the camera: cells of 0.2 m, up to 40 m ahead."""
    slice_m: float = 0.4
    """Height of a slice, metres. One point of each cell and slice counts. So the many near pixels of a picture and the
    rings of a LiDAR fill a bird's-eye view alike. Zero: all points count."""
    saturation: float = 6.0
    """Number of points that make a cell white."""
    backbone: str = "resnet34"
    backbone_block: int = 2
    """Last block of the backbone. Deviation: the paper only says a convolutional network. This is the network of
    BEVPlace, which has an author in common (128 channels at an eighth of the size)."""
    clusters: int = 64
    """Clusters of NetVLAD (without bias, as in BEVPlace): 64 × 128 = 8192 numbers a descriptor."""
    margin: float = 0.3
    """Margin of the triplets."""
    hardest: bool = True
    """Whether only the hardest triplet of each anchor in the batch counts. False: all triplets count."""
    scale_augmentation: float = 0.1
    """Largest difference from 1 of the random factors that scale depth. Depth networks err in scale."""
    retrieval: Recipe = Recipe(
        epochs=40, batch_size=16, learning_rate=1e-4, learning_rate_floor=1e-6, decay=0.5, decay_every=10
    )


_PAPER = I2pRecConfig()
_GPU = replace(
    _PAPER,
    depth=GPU_DEPTH,
    retrieval=replace(_PAPER.retrieval, batch_size=32, budget_s=420.0),
)
_QUICK = replace(
    _PAPER,
    weights="none",
    depth=QUICK_DEPTH,
    depth_size=(48, 64),
    grid=BevGrid(rows=96, columns=96, forward_m=(0.0, 38.4), left_m=(-19.2, 19.2), height_m=(-3.0, 9.0)),
    backbone="resnet18",
    clusters=16,
    hardest=False,
    retrieval=Recipe(epochs=7, batch_size=16, learning_rate=2e-3, learning_rate_floor=1e-5, decay=0.6, decay_every=1),
)
"""Configuration for two CPU cores: ResNet-18 from scratch, cells of 0.4 m, ten minutes. All triplets count: training
from scratch with the hardest ones collapses."""
_PRETRAINED = replace(
    _QUICK,
    **started_from(LITE0),
    backbone_block=3,
    retrieval=replace(_QUICK.retrieval, optimizer="adamw", learning_rate=3e-4),
)
"""``quick`` with ImageNet weights for the shared encoder: 112 channels at a sixteenth. Its views from above stay in
[0, 1], as in the other presets: they are no photographs, and zero is a place without points."""


class I2pRec(Method):
    """The depth of a picture becomes points. One encoder sees these points and those of the cloud from above."""

    card = MethodCard(
        name="i2prec",
        title="I2P-Rec: Recognizing Images on Large-scale Point Cloud Maps through Bird's Eye View Projections",
        paper="Zheng, Li, Yu, Yu, Cao, Luo, Shen, arXiv 2303.14043",
        venue="IROS",
        year=2023,
        code="none: https://github.com/zjuluolun/I2P-Rec announces it since 2023",
        code_licence="none published",
        modalities="image (as points from its depth), cloud; both as bird's-eye views",
        trained_on="KITTI odometry: the first 3,000 frames of sequence 00",
        pretrained="not stated",
        sources="paper's abstract; encoder and pooling from the code of BEVPlace by one of its authors",
        deviations=(
            "depth by the suite's own light network unless files or a plug-in are named (published: MIM, PSM, LEA); "
            "all that the abstract leaves open is ours: ResNet-34 to its second stage and NetVLAD-64 without bias (as "
            "in BEVPlace, without its rotations), density of points thinned to one a slice of 0.4 m on 0.2 m cells of "
            "the 40 m × 40 m ahead of the camera, clouds cut to the camera's field of view, batch-hard triplets across "
            "modalities with margin 0.3, Adam"
        ),
    )
    presets = {"quick": _QUICK, "pretrained": _PRETRAINED, "gpu": _GPU, "paper": _PAPER}
    variants = {
        "not-thinned": Variant(
            question="Does thinning the points matter?", change=lambda config: replace(config, slice_m=0.0)
        ),
        "no-scaling": Variant(
            question="Does scaling depth matter?", change=lambda config: replace(config, scale_augmentation=0.0)
        ),
        "hardest": Variant(question="Do hard triplets matter?", change=lambda config: replace(config, hardest=True)),
    }
    tunes = {
        "retrieval.learning_rate": (1e-3, 4e-3),
        "retrieval.decay": (0.8,),
        "retrieval.batch_size": (32,),
        "margin": (0.5, 0.15),
        "slice_m": (0.8,),
        "scale_augmentation": (0.2,),
    }

    def __init__(self, config: I2pRecConfig | None = None) -> None:
        super().__init__()
        self.config: I2pRecConfig = config or I2pRecConfig()
        # Built first, so that its training does not depend on the other parts.
        self.depth = depth_provider(self.config.depth.source, *self.config.depth_size)
        size = (self.config.grid.rows, self.config.grid.columns)
        self.encoder = ImageBackbone(
            self.config.backbone, self.config.backbone_block, size, self.config.weights, self.config.weights_sha256
        )
        self.netvlad = NetVLAD(self.encoder.channels, self.config.clusters, bias=False)
        self.descriptors = (DescriptorSpec(size=self.netvlad.out_channels, distance="l2"),)

    def image_depth(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Depth of the images, metres."""
        with torch.no_grad():
            return self.depth(batch)

    def image_inputs(self, batch: Batch) -> Float[Tensor, "b 1 rows columns"]:
        """The image's points from above. Estimating or reading depth is preprocessing."""
        batch.require_images()
        return self.seen_from_above(*pseudo_points(self.image_depth(batch), batch.calibration()[0]), len(batch))

    def cloud_inputs(self, batch: Batch) -> Float[Tensor, "b 1 rows columns"]:
        """The points of the cloud that the camera sees, from above."""
        clouds = batch.require_clouds()
        intrinsics, camera_from_lidar = batch.calibration()
        points = transform_points(network_from_lidar(camera_from_lidar), clouds.points, clouds.batch_index)
        in_view = project(points, clouds.batch_index, intrinsics).in_view
        return self.seen_from_above(points[in_view], clouds.batch_index[in_view], len(batch))

    def seen_from_above(
        self, points: Float[Tensor, "n 3"], batch_index: Int[Tensor, " n"], batch_size: int
    ) -> Float[Tensor, "b 1 rows columns"]:
        """Density of points at the camera (x forward, y left, z up), in [0, 1]."""
        if self.config.slice_m:
            points, batch_index = thinned(points, batch_index, batch_size, self.config.grid, self.config.slice_m)
        return bev_image(points, batch_index, batch_size, self.config.grid, self.config.saturation)[:, :1]

    def features(self, inputs: Float[Tensor, "b 1 rows columns"]) -> Float[Tensor, "b c h w"]:
        """Feature maps. One encoder serves both modalities."""
        return self.encoder(inputs.expand(-1, 3, -1, -1))

    def encode_images(self, inputs: Float[Tensor, "b 1 rows columns"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of images, of unit length."""
        return {"main": self.netvlad(self.features(inputs))[:, None]}

    def encode_clouds(self, inputs: Float[Tensor, "b 1 rows columns"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of clouds, of unit length, by the network of the images."""
        return self.encode_images(inputs)

    def stages(self, split: Split) -> Sequence[Stage]:
        """Training of depth, if its source learns; then of retrieval."""
        depth = depth_stages(self.depth, self.config)
        return [*depth, RetrievalStage(self, split)] if self.config.retrieval.epochs else depth


class RetrievalStage(Stage):
    """Triplets of bird's-eye views across modalities."""

    name = "retrieval"

    def __init__(self, method: I2pRec, split: Split) -> None:
        super().__init__()
        self.method, self.split, self.config = method, split, method.config
        self.recipe = self.config.retrieval

    def trainable(self) -> list[nn.Module]:
        """The shared encoder and the pooling."""
        return [self.method.encoder, self.method.netvlad]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every frame once, beside another frame of its place if there is one.

        A frame alone is a pair too: its image and its cloud.
        """
        positives = neighbours(frames, self.split.positive_m, self.split.heading_limit_rad)
        return PairSampler(positives, self.recipe.batch_size, alone=True)

    def before(self, batches: Iterable[Batch]) -> None:
        """Clusters of the features of both kinds of views."""
        initialise_clusters(self.method.netvlad, chain.from_iterable(map(self._features, batches)))

    def _features(self, batch: Batch) -> list[Float[Tensor, "n c"]]:
        inputs = (self.method.image_inputs(batch), self.method.cloud_inputs(batch))
        return [self.method.features(seen).movedim(1, -1).flatten(0, 2) for seen in inputs]

    def forward(self, batch: Batch) -> StageOutput:
        """Triplet loss, mean over the active triplets."""
        images = self.method.seen_from_above(
            *pseudo_points(self._scaled(self.method.image_depth(batch)), batch.calibration()[0]), len(batch)
        )
        # In one pass, so that the encoder's normalisation has the statistics of both modalities.
        seen = torch.cat([images, self.method.cloud_inputs(batch)])
        embeddings = all_rows(self.method.netvlad(self.method.features(seen)))
        positive, negative = cross_modal_masks(all_frames(batch), self.split, embeddings.device)
        triplet_loss = batch_hard_triplet if self.config.hardest else batch_all_triplet
        loss_sum, active, triplets = triplet_loss(embeddings, positive, negative, self.config.margin, swap=False)
        statistics = {"active": active, "triplets": triplets}
        return counted_once(StageOutput(loss_sum=loss_sum, count=active, statistics=statistics))

    def _scaled(self, depth_m: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Depth times a random factor for each image. Validation leaves depth as it is."""
        if not self.method.netvlad.training:
            return depth_m
        share = self.config.scale_augmentation
        return depth_m * drawn_rows(
            lambda n: depth_m.new_empty(n, 1, 1, 1).uniform_(1 - share, 1 + share), len(depth_m)
        )

    def score(self, statistics: dict[str, float]) -> float:
        """Mean loss × share of active triplets: the mean over all triplets."""
        return mean_over_triplets(statistics)
