"""Holes in training images."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from methods.whole_batch import drawn_rows


class CoarseDropout(nn.Module):
    """In training, some rectangles of each image become zero (the mean grey), with a given probability.

    Source: LIP-Loc (albumentations' CoarseDropout), whose values are the defaults. Its sides are 50 to 100 pixels at
    224 × 224, here in shares of the input. The holes are drawn from torch's generator on the CPU, for every device.
    """

    def __init__(
        self,
        probability: float,
        *,
        holes: int = 5,
        heights: tuple[float, float] = (50 / 224, 100 / 224),
        widths: tuple[float, float] = (50 / 224, 100 / 224),
    ) -> None:
        """``heights`` and ``widths`` are the smallest and the largest side of a hole, in shares of the image's side."""
        super().__init__()
        self.probability, self.holes, self.heights, self.widths = probability, holes, heights, widths

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Images with holes."""
        if not self.training or not self.probability:
            return pixels
        n, _, height, width = pixels.shape
        is_hit = drawn_rows(lambda n: torch.rand(n, 1, 1), n) < self.probability
        rows, columns = self._sides(n, height, self.heights), self._sides(n, width, self.widths)
        covered = (rows[..., :, None] & columns[..., None, :]).any(1)
        return pixels.masked_fill((covered & is_hit).to(pixels.device)[:, None], 0.0)

    def _sides(self, n: int, length: int, limits: tuple[float, float]) -> Bool[Tensor, "n holes length"]:
        """Which of ``length`` pixels each hole covers along one axis. Holes lie within the image."""
        smallest, largest = limits
        share = smallest + (largest - smallest) * drawn_rows(self._uniform, n)
        start = drawn_rows(self._uniform, n) * (1 - share)
        pixel = (torch.arange(length) + 0.5) / length
        return (pixel >= start) & (pixel < start + share)

    def _uniform(self, n: int) -> Float[Tensor, "n holes 1"]:
        return torch.rand(n, self.holes, 1)
