"""Depth from a function of another package, found by name or through an entry point."""

import importlib
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from datasets.base import Frame
from datasets.errors import CrossplaceError
from methods.batch import Batch
from methods.layers.depth.provider import DepthProvider, resized

PLUGINS = "crossplace.depth"
"""Entry-point group of plug-ins."""

DepthFunction = Callable[[UInt8[Tensor, "3 h w"], Frame], Float[Tensor, "_ _"]]
"""Type of a plug-in. From one RGB image as stored it makes depth in metres, at any size, on any device. Unknown depth
is 0 or not a number."""


def plugin_names() -> Sequence[str]:
    """Names of the installed entry points, sorted."""
    return sorted(entry_points(group=PLUGINS).names)


class PluginDepth(DepthProvider):
    """Depth images from another package, resized to the nearest of its pixels."""

    function: DepthFunction

    def __init__(self, function: str, height: int, width: int) -> None:
        super().__init__(height, width)
        self.name = function
        self.__dict__["function"] = _load(function)  # not a submodule of the method, even if it is a module

    @torch.no_grad()
    def forward(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Metres along the optical axis, image by image. A plug-in does not see the other frames of the batch."""
        pairs = zip(batch.require_images(), batch.frames, strict=True)
        return torch.cat([self._depth_of(image, frame) for image, frame in pairs])

    def _depth_of(self, image: UInt8[Tensor, "3 h w"], frame: Frame) -> Float[Tensor, "1 1 height width"]:
        found = self.function(image, frame)
        if not isinstance(found, Tensor) or found.ndim != 2 or not found.is_floating_point() or not found.numel():
            what = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise CrossplaceError(
                f"depth plug-in {self.name}, frame {frame.frame_id}: expected a float tensor (height, width) of "
                f"metres, got {what}"
            )
        depth_m = found.to(image.device, torch.float32)
        depth_m = torch.where(depth_m.isfinite() & (depth_m > 0), depth_m, 0.0)
        return resized(depth_m, self.height, self.width)


def _load(function: str) -> DepthFunction:
    """The function with this ``module:function``, or the entry point with this name."""
    value = function
    if ":" not in function:
        found = {point.name: point.value for point in entry_points(group=PLUGINS)}
        value = found.get(function, "")
        if not value:
            raise CrossplaceError(
                f"depth plug-in {function!r}: no entry point of group {PLUGINS}; installed: "
                f"{', '.join(found) or 'none'}. Give module:function, or install its package"
            )
    module, _, attribute = value.partition(":")
    try:
        loaded = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise CrossplaceError(
            f"depth plug-in {function!r} cannot be imported ({error}); expected module:function on the Python path"
        ) from error
    if not callable(loaded):
        raise CrossplaceError(f"depth plug-in {function!r}: {type(loaded).__name__} cannot be called")
    return loaded
