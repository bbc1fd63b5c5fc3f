"""The choices of Cattaneo et al.'s method as data. Defaults are what VXP's authors ran on Oxford RobotCar."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from methods.base import ImageInput, MethodConfig, Variant
from methods.layers.package_weights import LITE0, PACKAGED, started_from
from methods.layers.voxels import VoxelGrid
from methods.learning.distillation import Augmentation, TeacherConfig
from methods.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderWidths:
    """Channels of the sparse encoder: its entry, the layers of each stage, its exit."""

    entry: int = 16
    stages: tuple[tuple[int, ...], ...] = ((16,), (32, 32, 32), (64, 64, 64), (64, 64, 64), (64, 64, 64))
    """The second stage starts by halving all axes, each later one by halving x alone."""
    exit: int = 64


_MOVED = Augmentation(affine=True)
"""Image and cloud are both moved in the student's stage, on all datasets."""


@dataclass(frozen=True, kw_only=True)
class CattaneoConfig(TeacherConfig):
    """Architecture and training (setup files of VXP's authors: setup_cattaneo_teacher.yml, …_student.yml)."""

    weights: str = "timm"
    backbone: str = "vgg16"
    backbone_block: int = 4
    """Which feature map of the backbone: VGG16's conv5_3, 512 channels at stride 16."""
    image: ImageInput = ImageInput(height=240, width=320, antialias=False)
    """Network input made of camera images."""
    teacher_pooling: Literal["gem", "netvlad"] = "gem"
    """Pooling of the image branch; the cloud branch always has NetVLAD."""
    gating: bool = False
    """Context gating behind the teacher's NetVLAD."""
    clusters: int = 64
    """Clusters of every NetVLAD."""
    descriptor_size: int = 256
    grid: VoxelGrid = VoxelGrid(lower_m=(0.0, -25.0, -25.0), upper_m=(50.0, 25.0, 25.0), size_m=(0.75, 0.75, 0.75))
    max_voxels: int = 10_000
    feature_channels: tuple[int, ...] = (32, 128)
    """Channels of the layers of the voxel feature encoder."""
    widths: EncoderWidths = EncoderWidths()
    aspp_channels: int = 512
    aspp_rates: tuple[int, ...] = (6, 12, 18)
    dropout: float = 0.1
    """Dropout behind the atrous pyramid."""
    scale_from_teacher: bool = False
    """Start the student's last normalisation at the spread and the mean of the teacher's descriptors (as published: at
    1 and 0, which takes as many steps as the learning rate is small)."""
    augmentation: Augmentation = _MOVED
    growth_limit: int = 256
    student: Recipe = Recipe(
        epochs=50, batch_size=16, learning_rate=1e-5, learning_rate_floor=5e-7, decay=0.95, decay_every=1
    )


_OXFORD = CattaneoConfig()
_QUICK = replace(
    _OXFORD,
    weights="none",
    backbone="resnet18",
    backbone_block=2,
    image=ImageInput(height=96, width=128, per_image=True),
    clusters=16,
    descriptor_size=128,
    grid=VoxelGrid(lower_m=(0.0, -18.0, -4.0), upper_m=(36.0, 18.0, 14.0), size_m=(0.8, 0.8, 0.4)),
    feature_channels=(16, 32),
    widths=EncoderWidths(entry=16, stages=((16,), (32, 32), (32, 32), (32,)), exit=32),
    aspp_channels=64,
    aspp_rates=(2, 4, 6),
    scale_from_teacher=True,
    augmentation=Augmentation(teacher_affine=False, rigid=False),
    mining="all",
    growth_limit=32,
    teacher=Recipe(epochs=5, batch_size=16, learning_rate=6e-4, learning_rate_floor=1e-5, decay=0.65, decay_every=1),
    student=Recipe(epochs=4, batch_size=8, learning_rate=2e-3, learning_rate_floor=1e-5, decay=0.5, decay_every=1),
)
"""For a CPU: VXP's quick teacher and voxels, a narrow student whose rates fit its map of 23 × 23 cells."""
_PRETRAINED = replace(
    _QUICK,
    **started_from(LITE0),
    backbone_block=3,
    image=PACKAGED[LITE0].image(height=96, width=128),
    teacher=replace(_QUICK.teacher, optimizer="adamw", learning_rate=2e-4),
)
"""``quick`` with a teacher from ImageNet weights: 112 channels, 6 × 8 cells."""

PRESETS: dict[str, MethodConfig] = {
    "quick": _QUICK,
    "pretrained": _PRETRAINED,
    "gpu": replace(
        _OXFORD,
        teacher=replace(_OXFORD.teacher, budget_s=300.0),
        student=replace(_OXFORD.student, budget_s=240.0),
    ),
    "paper-oxford": _OXFORD,
    "paper-kitti": replace(
        _OXFORD,
        image=replace(_OXFORD.image, width=720),
        growth_rate=1.2,
        growth_threshold=0.8,
        growth_limit=128,
    ),
    "paper-vivid": replace(_OXFORD, teacher_pooling="netvlad", gating=True),
}
"""``paper-*``: as VXP's authors ran it, who follow the paper to the best of their understanding."""


def _netvlad(config: Any) -> CattaneoConfig:
    return replace(config, teacher_pooling="netvlad", gating=False)


def _gated(config: Any) -> CattaneoConfig:
    return replace(config, teacher_pooling="netvlad", gating=True)


_POOLING = "What does the teacher's pooling bring?"
VARIANTS: dict[str, Variant] = {
    "netvlad-teacher": Variant(question=_POOLING, change=_netvlad),
    "gated-netvlad-teacher": Variant(question=_POOLING, change=_gated),
}
