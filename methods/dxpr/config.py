"""DXPR's choices as data. Defaults are the published values where the paper gives them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from methods.base import MethodConfig, Variant
from methods.depth import GPU_DEPTH, QUICK_DEPTH, DepthConfig
from methods.layers.package_weights import LITE0, started_from
from methods.learning.depth_overlap import Matching
from methods.recipe import Recipe

Encoding = Literal["log", "raw", "inverse"]
"""Functions of depth that the network can see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaladConfig:
    """Sizes of SALAD's parts. Defaults: those of DINOv2-SALAD, 8448 numbers a descriptor."""

    clusters: int = 64
    """Clusters that local features are summed in."""
    cluster_channels: int = 128
    """Numbers of a cluster."""
    token_channels: int = 256
    """Numbers of the global token."""
    hidden: int = 512
    """Neurons of the hidden layers."""
    dropout: float = 0.3
    """Share of hidden neurons that are left out in training."""
    iterations: int = 3
    """Iterations of Sinkhorn's algorithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningConfig:
    """Which pairs of frames are positive or negative, and their loss."""

    near_m: float = 5.0
    """Frames at most this far apart, within ``near_deg``, are positives of overlap 1."""
    near_deg: float = 10.0
    """Largest difference of heading of these positives, degrees."""
    far_m: float = 20.0
    """Frames that are farther apart are negatives of overlap 0."""
    overlap: Literal["depth", "view"] = "depth"
    """Overlap of the pairs in between: that of depth images (as published), or of views on the ground."""
    matching: Matching = Matching()
    """How depth images are compared."""
    positive_overlap: float = 0.35
    """A pair in between is a positive if its overlap exceeds this."""
    negative_overlap: float = 0.35
    """A pair in between is a negative if its overlap is at most this. A pair whose overlap lies between both limits
    does not count. The default masks no pair, as published."""
    base: float = 0.2
    """Base λ of the loss for a positive without overlap (a in the paper)."""
    base_slope: float = -0.1
    """Change of λ from no overlap to overlap 1 (b in the paper)."""
    alpha: float = 1.0
    """Sharpness of the loss for positives. Not published; as in DINOv2-SALAD, like the three values below."""
    beta: float = 50.0
    """Sharpness of the loss for negatives."""
    negative_base: float = 0.0
    """Base λ of the loss for negatives."""
    margin: float = 0.1
    """Margin of the choice of hard pairs."""
    view_reach_m: float = 50.0
    """Reach of a view on the ground. Only the overlap of views uses it."""


@dataclass(frozen=True, kw_only=True)
class DxprConfig(MethodConfig):
    """Architecture and training of DXPR (arXiv 2609.09005)."""

    weights: str = "timm"
    """Pretrained backbone. With one, the last ``trained_blocks`` of a transformer are trained; from scratch all are."""
    depth: DepthConfig = DepthConfig()
    """Depth of images. Deviation: published with Depth Anything's metric model, trained on KITTI. Here any source can
    be named; the default is the suite's own light network."""
    backbone: str = "vit_base_patch14_dinov2.lvd142m"
    """The one network of both modalities. The paper says DINOv2-SALAD, which has this one."""
    backbone_block: int = 11
    """Feature map of the backbone: the last block."""
    trained_blocks: int = 4
    """Last blocks that are trained with pretrained weights. Not published; as in DINOv2-SALAD."""
    size: tuple[int, int] = (154, 742)
    """Height and width of the depth images, pixels."""
    rows: tuple[float, float] = (0.0, 1.0)
    """Rows of the camera image that are kept, as shares of its height: those that the LiDAR sees too."""
    encoding: Encoding = "log"
    """Function of depth that the network sees, in three equal channels."""
    per_image: bool = True
    """Whether each depth image is normalised by its own mean and deviation, so that a wrong scale does not matter.
    False: the same scale for all images."""
    near_m: float = 1.0
    """Depth is at least this much, metres."""
    far_m: float = 80.0
    """Depth is at most this much, metres. Unknown depth counts as this far."""
    fill_radius: int = 4
    """Radius of the window that completes the depth of clouds, pixels."""
    fill_passes: int = 2
    """Passes of the completion."""
    salad: SaladConfig = SaladConfig()
    """The pooling."""
    mining: MiningConfig = MiningConfig()
    """Pairs and loss."""
    mirror_probability: float = 0.5
    """Probability that all depth images of a batch are mirrored."""
    jitter: float = 0.1
    """Strength of the colour jitter of images, before their depth is estimated."""
    recipe: Recipe = Recipe(
        epochs=60,
        batch_size=32,
        learning_rate=6e-5,
        learning_rate_floor=1.2e-5,
        decay=0.9,
        decay_every=2,
        optimizer="adamw",
        weight_decay=9.5e-9,
        early_stop=5,
    )
    """Training. Published: the end after five epochs without gain. Optimiser and rate are those of DINOv2-SALAD."""


_PAPER = DxprConfig()
_QUICK = replace(
    _PAPER,
    weights="none",
    depth=QUICK_DEPTH,
    backbone="resnet18",
    backbone_block=2,
    size=(48, 96),
    rows=(0.15, 0.85),
    fill_radius=2,
    salad=SaladConfig(clusters=16, cluster_channels=64, token_channels=128, hidden=128, dropout=0.0),
    mining=MiningConfig(matching=Matching(stride=3, union="known"), positive_overlap=0.15, negative_overlap=0.05),
    recipe=Recipe(
        epochs=8,
        batch_size=32,
        learning_rate=2e-3,
        learning_rate_floor=2e-5,
        decay=0.7,
        decay_every=1,
        optimizer="adamw",
        weight_decay=1e-4,
    ),
)
"""For one CPU core: ResNet-18 from scratch after its second stage (6 × 12 cells). Overlap is a share of all known
pixels, since by the published share some views of the town that face each other would be positives. Pairs of little
overlap are masked: the town's rule of a place holds for them too."""

_GPU = replace(_PAPER, depth=GPU_DEPTH, recipe=replace(_PAPER.recipe, budget_s=420.0))
_GPU_PRETRAINED = replace(
    _GPU,
    **started_from(LITE0),
    backbone_block=3,
    size=(160, 736),
    rows=_QUICK.rows,
    mining=replace(_QUICK.mining, matching=replace(_QUICK.mining.matching, stride=8)),
    recipe=replace(_QUICK.recipe, epochs=16, learning_rate=5e-4, decay=0.8, budget_s=420.0),
)
"""``gpu`` with ImageNet weights of a package, all of them trained, and the pairs of ``quick``: 112 channels on 10 × 46
cells."""

PRESETS: dict[str, MethodConfig] = {
    "quick": _QUICK,
    "gpu": _GPU,
    "gpu-pretrained": _GPU_PRETRAINED,
    "paper": _PAPER,
    "paper-kitti": replace(_PAPER, rows=(126 / 376, 1.0)),
    "paper-boreas": replace(_PAPER, size=(112, 336), rows=(624 / 2048, 1428 / 2048)),
}
"""Published: 150 × 744 on KITTI and 112 × 341 on Boreas; here the nearest sizes that patches of 14 pixels fill. Which
rows are kept is not published. These have the published shape and hold what the LiDAR sees."""

Change = Callable[[Any], DxprConfig]


def _with(**fields: Any) -> Change:
    return lambda config: replace(config, **fields)


def _mining(**fields: Any) -> Change:
    return lambda config: replace(config, mining=replace(config.mining, **fields))


_ENCODING, _PAIRS = "Which function of depth?", "Which pairs count?"
VARIANTS: dict[str, Variant] = {
    "raw-depth": Variant(question=_ENCODING, change=_with(encoding="raw")),
    "inverse-depth": Variant(question=_ENCODING, change=_with(encoding="inverse")),
    "one-scale": Variant(question="Does the scale of depth matter?", change=_with(per_image=False)),
    "view-overlap": Variant(question=_PAIRS, change=_mining(overlap="view")),
    "no-overlap": Variant(question=_PAIRS, change=_mining(positive_overlap=1.0, negative_overlap=1.0)),
    "masked": Variant(question=_PAIRS, change=_mining(negative_overlap=0.0)),
    "one-base": Variant(question="Does a base by overlap matter?", change=_mining(base_slope=0.0)),
}
