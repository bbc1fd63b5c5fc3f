"""ModaLink's choices as data. Defaults are the published values, without the crop that is KITTI's."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from methods.base import ImageInput, MethodConfig, Variant
from methods.layers.package_weights import LITE0, PACKAGED, started_from
from methods.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ModaLinkConfig(MethodConfig):
    """Architecture and training of ModaLink (behaviour of the authors' code at commit 6a7e6b5)."""

    weights: str = "timm"
    backbone: str = "resnet34"
    backbone_block: int = 3
    """Which feature map of the one backbone for both modalities: the third stage, 256 channels at stride 16."""
    image: ImageInput = ImageInput(height=128, width=800)
    """Network input made of camera images; depth images have the same size."""
    upper_cut: float = 0.0
    """Share of the camera image, from above, that is cut off before anything else."""
    far_m: float = 80.0
    """Depth that is as bright as a depth image gets."""
    fill_radius: int = 4
    """Radius of the densification's window, pixels."""
    fill_passes: int = 2
    """Passes of the densification."""
    clusters: int = 64
    """Clusters of every NetVLAD."""
    factors: int = 16
    """Factors of the non-negative factorisation."""
    updates: int = 50
    """Updates of the non-negative factorisation."""
    nmf: Literal["sample", "batch", "none"] = "sample"
    """Factorise the features of each frame by themselves, of the whole batch together, or leave the branch out.

    Deviation: published together, so that a descriptor depends on what else is in the batch."""
    mlp: bool = False
    """A third branch of the descriptor: the mean feature through two linear layers."""
    mlp_size: int = 1024
    margin: float = 0.3
    """Triplet margin of descriptors."""
    map_margin: float = 0.03
    """Triplet margin of feature maps; 0 leaves that loss out."""
    mining: Literal["hardest", "all"] = "hardest"
    """Negatives of each anchor: the hardest (as published), or all in the batch."""
    negative_m: float = 2.0
    """Frames farther than this are other places."""
    recipe: Recipe = Recipe(
        epochs=200,
        batch_size=20,
        learning_rate=1e-4,
        learning_rate_floor=0.0,
        decay=0.9,
        decay_every=10,
        weight_decay=0.0,
    )


_PAPER = ModaLinkConfig()
_QUICK = replace(
    _PAPER,
    weights="none",
    backbone="resnet18",
    backbone_block=2,
    image=ImageInput(height=72, width=96, per_image=True),
    fill_radius=2,
    clusters=16,
    mining="all",
    negative_m=20.0,
    recipe=Recipe(
        epochs=8,
        batch_size=16,
        learning_rate=1.2e-3,
        learning_rate_floor=1e-5,
        decay=0.7,
        decay_every=1,
        weight_decay=0.0,
    ),
)
"""For a CPU: a small backbone from scratch (9 × 12 cells), all negatives, since the hardest collapse from scratch."""
_PRETRAINED = replace(
    _QUICK,
    **started_from(LITE0),
    backbone_block=3,
    image=PACKAGED[LITE0].image(height=80, width=112),
    recipe=replace(_QUICK.recipe, optimizer="adamw", learning_rate=3e-4),
)
"""``quick`` with ImageNet weights for the shared network, as published: 112 channels, 5 × 7 cells."""

PRESETS: dict[str, MethodConfig] = {
    "quick": _QUICK,
    "pretrained": _PRETRAINED,
    "gpu": replace(_PAPER, recipe=replace(_PAPER.recipe, budget_s=540.0)),
    "paper": _PAPER,
    "paper-kitti": replace(_PAPER, upper_cut=165 / 376),
}
"""``paper-kitti`` keeps the camera's rows from 165 down, as published."""

Change = Callable[[Any], ModaLinkConfig]


def _with(**fields: Any) -> Change:
    return lambda config: replace(config, **fields)


_BRANCHES = "What do the branches of the descriptor bring?"
VARIANTS: dict[str, Variant] = {
    "without-nmf": Variant(question=_BRANCHES, change=_with(nmf="none")),
    "nmf-per-batch": Variant(question=_BRANCHES, change=_with(nmf="batch")),
    "with-mlp": Variant(question=_BRANCHES, change=_with(mlp=True)),
    "without-map-loss": Variant(question="What does the loss on feature maps bring?", change=_with(map_margin=0.0)),
}
