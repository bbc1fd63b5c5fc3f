"""What every source of depth becomes."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from methods.batch import Batch


class DepthProvider(nn.Module):
    """What every source of depth becomes: a module from a batch to its depth images, all of one size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Metres along the optical axis, 0 where unknown."""
        raise NotImplementedError


def resized(depth_m: Float[Tensor, "h w"], height: int, width: int) -> Float[Tensor, "1 1 height width"]:
    """Nearest pixel: means of near and far, and of known and unknown, are depths of nothing."""
    return functional.interpolate(depth_m[None, None], size=(height, width), mode="nearest-exact")
