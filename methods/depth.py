"""The source of the depth of an image. It is part of a method's configuration, and so of every result.

The code that computes depth is in :mod:`methods.layers.depth`. See docs/depth.md.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from datasets.base import ADDED
from methods.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthNetwork:
    """Depth from the built-in network, trained as a stage of the method."""

    kind: Literal["network"] = "network"
    height: int = 192
    """Height of the network's input in pixels, for every camera. The output is half as high."""
    width: int = 384
    """Width of the network's input in pixels, for every camera. The output is half as wide."""
    channels: tuple[int, ...] = (32, 48, 64, 96, 128)
    """Channels at each resolution. Each resolution is half of the previous one."""
    jitter: float = 0.2
    """Strength of the colour jitter in training."""
    has_random_light: bool = field(default=False, metadata=ADDED)
    """Whether training images get random light, colour and noise instead of the jitter. Depth then holds by night."""
    largest_blur: float = field(default=0.01, metadata=ADDED)
    """Largest standard deviation of the blur that comes with random light, in shares of the width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthFiles:
    """Depth from one file a frame, ``FOLDER/FRAME_ID.png`` or ``.npy``. ``FOLDER/depth.json`` names the unit."""

    kind: Literal["files"] = "files"
    folder: str
    """Folder of the depth files and of ``depth.json``."""
    made_by: str = ""
    """Program or model that made the depth files, as ``depth.json`` says."""
    sha256: str = ""
    """SHA-256 of ``depth.json`` and of the names and sizes of the depth files. It identifies the files in any
    folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthPlugin:
    """Depth from a function of another package."""

    kind: Literal["plug-in"] = "plug-in"
    function: str
    """Function of the plug-in as ``module:function``, or the name of an entry point."""


DepthSource = DepthNetwork | DepthFiles | DepthPlugin
"""Any source of depth. Stored results name the source by its ``kind``."""

DEPTH_RECIPE = Recipe(epochs=20, batch_size=16, learning_rate=1e-3, learning_rate_floor=1e-5, decay=0.8)
"""Training of the built-in network. Network and training are our choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthConfig:
    """Depth of images as a part of a method: the source, and the training of a source that learns."""

    source: DepthSource = DepthNetwork()
    """Source of depth: the built-in network, files, or a plug-in."""
    recipe: Recipe = DEPTH_RECIPE
    """Training of the built-in network. Other sources have nothing to train."""


GPU_DEPTH = DepthConfig(recipe=replace(DEPTH_RECIPE, budget_s=120.0))
"""Depth on a GPU: the full network, within a time that leaves room for the method itself."""
QUICK_DEPTH = DepthConfig(
    source=DepthNetwork(height=96, width=128, channels=(16, 32, 48, 64)),
    recipe=Recipe(epochs=2, batch_size=8, learning_rate=2e-3, learning_rate_floor=1e-5, decay=0.5, decay_every=1),
)
"""Depth on two CPU cores: about a minute of one core on the small town."""
