"""The common form of all sources of depth."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from methods.batch import Batch


class DepthProvider(nn.Module):
    """A source of depth as a module: from a batch to its depth images, all of one size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Metres along the optical axis, 0 where unknown."""
        raise NotImplementedError


def resized(depth_m: Float[Tensor, "h w"], height: int, width: int) -> Float[Tensor, "1 1 height width"]:
    """Resize to the nearest pixel.

    A mean of near and far, or of known and unknown, is the depth of no object.
    """
    return functional.interpolate(depth_m[None, None], size=(height, width), mode="nearest-exact")
