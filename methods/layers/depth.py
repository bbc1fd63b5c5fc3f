"""Depth from one image, from whatever source the configuration names: files, a plug-in, or the built-in network.

A depth image is metres along the optical axis, (batch, 1, height, width), of the whole camera image; 0 where nothing
is known. Methods get it in ``image_inputs``, as they get the image itself: whatever the source, it is timed as
preprocessing. See docs/depth.md.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor
from torch.nn import functional

from datasets.base import Frame
from datasets.errors import CrossplaceError
from datasets.files import read_json, read_npy
from methods.base import Batch, MethodConfig, Stage
from methods.layers.depth_network import DepthNetwork, DepthProvider, DepthStage, NetworkDepth
from methods.recipe import Recipe

DESCRIPTION = "depth.json"
PLUGINS = "crossplace.depth"
"""Entry-point group of plug-ins."""

DepthFunction = Callable[[UInt8[Tensor, "3 h w"], Frame], Float[Tensor, "_ _"]]
"""A plug-in: metres for one RGB image as stored, at any size, on any device; 0 (or no number) where unknown."""

# --- sources -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthFiles:
    """Depth from one file a frame, ``FOLDER/FRAME_ID.png`` or ``.npy``; ``FOLDER/depth.json`` says in which unit."""

    source: Literal["files"] = "files"
    folder: str
    made_by: str = ""
    """What made them, as their description says."""
    sha256: str = ""
    """Of the description and of the names and sizes of the files: what identifies them, wherever they lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthPlugin:
    """Depth from a function of another package, ``"module:function"`` or the name of an entry point."""

    source: Literal["plug-in"] = "plug-in"
    function: str


DepthSource = DepthNetwork | DepthFiles | DepthPlugin
"""Where depth comes from, as a field of a configuration and so of every result."""


def depth_source(text: str) -> DepthSource:
    """What a person names: ``network``, a folder with depth.json, ``module:function``, or an entry point."""
    if text == "network":
        return DepthNetwork()
    if Path(text).expanduser().is_dir():
        return described_files(Path(text).expanduser())
    if ":" in text or text in _plugins():
        return DepthPlugin(function=text)
    raise CrossplaceError(
        f"depth {text!r}: expected network, a folder with {DESCRIPTION}, module:function or an entry point of group "
        f"{PLUGINS} ({', '.join(_plugins()) or 'none is installed'})"
    )


def with_depth(config: MethodConfig, text: str) -> MethodConfig:
    """``config`` with the source that ``text`` names; ``network`` keeps the preset's own network."""
    if not hasattr(config, "depth"):
        raise CrossplaceError(f"--depth {text}: this method needs no depth from images; leave the option out")
    found, own = depth_source(text), config.depth
    if isinstance(found, DepthNetwork) and isinstance(own, DepthNetwork):
        return config
    changed: dict[str, Any] = {"depth": found}
    return replace(config, **changed)


def has_depth_files(config: MethodConfig) -> bool:
    """Whether depth comes from files, made of the images as recorded."""
    return isinstance(getattr(config, "depth", None), DepthFiles)


def without_folder(config: MethodConfig) -> MethodConfig:
    """What identifies a configuration: depth files by what they hold, wherever they lie."""
    depth = getattr(config, "depth", None)
    if not isinstance(depth, DepthFiles):
        return config
    changed: dict[str, Any] = {"depth": replace(depth, folder=Path(depth.folder).name)}
    return replace(config, **changed)


# --- providers -----------------------------------------------------------------------------------


def depth_provider(source: DepthSource, height: int, width: int) -> DepthProvider:
    """The provider of a source, for depth images of this size."""
    if isinstance(source, DepthNetwork):
        return NetworkDepth(source, height, width)
    if isinstance(source, DepthFiles):
        return FileDepth(Path(source.folder).expanduser(), height, width)
    return PluginDepth(source.function, height, width)


def depth_stages(provider: DepthProvider, config: MethodConfig, recipe: Recipe) -> list[Stage]:
    """The stage that trains the provider, if there is anything to train: the first of the method.

    It reads nothing of the configuration but ``depth`` and ``depth_stage``, so that all configurations of all methods
    that agree in these share its outcome.
    """
    if not isinstance(provider, NetworkDepth) or not recipe.epochs:
        return []
    ignores = tuple(f.name for f in fields(config) if f.name not in ("depth", "depth_stage"))
    return [DepthStage(provider, recipe, ignores)]


class FileDepth(DepthProvider):
    """Depth images from files, resized to the nearest stored pixel."""

    def __init__(self, folder: Path, height: int, width: int) -> None:
        super().__init__(height, width)
        self.folder = folder

    @cached_property
    def description(self) -> "Description":
        """Read when the first depth image is asked for."""
        return Description.read(self.folder)

    def forward(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Metres along the optical axis; an error naming the file that is missing or broken."""
        device = batch.require_images()[0].device
        found = [torch.from_numpy(self._read(frame)).to(device) for frame in batch.frames]
        return torch.cat([_resized(depth_m, self.height, self.width) for depth_m in found])

    def _read(self, frame: Frame) -> Float[ndarray, "h w"]:
        path = self.folder / f"{frame.frame_id}.{self.description.format}"
        if not path.is_file():
            raise CrossplaceError(
                f"frame {frame.frame_id}: no depth file {path}; write one for every frame with an image, or choose "
                "another source of depth (docs/depth.md)"
            )
        stored = read_npy(path) if path.suffix == ".npy" else _read_png(path)
        if stored.ndim != 2 or stored.dtype.kind not in "fiu" or 0 in stored.shape:
            raise CrossplaceError(
                f"{path}: expected one number a pixel (height, width), found {stored.dtype} {stored.shape}"
            )
        depth_m = stored.astype(np.float32) * np.float32(self.description.unit_m)
        return np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(0))


class PluginDepth(DepthProvider):
    """Depth images from another package, resized to the nearest of its pixels."""

    function: DepthFunction

    def __init__(self, function: str, height: int, width: int) -> None:
        super().__init__(height, width)
        self.name = function
        self.__dict__["function"] = _load(function)  # no part of the method, even where it is a module itself

    @torch.no_grad()
    def forward(self, batch: Batch) -> Float[Tensor, "b 1 height width"]:
        """Metres along the optical axis, image by image: no plug-in sees what else is in the batch."""
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
        return _resized(depth_m, self.height, self.width)


def _resized(depth_m: Float[Tensor, "h w"], height: int, width: int) -> Float[Tensor, "1 1 height width"]:
    """Nearest pixel: means of near and far, and of known and unknown, are depths of nothing."""
    return functional.interpolate(depth_m[None, None], size=(height, width), mode="nearest-exact")


# --- files ---------------------------------------------------------------------------------------


class Description(BaseModel):
    """Content of ``depth.json``."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["png", "npy"]
    """Files as 16-bit grey PNG, or as arrays."""
    unit_m: float = Field(gt=0, allow_inf_nan=False)
    """Metres that a stored 1 means: 1/256 in KITTI's depth PNGs, 0.001 for millimetres, 1 for metres."""
    made_by: str = Field(min_length=1)
    """Which network or sensor, in a few words; stands beside every result."""

    @classmethod
    def read(cls, folder: Path) -> "Description":
        """Read ``folder/depth.json``; whatever is wrong with it is said in one sentence."""
        path = folder / DESCRIPTION
        expected = 'expected {"format": "png" or "npy", "unit_m": metres a stored 1 means, "made_by": "what made them"}'
        if not path.is_file():
            raise CrossplaceError(f"{path}: no such file, so the unit of the depth files is unknown; {expected}")
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise CrossplaceError(f"{path}: {where}: {first['msg']}; {expected}") from error


def described_files(folder: Path) -> DepthFiles:
    """The folder as a source, with what identifies its content."""
    description = Description.read(folder)
    files = sorted(
        (p.relative_to(folder).as_posix(), p.stat().st_size) for p in folder.rglob(f"*.{description.format}")
    )
    listing = json.dumps([description.model_dump(), files])
    sha256 = hashlib.sha256(listing.encode()).hexdigest()
    return DepthFiles(folder=str(folder), made_by=description.made_by, sha256=sha256)


def _read_png(path: Path) -> ndarray:
    try:
        with Image.open(path) as image:
            if image.mode not in ("I;16", "I;16B", "I"):
                raise CrossplaceError(f"{path}: expected a 16-bit grey PNG, found mode {image.mode}")
            return np.asarray(image).astype(np.int32)
    except (OSError, ValueError, SyntaxError) as error:
        raise CrossplaceError(f"{path}: not a readable PNG ({error}); write it again") from error


# --- plug-ins ------------------------------------------------------------------------------------


def _plugins() -> Sequence[str]:
    return sorted(entry_points(group=PLUGINS).names)


def _load(function: str) -> DepthFunction:
    """The function that ``module:function``, or an entry point of that name, stands for."""
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
