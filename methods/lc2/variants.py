"""What the parts of (LC)² bring. Changes apply to any preset."""

from dataclasses import replace

from methods.base import Variant
from methods.lc2.config import Lc2Config

_PHASES = "What do the two phases bring?"
_VIEWS = "What does seeing all around bring?"


def _panorama(config: Lc2Config) -> Lc2Config:
    return replace(config, views=8)


def _all_views_trained(config: Lc2Config) -> Lc2Config:
    return replace(config, training_views=8)


def _without_contrastive(config: Lc2Config) -> Lc2Config:
    return replace(config, contrastive=replace(config.contrastive, epochs=0))


def _without_triplets(config: Lc2Config) -> Lc2Config:
    return replace(config, triplet=replace(config.triplet, epochs=0))


def _without_scaling(config: Lc2Config) -> Lc2Config:
    return replace(config, scale_augmentation=0.0)


VARIANTS: dict[str, Variant] = {
    "no-contrastive": Variant(question=_PHASES, change=_without_contrastive),
    "no-triplets": Variant(question=_PHASES, change=_without_triplets),
    "no-scaling": Variant(question="What does scaling depth bring?", change=_without_scaling),
    "panorama": Variant(question=_VIEWS, change=_panorama),
    "trained-around": Variant(question=_VIEWS, change=_all_views_trained),
}
"""``panorama``: eight views of each cloud, 45° apart; the nearest counts. Single view is what the presets do."""
