"""Where the depth of an image comes from, as a part of a method's configuration and so of every result.

What computes it is in :mod:`methods.layers.depth`; see docs/depth.md.
"""

from dataclasses import dataclass, replace
from typing import Literal

from methods.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthNetwork:
    """Depth from the built-in network, trained as a stage of the method."""

    kind: Literal["network"] = "network"
    height: int = 192
    """Height of the network's input, whatever the camera's. Its output has half of it."""
    width: int = 384
    """Width of the network's input, whatever the camera's. Its output has half of it."""
    channels: tuple[int, ...] = (32, 48, 64, 96, 128)
    """Channels at each resolution; each resolution is half of the one before."""
    jitter: float = 0.2
    """Strength of the colour jitter in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthFiles:
    """Depth from one file a frame, ``FOLDER/FRAME_ID.png`` or ``.npy``; ``FOLDER/depth.json`` says in which unit."""

    kind: Literal["files"] = "files"
    folder: str
    """Folder of the files and of their description."""
    made_by: str = ""
    """What made the files, as their description says."""
    sha256: str = ""
    """Hash of the description and of the files' names and sizes: it identifies the files, wherever they lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthPlugin:
    """Depth from a function of another package."""

    kind: Literal["plug-in"] = "plug-in"
    function: str
    """The function as ``module:function``, or the name of an entry point."""


DepthSource = DepthNetwork | DepthFiles | DepthPlugin
"""Any source of depth; ``kind`` tells them apart in stored results."""

DEPTH_RECIPE = Recipe(epochs=20, batch_size=16, learning_rate=1e-3, learning_rate_floor=1e-5, decay=0.8)
"""How the built-in network is trained: our choice, as the network is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthConfig:
    """Depth of images as a part of a method: its source, and how a source that learns is trained."""

    source: DepthSource = DepthNetwork()
    """Where depth comes from: the built-in network, files, or a plug-in."""
    recipe: Recipe = DEPTH_RECIPE
    """Training of the built-in network; other sources have nothing to train."""


GPU_DEPTH = DepthConfig(recipe=replace(DEPTH_RECIPE, budget_s=120.0))
"""The full network within a time that leaves room for the method itself."""
QUICK_DEPTH = DepthConfig(
    source=DepthNetwork(height=96, width=128, channels=(16, 32, 48, 64)),
    recipe=Recipe(epochs=2, batch_size=8, learning_rate=2e-3, learning_rate_floor=1e-5, decay=0.5, decay_every=1),
)
"""For two CPU cores: about a minute of one core on the small town."""
