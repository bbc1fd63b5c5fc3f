"""(LC)²'s choices as data. Defaults are the published values."""

from dataclasses import dataclass, replace

from methods.base import MethodConfig
from methods.depth import GPU_DEPTH, QUICK_DEPTH, DepthConfig
from methods.layers.package_weights import LITE0, started_from
from methods.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Lc2Config(MethodConfig):
    """Architecture and training of (LC)² (paper §III; configurations of the authors' code)."""

    weights: str = "timm"
    """Pretrained backbone. With one only the last stage of each encoder is trained (conv5 of VGG16, as published); from
    scratch all of it is."""
    depth: DepthConfig = DepthConfig()
    """Depth of images. Deviation: published with ManyDepth, later with other large networks; here from any source that
    is named, by default the suite's own light network."""
    backbone: str = "vgg16"
    backbone_block: int = 4
    """Feature map of the backbone; a last ReLU is cut off (VGG16: 512 channels at a sixteenth, as published)."""
    image_size: tuple[int, int] = (480, 640)
    """Height and width that both kinds of image are resized to."""
    depth_rows: tuple[float, float] = (0.0, 1.0)
    """Rows of depth that are kept, as shares of the image's height. The first release kept 0.25 to 0.75."""
    nearest_m: float = 4.0
    """Distance at which, and nearer, an image of disparity is white."""
    fov_deg: float | None = 90.0
    """Width of a view of the cloud; none: what the frame's own camera sees."""
    range_columns: int | None = None
    """Columns of a whole turn of the LiDAR; none: by the sensor (``inputs.COLUMNS``)."""
    views: int = 1
    """Views of a cloud when it is encoded, each a descriptor of its own. One: towards where the camera looks; more: all
    around."""
    training_views: int = 8
    """Views of a cloud in the first phase, one of which is drawn at a time. One: towards where the camera looks."""
    clusters: int = 16
    """Clusters of NetVLAD: 16 × 512 = 8192 numbers a descriptor."""
    reach_m: float = 50.0
    """How far a view reaches on the ground, for the overlap ψ."""
    tau: float = 1.0
    """Margin of the first phase."""
    margin: float = 0.1
    """Margin of the second phase."""
    hard_negatives: int = 5
    """Negatives of each anchor: the nearest in the batch."""
    scale_augmentation: float = 0.2
    """How far random factors that scale depth are from 1."""
    contrastive: Recipe = Recipe(
        epochs=20,
        batch_size=4,
        learning_rate=1e-3,
        learning_rate_floor=0.0,
        decay=0.5,
        decay_every=5,
        optimizer="sgd",
        weight_decay=1e-3,
        early_stop=10,
    )
    """First phase. Batch: published 4 pairs, here as many network inputs, the images and clouds of 4 frames."""
    vlad: Recipe = Recipe(
        epochs=5,
        batch_size=14,
        learning_rate=1e-3,
        learning_rate_floor=0.0,
        decay=0.5,
        decay_every=5,
        optimizer="sgd",
        weight_decay=1e-3,
        early_stop=10,
    )
    """Second phase, NetVLAD alone. Batch: published 4 tuples of seven (anchor, positive, 5 negatives), here as many
    network inputs."""
    triplet: Recipe = Recipe(
        epochs=25,
        batch_size=14,
        learning_rate=1e-4,
        learning_rate_floor=0.0,
        decay=0.5,
        decay_every=5,
        optimizer="sgd",
        weight_decay=1e-3,
        early_stop=10,
    )
    """Second phase, encoders and NetVLAD."""


_PAPER = Lc2Config()
_GPU = replace(
    _PAPER,
    depth=GPU_DEPTH,
    contrastive=replace(_PAPER.contrastive, batch_size=16, budget_s=240.0),
    vlad=replace(_PAPER.vlad, batch_size=28, budget_s=60.0),
    triplet=replace(_PAPER.triplet, batch_size=28, budget_s=180.0),
)


def _short(epochs: int, learning_rate: float) -> Recipe:
    return Recipe(
        epochs=epochs,
        batch_size=16,
        learning_rate=learning_rate,
        learning_rate_floor=1e-5,
        decay=0.5,
        decay_every=1,
    )


_QUICK = replace(
    _PAPER,
    weights="none",
    depth=QUICK_DEPTH,
    backbone="resnet18",
    backbone_block=2,
    image_size=(64, 128),
    depth_rows=(0.15, 0.85),
    fov_deg=None,
    range_columns=360,
    training_views=1,
    contrastive=_short(2, 1e-3),
    vlad=_short(0, 1e-3),
    triplet=_short(5, 1e-3),
)
"""For two CPU cores: ResNet-18 cut at an eighth, both encoders from scratch in whole, small images, Adam, ten minutes.
No epochs of NetVLAD alone: from scratch there is nothing yet that it could be fitted to."""

_PRETRAINED = replace(
    _QUICK,
    **started_from(LITE0),
    backbone_block=3,
    image_size=(96, 192),
    contrastive=_short(2, 5e-4),
    triplet=_short(5, 3e-4),
)
"""``quick`` with ImageNet weights for both encoders, as published: 112 channels at a sixteenth of larger images. Only
the last stage learns. Disparity from -1 to 1 is within a hundredth of what the weights expect."""

PRESETS: dict[str, MethodConfig] = {"quick": _QUICK, "pretrained": _PRETRAINED, "gpu": _GPU, "paper": _PAPER}
