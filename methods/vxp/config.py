"""VXP's choices as data. Defaults are the published values for Oxford RobotCar."""

from dataclasses import dataclass, field, replace
from typing import Literal

from datasets.base import ADDED
from datasets.errors import CrossplaceError
from methods.base import ImageInput, MethodConfig
from methods.layers.layout_pool import Layout
from methods.layers.package_weights import LITE0, PACKAGED, started_from
from methods.layers.voxels import VoxelGrid
from methods.learning.distillation import Augmentation, TeacherConfig
from methods.recipe import Recipe
from methods.vxp import published


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderWidths:
    """Channels of the sparse encoder; one tuple a resolution (110, 55, 55 of the published grid)."""

    entry: int = 16
    full: tuple[int, ...] = (16,)
    half: tuple[int, ...] = (32, 64, 64)
    deep: tuple[int, ...] = (128, 256, 256)


@dataclass(frozen=True, kw_only=True)
class VxpConfig(TeacherConfig):
    """Architecture and training of VXP (paper §3, authors' setup files)."""

    weights: str = "timm"
    backbone: str = "vit_small_patch8_224.dino"
    backbone_block: int = 11
    """Which feature map of the backbone: last transformer block, or convolutional stage."""
    image: ImageInput = ImageInput(height=224, width=224, antialias=False)
    """Square network input. Published features used a resize without antialiasing."""
    pooling: Literal["gem", "mean", "netvlad", "class-token", "layout"] = "gem"
    """Pooling of both branches. Clouds have no class token: with it, theirs is GeM."""
    layout: Layout = field(default=Layout(), metadata=ADDED)
    """Grid of the pooling ``layout``."""
    descriptor_size: int = 256
    grid: VoxelGrid = VoxelGrid()
    max_voxels: int = 10_000
    feature_channels: tuple[int, ...] = (16, 64, 128)
    """Channels of the layers of the voxel feature encoder."""
    widths: EncoderWidths = EncoderWidths()
    collisions: Literal["keep-all", "nearest-wins", "inverse-depth"] = "keep-all"
    """Voxels that share a cell of the image's feature map: all count alike (as published), only the nearest counts,
    or all do but weighted by inverse depth in the global pooling."""
    stretched_centres: bool = False
    """Voxel centres that stretch the encoder's cells over the grid (as published) instead of the true strides'."""
    as_published: published.AsPublished | None = None
    """Preprocessing that official checkpoints were trained with; none: ours."""
    output_sites: Literal["dilated", "occupied"] = field(default="dilated", metadata=ADDED)
    """Output cells of the encoder's regular convolutions: all that they reach (as published), or only those that hold a
    return. A cell's centre is then that of the voxels that it holds."""
    norm_momentum: float = field(default=0.01, metadata=ADDED)
    """Share of a batch in the running statistics of the cloud branch's batch normalisations."""
    is_centred: bool = field(default=False, metadata=ADDED)
    """Whether descriptors are compared by their deviations from the mean of their own side, in units of the standard
    deviations, at unit length. The global stage measures both. As published, descriptors are compared as they are."""
    inverse_depth_weighting: bool = True
    """Near voxels weigh more in the local stage."""
    head_from_teacher: bool = False
    """Start the cloud branch's pooling and head as copies of the image branch's (as published: fresh)."""
    local_stage: Recipe = Recipe(epochs=30, batch_size=8, learning_rate=1e-4, learning_rate_floor=5e-6)
    global_stage: Recipe = Recipe(epochs=30, batch_size=8, learning_rate=1e-4, learning_rate_floor=5e-6)
    joint_stage: Recipe = field(
        default=Recipe(epochs=0, batch_size=32, learning_rate=1e-4, learning_rate_floor=5e-6, optimizer="adamw"),
        metadata=ADDED,
    )
    """Training of both branches together by a contrastive loss. With epochs, descriptors have unit length. Not part of
    the paper's method."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joint_stage.epochs and self.pooling == "class-token":
            raise CrossplaceError(
                "joint_stage trains on feature maps, but pooling class-token has none; choose another pooling or set "
                "the epochs of joint_stage to 0"
            )


_OXFORD = VxpConfig()
_VIVID = replace(
    _OXFORD,
    growth_rate=1.2,
    growth_threshold=0.8,
    augmentation=Augmentation(affine=True),
    global_stage=replace(_OXFORD.global_stage, batch_size=16),
)
_KITTI = replace(_VIVID, global_stage=replace(_VIVID.global_stage, epochs=50, decay_every=1))
_GPU = replace(
    _OXFORD,
    teacher=replace(_OXFORD.teacher, budget_s=240.0),
    local_stage=replace(_OXFORD.local_stage, budget_s=120.0),
    global_stage=replace(_OXFORD.global_stage, budget_s=180.0),
)
_QUICK = replace(
    _OXFORD,
    weights="none",
    backbone="resnet18",
    backbone_block=2,
    image=ImageInput(height=112, width=112, per_image=True),
    grid=VoxelGrid(lower_m=(0.0, -18.0, -4.0), upper_m=(36.0, 18.0, 14.0), size_m=(0.8, 0.8, 0.4)),
    feature_channels=(16, 32),
    widths=EncoderWidths(entry=16, full=(16,), half=(32, 32), deep=(96,)),
    augmentation=Augmentation(teacher_affine=False),
    teacher_features="cached",
    is_centred=True,
    head_from_teacher=True,
    mining="all",
    growth_limit=32,
    teacher=Recipe(epochs=8, batch_size=16, learning_rate=6e-4, learning_rate_floor=1e-5, decay=0.76, decay_every=1),
    local_stage=Recipe(epochs=1, batch_size=8, learning_rate=1e-3, learning_rate_floor=1e-5, decay=0.5, decay_every=1),
    global_stage=Recipe(
        epochs=8, batch_size=8, learning_rate=1e-3, learning_rate_floor=1e-5, decay=0.66, decay_every=1
    ),
)
"""For two CPU cores: a small backbone from scratch (14×14 map: ResNet-18 after its second stage at 112×112), fewer and
coarser voxels, narrow layers, a quarter of an hour. The student learns from kept answers of the teacher. Descriptors
are centred by modality, which the paper has not. All triplets count, since the hardest collapse when day and night
train together from scratch."""

_PRETRAINED = replace(
    _QUICK,
    **started_from(LITE0),
    backbone_block=3,
    image=PACKAGED[LITE0].image(height=224, width=224),
    teacher=replace(_QUICK.teacher, epochs=2, optimizer="adamw", learning_rate=2e-4),
    local_stage=_QUICK.local_stage.shortened(4.0),
    global_stage=replace(_QUICK.global_stage, epochs=12, decay=0.75),
)
"""``quick`` with a teacher from ImageNet weights (112 channels, 14 × 14 cells) and longer stages of the student, for
which training takes about 25 minutes of one core."""

_GPU_PRETRAINED = replace(
    _GPU,
    **started_from(LITE0),
    backbone_block=_PRETRAINED.backbone_block,
    image=_PRETRAINED.image,
    augmentation=_QUICK.augmentation,
    is_centred=True,
    head_from_teacher=True,
    mining="all",
    growth_limit=32,
    teacher=replace(_PRETRAINED.teacher, batch_size=32, budget_s=120.0),
    local_stage=replace(_QUICK.local_stage, epochs=2, batch_size=32, budget_s=90.0),
    global_stage=replace(_QUICK.global_stage, epochs=12, batch_size=32, decay=0.75, budget_s=330.0),
)
"""``gpu`` with ImageNet weights of a package and the training of ``quick``: the paper's voxels and widths, a teacher of
112 channels on 14 × 14 cells. Nothing is kept of the teacher: kept answers are found one frame at a time, for which a
GPU is too slow."""

PRESETS: dict[str, MethodConfig] = {
    "quick": _QUICK,
    "pretrained": _PRETRAINED,
    "gpu": _GPU,
    "gpu-pretrained": _GPU_PRETRAINED,
    "paper-oxford": _OXFORD,
    "paper-kitti": _KITTI,
    "paper-vivid": _VIVID,
    "published-oxford": replace(_OXFORD, stretched_centres=True, as_published=published.OXFORD),
    "published-kitti": replace(_KITTI, stretched_centres=True, as_published=published.KITTI),
    "published-vivid": replace(_VIVID, stretched_centres=True, as_published=published.VIVID),
}
"""``paper-*``: the published method, done right. ``published-*``: what the authors' code does, for their weights."""
