"""The same street under other light, for training: what a camera may record of it on another day."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as image_ops

from datasets.base import ADDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Relighting:
    """Strengths of random changes of light, colour and noise. Each is 0 for no change."""

    exposure: float = 0.4
    """Largest change of brightness, of contrast and of saturation, as a share."""
    gamma: float = 0.5
    """Standard deviation of the logarithm of the exponent of all values."""
    cast: float = 0.15
    """Standard deviation of the logarithm of each channel's factor."""
    grey_probability: float = 0.2
    """Probability of an image without colour."""
    ramp: float = 1.0
    """Largest logarithm of a factor that grows from the middle to an edge, as of a low sun. Half the images have it."""
    patches: float = 0.7
    """Standard deviation of the logarithm of a factor that varies over a 4 × 5 grid, as of lamps and shadows. Half the
    images have it."""
    ground_probability: float = 0.3
    """Probability of a bright lower part of the image, as of a wet road or snow."""
    blur_probability: float = 0.4
    """Probability of a Gaussian blur."""
    blur: float = field(default=0.01, metadata=ADDED)
    """Largest standard deviation of the blur, in shares of the width. The least is 0.002."""
    noise: float = 0.06
    """Largest standard deviation of noise, in shares of white."""

    def __call__(self, image: UInt8[Tensor, "3 h w"], rng: np.random.Generator) -> UInt8[Tensor, "3 h w"]:
        """The image with random changes. All randomness comes from ``rng``."""
        pixels = self._coloured(image.float() / 255, rng)
        pixels = pixels * self._light(pixels, rng)
        if rng.random() < self.ground_probability:
            pixels = _with_bright_ground(pixels, rng)
        if rng.random() < self.blur_probability:
            sigma = float(rng.uniform(0.002, self.blur)) * pixels.shape[2]
            pixels = image_ops.gaussian_blur(pixels, [2 * math.ceil(2 * sigma) + 1] * 2, [sigma, sigma])
        if self.noise:
            grain = torch.from_numpy(rng.standard_normal(pixels.shape, dtype=np.float32))
            pixels = pixels + grain * float(rng.uniform(0, self.noise))
        return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)

    def _coloured(self, pixels: Float[Tensor, "3 h w"], rng: np.random.Generator) -> Float[Tensor, "3 h w"]:
        """Brightness, contrast, saturation, exponent, cast; and no colour at all."""
        brightness, contrast, saturation = rng.uniform(1 - self.exposure, 1 + self.exposure, size=3).tolist()
        pixels = pixels * brightness
        pixels = torch.lerp(pixels.mean(), pixels, contrast)
        pixels = torch.lerp(pixels.mean(0, keepdim=True), pixels, saturation)
        exponent = float(np.exp(rng.normal(0, self.gamma)))
        factors = torch.from_numpy(np.exp(rng.normal(0, self.cast, size=(3, 1, 1)))).float()
        pixels = pixels.clamp(1e-3, 1) ** exponent * factors
        return pixels.mean(0, keepdim=True).expand(3, -1, -1) if rng.random() < self.grey_probability else pixels

    def _light(self, pixels: Float[Tensor, "3 h w"], rng: np.random.Generator) -> Float[Tensor, "h w"]:
        """Factor of each pixel: a ramp and a patchwork, each in half the images."""
        height, width = pixels.shape[1:]
        logarithm = torch.zeros(height, width)
        if self.ramp and rng.random() < 0.5:
            down, right = rng.uniform(-self.ramp, self.ramp, size=2).tolist()
            logarithm = down * torch.linspace(-1, 1, height)[:, None] + 0.7 * right * torch.linspace(-1, 1, width)
        if self.patches and rng.random() < 0.5:
            coarse = torch.from_numpy(rng.normal(0, self.patches, size=(1, 1, 4, 5))).float()
            logarithm = logarithm + functional.interpolate(coarse, (height, width), mode="bicubic")[0, 0]
        return logarithm.exp()


def _with_bright_ground(pixels: Float[Tensor, "3 h w"], rng: np.random.Generator) -> Float[Tensor, "3 h w"]:
    """All rows below a random one, 45 to 70 % down, become nearly one bright grey."""
    first = int(pixels.shape[1] * rng.uniform(0.45, 0.7))
    share, grey = rng.uniform(0.3, 1.0), rng.uniform(0.6, 1.0)
    changed = pixels.clone()
    changed[:, first:] = torch.lerp(changed[:, first:], torch.tensor(float(grey)), float(share))
    return changed
