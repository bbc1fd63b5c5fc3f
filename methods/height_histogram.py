"""A descriptor without learning: the height of the scene in each image column.

This is the simplest method of the suite. A network that does not beat it has learnt nothing useful.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from methods.base import DescriptorSpec, ImageInput, Method, MethodConfig
from methods.batch import Batch
from methods.card import MethodCard
from methods.layers.projection import network_from_lidar, project, transform_points


@dataclass(frozen=True, kw_only=True)
class HeightHistogramConfig(MethodConfig):
    """Resolution of the skyline and of its histogram."""

    image: ImageInput = ImageInput(height=96, width=128, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    """Size of the image, with colours from 0 to 1. The clouds' skyline has the same columns."""
    bins: int = 16
    """How many numbers the descriptor has."""
    sky_contrast: float = 0.15
    """Smallest difference of grey value (0 to 1) from the top row. The skyline of a column is the first row that
    reaches this difference."""


class HeightHistogram(Method):
    """Histogram of the skyline's height: from image contrast, or from the highest return of each column."""

    card = MethodCard(
        name="height_histogram",
        title="Skyline height histogram",
        paper="none: a training-free floor of this suite",
        venue="none",
        year=2026,
        code="this repository",
        code_licence="MIT",
        modalities="image, cloud",
        trained_on="nothing",
        pretrained="nothing",
        sources="none",
    )
    presets = {"quick": HeightHistogramConfig()}
    is_trainable = False

    def __init__(self, config: HeightHistogramConfig | None = None) -> None:
        super().__init__()
        self.config: HeightHistogramConfig = config or HeightHistogramConfig()
        self.descriptors = (DescriptorSpec(size=self.config.bins, distance="l2"),)

    def cloud_inputs(self, batch: Batch) -> Float[Tensor, "b columns"]:
        """Skyline of the points in view: the highest return of each image column.

        A column without returns gives 1 (the lowest row).
        """
        clouds, columns = batch.require_clouds(), self.config.image.width
        intrinsics, camera_from_lidar = batch.calibration()
        index = clouds.batch_index
        points = transform_points(network_from_lidar(camera_from_lidar), clouds.points, index)
        uv, _, visible = project(points, index, intrinsics)
        cell = index[visible] * columns + (uv[visible, 0] * columns).long()
        skyline = uv.new_ones(len(batch) * columns)
        return skyline.scatter_reduce(0, cell, uv[visible, 1], "amin").view(len(batch), columns)

    def encode_images(self, inputs: Float[Tensor, "b 3 rows columns"]) -> dict[str, Float[Tensor, "b 1 bins"]]:
        """Descriptors of images, from the first row of each column that is not sky."""
        grey = inputs.mean(1)
        solid = (grey - grey[:, :1]).abs() > self.config.sky_contrast
        skyline = torch.where(solid.any(1), solid.float().argmax(1) / self.config.image.height, 1.0)
        return self._histogram(skyline)

    def encode_clouds(self, inputs: Float[Tensor, "b columns"]) -> dict[str, Float[Tensor, "b 1 bins"]]:
        """Descriptors of clouds, from their skyline."""
        return self._histogram(inputs)

    def _histogram(self, skyline: Float[Tensor, "b columns"]) -> dict[str, Float[Tensor, "b 1 bins"]]:
        bins = self.config.bins
        cells = (skyline * bins).long().clamp(0, bins - 1)
        return {"main": functional.one_hot(cells, bins).float().mean(1, keepdim=True)}
