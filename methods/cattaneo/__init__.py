"""Global visual localization through a shared 2D-3D embedding space (Cattaneo et al., ICRA 2020, arXiv 1910.04871)."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from datasets.base import Split
from methods.base import DescriptorSpec, Method, Stage
from methods.batch import Batch
from methods.card import MethodCard
from methods.cattaneo.config import PRESETS, VARIANTS, CattaneoConfig
from methods.cattaneo.networks import CloudBranch, CloudInputs, ImageBranch
from methods.layers.netvlad import initialise_clusters
from methods.learning import distillation
from methods.learning.normalisation import measured_statistics


class Cattaneo(Method):
    """An image teacher with its own embedding, and a voxel student that learns to place clouds in it.

    The paper studies several architectures and losses; this is the one that VXP's authors compare with.
    """

    card = MethodCard(
        name="cattaneo",
        title="Global visual localization in LiDAR-maps through shared 2D-3D embedding space",
        paper="Cattaneo, Vaghi, Fontana, Ballardini, Sorrenti, arXiv 1910.04871",
        venue="ICRA",
        year=2020,
        code="none by the authors; https://github.com/yunjinli/vxp has the re-implementation that is followed here",
        code_licence="none (re-implementation: MIT)",
        modalities="image, cloud",
        trained_on="Oxford RobotCar (paper); Oxford RobotCar, KITTI, ViViD++ (VXP's authors; one model each)",
        pretrained="VGG16 from ImageNet (images)",
        sources="architecture, losses and schedules of the re-implementation by VXP's authors, read at commit 8303725",
        deviations=(
            "each frame's own calibration, as in vxp (published: one per dataset, swapped axes on KITTI and ViViD++); "
            "ragged voxels, fullest kept (published: 35 padded slots, file order); NetVLAD starts from clusters of "
            "features, the student's normalisations from their statistics (published: random, 0 and 1); teacher "
            "without gradients; a last, smaller batch is kept. Preset quick takes all triplets and starts the "
            "student's last normalisation at the teacher's spread and mean"
        ),
    )
    presets = PRESETS
    variants = VARIANTS
    tunes = {
        "student.learning_rate": (1e-3, 4e-3),
        "student.decay": (0.7,),
        "student.batch_size": (16,),
        "teacher.learning_rate": (1.2e-3, 3e-4),
        "teacher.decay": (0.8,),
        "dropout": (0.0,),
    }

    def __init__(self, config: CattaneoConfig | None = None) -> None:
        super().__init__()
        self.config: CattaneoConfig = config or CattaneoConfig()
        self.descriptors = (DescriptorSpec(size=self.config.descriptor_size, distance="l2"),)
        self.image_branch = ImageBranch(self.config)
        self.cloud_branch = CloudBranch(self.config)

    def cloud_inputs(self, batch: Batch) -> CloudInputs:
        """Points in the camera-centred network frame, voxelized.

        Deviation: by each frame's own calibration; published with one for all, axes swapped on KITTI and ViViD++.
        """
        return self.cloud_branch.inputs(batch)

    def encode_images(self, inputs: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """The teacher's descriptors."""
        return {"main": self.image_branch(inputs)[:, None]}

    def encode_clouds(self, inputs: CloudInputs) -> dict[str, Float[Tensor, "b 1 d"]]:
        """The student's descriptors."""
        return {"main": self.cloud_branch(inputs)[:, None]}

    def stages(self, split: Split) -> Sequence[Stage]:
        """Teacher, then student."""
        return [TeacherStage(self, split), StudentStage(self)]


class TeacherStage(distillation.TeacherStage):
    """Image descriptors by triplets of images of the same and of other places."""

    ignores = (
        *("grid", "max_voxels", "feature_channels", "widths", "aspp_channels", "aspp_rates", "dropout"),
        *("scale_from_teacher", "student", "teacher_features"),
    )

    def __init__(self, method: Cattaneo, split: Split) -> None:
        super().__init__(method, method.image_branch, method.config, split)


class StudentStage(distillation.StudentStage):
    """The cloud's descriptor towards the frozen teacher's descriptor of the same frame."""

    name = "student"
    student: CloudBranch

    def __init__(self, method: Cattaneo) -> None:
        config = method.config
        super().__init__(method, method.image_branch, method.cloud_branch, config.student, config.augmentation)
        self.is_scaled_as_teacher = config.scale_from_teacher

    def before(self, batches: Iterable[Batch]) -> None:
        """Clusters of the untrained features, and the running statistics that go with them; new ones leave only biases.

        Deviation: published with random centres and statistics 0 and 1. These follow training by a hundredth a step, so
        that a short training is evaluated with statistics of nothing. If the configuration says so, the student's
        descriptors start with the spread and the mean of the teacher's.
        """
        targets: list[Tensor] = []

        def cells() -> Iterator[Tensor]:
            for batch in batches:
                targets.append(self.teacher(self.method.image_inputs(batch)))
                yield self.student.feature_map(self.method.cloud_inputs(batch)).movedim(1, -1).flatten(0, 2)

        with measured_statistics(self.student):
            initialise_clusters(self.student.pool, cells())
        if targets and self.is_scaled_as_teacher:
            spread, mean = torch.std_mean(torch.cat(targets), dim=0, correction=0)
            self.student.head.norm.weight.copy_(spread)
            self.student.head.norm.bias.copy_(mean)
