"""VXP: Voxel-Cross-Pixel place recognition (Li et al., 3DV 2025, arXiv 2403.14594)."""

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from datasets.base import Modality, Split
from methods.base import DescriptorSpec, Method, Stage
from methods.batch import Batch
from methods.card import MethodCard, ShippedWeights
from methods.learning.contrastive import Temperature
from methods.vxp.cloud_branch import CloudBranch, CloudInputs
from methods.vxp.config import PRESETS, VxpConfig
from methods.vxp.image_branch import ImageBranch
from methods.vxp.joint import JointStage
from methods.vxp.stages import GlobalStage, LocalStage, TeacherStage
from methods.vxp.variants import VARIANTS


class Vxp(Method):
    """An image teacher and a cloud student that learns its features twice: per voxel, then per frame."""

    card = MethodCard(
        name="vxp",
        title="VXP: Voxel-Cross-Pixel Large-scale Camera-LiDAR Place Recognition",
        paper="Li, Gladkova, Xia, Wang, Cremers, arXiv 2403.14594",
        venue="3DV",
        year=2025,
        code="https://github.com/yunjinli/vxp",
        code_licence="MIT; five dataset files CC BY-NC-SA 4.0",
        modalities="image, cloud",
        trained_on="Oxford RobotCar, KITTI, ViViD++ (one model each)",
        pretrained="DINO ViT-S/8 (images)",
        sources="paper; behaviour of the authors' code at commit 8303725",
        deviations=(
            "each frame's own calibration (published: one per dataset, with swapped axes on KITTI and ViViD++); voxel "
            "centres from the true strides (published: stretched by up to 0.59 m); ragged voxels, fullest kept "
            "(published: 35 padded slots, file order); positive-depth test; teacher without gradients. Presets "
            "published-* have all of these but the last as published. Presets quick and pretrained centre descriptors "
            "by modality, take all triplets, keep the teacher's answers (so without jitter) and start the cloud's "
            "pooling and head as the teacher's"
        ),
    )
    presets = PRESETS
    variants = VARIANTS
    tunes = {"teacher.learning_rate": (1.2e-3, 3e-4), "local_stage.epochs": (0, 2), "global_stage.decay": (0.7,)}
    shipped = (
        ShippedWeights(
            preset="quick",
            fingerprint="628329ec7c7217b2fcdcac17bc5e9b4c76889c81865bd12f8c6186aead3b978f",
            seed=0,
            file=Path(__file__).with_name("town-quick.safetensors"),
            sha256="11ca014097dce8de6643e178f9968b52598cbcd50ba0593e52e63eff97b17f94",
            command="crossplace train --method vxp --preset quick --dataset town --seed 0 --retrain",
        ),
    )

    def __init__(self, config: VxpConfig | None = None) -> None:
        super().__init__()
        self.config: VxpConfig = config or VxpConfig()
        size = self.config.descriptor_size
        self.descriptors = (DescriptorSpec(size=size, distance="l2"),)
        self.image_branch = ImageBranch(self.config)
        backbone = self.image_branch.backbone
        self.cloud_branch = CloudBranch(self.config, out_channels=backbone.channels, map_size=backbone.map_size)
        if self.config.joint_stage.epochs:
            self.temperature = Temperature()
        if self.config.is_centred:
            self.centring = nn.ModuleDict({side: nn.BatchNorm1d(size, affine=False) for side in ("image", "cloud")})

    def cloud_inputs(self, batch: Batch) -> CloudInputs:
        """Points in the camera-centred network frame, voxelized."""
        return self.cloud_branch.inputs(batch)

    def encode_images(self, inputs: Float[Tensor, "b 3 s s"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """The teacher's descriptors."""
        return {"main": self._compared("image", self.image_branch(inputs))[:, None]}

    def encode_clouds(self, inputs: CloudInputs) -> dict[str, Float[Tensor, "b 1 d"]]:
        """The student's descriptors."""
        return {"main": self._compared("cloud", self.cloud_branch(inputs))[:, None]}

    def _compared(self, side: Modality, descriptors: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """As published without normalisation; of unit length if centred, or if both branches are trained together."""
        if self.config.is_centred:
            descriptors = self.centring[side](descriptors)
        is_unit = self.config.is_centred or self.config.joint_stage.epochs
        return functional.normalize(descriptors, dim=1) if is_unit else descriptors

    def stages(self, split: Split) -> Sequence[Stage]:
        """Teacher, local alignment, global alignment; those that are planned for no epoch are left out.

        The stage that trains both branches together is planned for none, except by variants.
        """
        stages = [stage(self, split) for stage in (TeacherStage, LocalStage, GlobalStage, JointStage)]
        return [stage for stage in stages if stage.recipe.epochs]
