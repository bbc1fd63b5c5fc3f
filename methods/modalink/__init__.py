"""ModaLink: images and clouds in the camera's plane through one network (IROS 2024, arXiv 2403.18762)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.v2 import functional as image_ops

from datasets.base import Split
from methods.base import DescriptorSpec, Method, Stage
from methods.batch import Batch
from methods.card import MethodCard
from methods.layers.camera_plane import densified, depth_image, without_upper_rows
from methods.modalink.config import PRESETS, VARIANTS, ModaLinkConfig
from methods.modalink.network import SharedNetwork
from methods.modalink.stages import SharedStage


class ModaLink(Method):
    """The cloud becomes a dense depth image of what the camera sees; one network describes both."""

    card = MethodCard(
        name="modalink",
        title="ModaLink: Unifying Modalities for Efficient Image-to-PointCloud Place Recognition",
        paper="Xie, Luo, Ye, Ren, Du, Wang, Xu, Ai, Gu, Chen, arXiv 2403.18762",
        venue="IROS",
        year=2024,
        code="https://github.com/haomo-ai/ModaLink",
        code_licence="GPL-3.0; nothing of it was used",
        modalities="image, cloud",
        trained_on="KITTI odometry: the first 3,000 frames of one sequence; HAOMO (private)",
        pretrained="ResNet-34 from ImageNet (the shared encoder)",
        sources="a description of the architecture and of the training; behaviour of the authors' code at 6a7e6b5",
        deviations=(
            "each frame factorised by itself (published: the batch together; variant nmf-per-batch), always 50 "
            "updates from one start; densification by windows on the device (published: 50 nearest neighbours and "
            "hole filling); negatives from the batch, both modalities as anchors; branches of equal weight, unit "
            "length in all; shape of the MLP branch, brightness of depth and weight decay (0) are not published. "
            "Preset quick takes all negatives of a batch beyond 20 m (published: the hardest beyond 2 m)"
        ),
    )
    presets = PRESETS
    variants = VARIANTS
    tunes = {
        "recipe.learning_rate": (6e-4, 2.4e-3),
        "recipe.decay": (0.85,),
        "recipe.batch_size": (32,),
        "margin": (0.5, 0.15),
        "map_margin": (0.0, 0.1),
        "negative_m": (10.0,),
    }

    def __init__(self, config: ModaLinkConfig | None = None) -> None:
        super().__init__()
        self.config: ModaLinkConfig = config or ModaLinkConfig()
        self.network = SharedNetwork(self.config)
        self.descriptors = (DescriptorSpec(size=self.network.descriptor_size, distance="l2"),)

    def image_inputs(self, batch: Batch) -> Float[Tensor, "b 3 height width"]:
        """The lower part of each camera image, resized and normalised."""
        images = batch.require_images()
        return self.config.image([image[:, round(self.config.upper_cut * image.shape[1]) :] for image in images])

    def cloud_inputs(self, batch: Batch) -> Float[Tensor, "b 3 height width"]:
        """Depth of what the camera sees, densified, as a grey image: three equal channels, black where unknown."""
        clouds = batch.require_clouds()
        intrinsics, camera_from_lidar = batch.calibration()
        config = self.config
        seen = depth_image(
            clouds.points,
            clouds.batch_index,
            camera_from_lidar,
            without_upper_rows(intrinsics, config.upper_cut),
            *config.image.size,
        )
        grey = (densified(seen, config.fill_radius, config.fill_passes) / config.far_m).clamp(max=1.0)
        return image_ops.normalize(grey.repeat(1, 3, 1, 1), list(config.image.mean), list(config.image.std))

    def encode_images(self, inputs: Float[Tensor, "b 3 height width"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of the network that both modalities share."""
        return {"main": self.network(inputs)[:, None]}

    def encode_clouds(self, inputs: Float[Tensor, "b 3 height width"]) -> dict[str, Float[Tensor, "b 1 d"]]:
        """Descriptors of the network that both modalities share."""
        return {"main": self.network(inputs)[:, None]}

    def stages(self, split: Split) -> Sequence[Stage]:
        """One stage; what counts as another place is the method's own choice."""
        return [SharedStage(self)]
