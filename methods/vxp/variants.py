"""The ablation of VXP: what each part brings, asked one change at a time. Changes apply to any preset."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from methods.base import Variant
from methods.learning.relighting import Relighting
from methods.vxp.config import VxpConfig

Change = Callable[[VxpConfig], VxpConfig]


def _with(**fields: Any) -> Change:
    return lambda config: replace(config, **fields)


def _without_local_stage(config: VxpConfig) -> VxpConfig:
    return replace(config, local_stage=replace(config.local_stage, epochs=0))


def _longer_students(config: VxpConfig) -> VxpConfig:
    """Four times the epochs of the local stage and twice those of the global one, with the same total decay."""
    return replace(
        config, local_stage=config.local_stage.shortened(4.0), global_stage=config.global_stage.shortened(2.0)
    )


def _augmented(**fields: Any) -> Change:
    """Other random changes of training samples. Answers of a teacher that are kept see no change of light."""
    return lambda config: replace(config, augmentation=replace(config.augmentation, **fields))


def _turned(config: VxpConfig) -> VxpConfig:
    """Frames that are turned and thinned at random, before a teacher that answers each time."""
    return _augmented(turn_deg=10.0, lost_points=0.3)(replace(config, teacher_features="live"))


def _joint(config: VxpConfig) -> VxpConfig:
    """Both branches together after the teacher's stage, for twice as many epochs as the student's stages have.

    The recipe is the usual one of contrastive training: AdamW, and a cosine after some steps of warm-up. Frames are
    turned and thinned at random, since both branches learn the training frames by heart otherwise.
    """
    local, last = config.local_stage, config.global_stage
    together = replace(last, epochs=2 * (local.epochs + last.epochs), batch_size=32, optimizer="adamw")
    together = replace(together, schedule="cosine", warmup_steps=40)
    return replace(
        _turned(config),
        is_centred=False,  # the global stage measures means; a contrast brings both sides together by itself
        local_stage=replace(local, epochs=0),
        global_stage=replace(last, epochs=0),
        joint_stage=together,
    )


def _joint_alone(config: VxpConfig) -> VxpConfig:
    """Both branches together from the start."""
    return replace(_joint(config), teacher=replace(config.teacher, epochs=0))


def _voxels(scale: float) -> Change:
    """Voxels larger by ``scale``; the range is kept as far as it divides."""

    def change(config: VxpConfig) -> VxpConfig:
        x, y, z = config.grid.size_m
        return replace(config, grid=replace(config.grid, size_m=(scale * x, scale * y, scale * z)))

    return change


def _far_view(config: VxpConfig) -> VxpConfig:
    """Voxels of the same size as far as 72 m, and as far to both sides."""
    low, high = config.grid.lower_m[2], config.grid.upper_m[2]
    return replace(config, grid=replace(config.grid, lower_m=(0.0, -36.0, low), upper_m=(72.0, 36.0, high)))


def _convolutional(backbone: str, later: int = 0) -> Change:
    """A convolutional encoder cut at the stride of the preset's own, or at 8 where that is a transformer.

    ``later`` is by how many its feature maps are numbered higher than those of a ResNet.
    """

    def change(config: VxpConfig) -> VxpConfig:
        block = 2 if config.backbone.startswith("vit_") else config.backbone_block
        return replace(config, backbone=backbone, backbone_block=block + later)

    return change


def _transformer(backbone: str) -> Change:
    """A transformer at the same image size; its map has as many cells as patches.

    All twelve blocks where the preset's own encoder is a transformer, else the first four: it then is to be trained
    from scratch on little.
    """

    def change(config: VxpConfig) -> VxpConfig:
        block = config.backbone_block if config.backbone.startswith("vit_") else 3
        return replace(config, backbone=backbone, backbone_block=block)

    return change


_STAGES = "What do the stages and the loss bring?"
_COLLISIONS = "What do voxels and collisions matter?"
_ENCODER = "What does the image encoder bring?"
_POOLING = "What does the pooling bring?"

VARIANTS: dict[str, Variant] = {
    "no-local-stage": Variant(question=_STAGES, change=_without_local_stage),
    "no-inverse-depth": Variant(question=_STAGES, change=_with(inverse_depth_weighting=False)),
    "long-students": Variant(question=_STAGES, change=_longer_students, is_cheap=False),
    "momentum-0.1": Variant(question=_STAGES, change=_with(norm_momentum=0.1)),
    "cached-teacher": Variant(question=_STAGES, change=_with(teacher_features="cached")),
    "no-rigid-motion": Variant(question=_STAGES, change=_augmented(rigid=False)),
    "joint": Variant(question=_STAGES, change=_joint_alone),
    "joint-after-teacher": Variant(question=_STAGES, change=_joint),
    "turned": Variant(question=_STAGES, change=_turned),
    "random-light": Variant(question=_STAGES, change=_augmented(relighting=Relighting())),
    "nearest-wins": Variant(question=_COLLISIONS, change=_with(collisions="nearest-wins")),
    "inverse-depth-pooling": Variant(question=_COLLISIONS, change=_with(collisions="inverse-depth")),
    "stretched-centres": Variant(question=_COLLISIONS, change=_with(stretched_centres=True)),
    "occupied-sites": Variant(question=_COLLISIONS, change=_with(output_sites="occupied")),
    "coarse-voxels": Variant(question=_COLLISIONS, change=_voxels(1.5)),
    "far-view": Variant(question=_COLLISIONS, change=_far_view),
    "fine-voxels": Variant(question=_COLLISIONS, change=_voxels(1 / 1.5), is_cheap=False),
    "resnet18": Variant(question=_ENCODER, change=_convolutional("resnet18")),
    "resnet50": Variant(question=_ENCODER, change=_convolutional("resnet50")),
    "vgg16": Variant(question=_ENCODER, change=_convolutional("vgg16", later=1), is_cheap=False),
    "vit-s16": Variant(question=_ENCODER, change=_transformer("vit_small_patch16_224.dino")),
    "vit-s8": Variant(question=_ENCODER, change=_transformer("vit_small_patch8_224.dino"), is_cheap=False),
    "dinov2-s14": Variant(question=_ENCODER, change=_transformer("vit_small_patch14_dinov2.lvd142m"), is_cheap=False),
    "mean-pooling": Variant(question=_POOLING, change=_with(pooling="mean")),
    "netvlad": Variant(question=_POOLING, change=_with(pooling="netvlad")),
    "centred": Variant(question=_POOLING, change=_with(is_centred=True)),
    "layout-pooling": Variant(question=_POOLING, change=_with(pooling="layout")),
    "class-token": Variant(question=_POOLING, change=_with(pooling="class-token"), is_cheap=False),
}
"""Any of them can be combined: ``--variant vit-s16+class-token`` is that encoder with that pooling."""
