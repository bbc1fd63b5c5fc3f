"""Depth of images from the source that the configuration names: files, a plug-in, or the built-in network.

A depth image holds metres along the optical axis, (batch, 1, height, width), of the whole camera image, and 0 where
depth is unknown. Methods get depth in ``image_inputs``, as they get the image itself. So depth from every source is
timed as preprocessing. See docs/depth.md.
"""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from datasets.errors import CrossplaceError
from methods.base import MethodConfig
from methods.depth import DepthFiles, DepthNetwork, DepthPlugin, DepthSource
from methods.layers.depth.files import DESCRIPTION, FileDepth, described_files
from methods.layers.depth.network import NetworkDepth
from methods.layers.depth.plugins import PLUGINS, PluginDepth, plugin_names
from methods.layers.depth.provider import DepthProvider

Config = TypeVar("Config", bound=MethodConfig)


def depth_provider(source: DepthSource, height: int, width: int) -> DepthProvider:
    """The provider of ``source``, for depth images of this height and width."""
    if isinstance(source, DepthNetwork):
        return NetworkDepth(source, height, width)
    if isinstance(source, DepthFiles):
        return FileDepth(Path(source.folder).expanduser(), height, width)
    return PluginDepth(source.function, height, width)


def depth_source(text: str) -> DepthSource:
    """The source that a person names: ``network``, a folder with depth.json, ``module:function``, or an entry point."""
    if text == "network":
        return DepthNetwork()
    if Path(text).expanduser().is_dir():
        return described_files(Path(text).expanduser())
    if ":" in text or text in plugin_names():
        return DepthPlugin(function=text)
    raise CrossplaceError(
        f"depth {text!r}: expected network, a folder with {DESCRIPTION}, module:function or an entry point of group "
        f"{PLUGINS} ({', '.join(plugin_names()) or 'none is installed'})"
    )


def with_depth(config: Config, text: str) -> Config:
    """``config`` with the source that ``text`` names. ``network`` keeps the preset's own network."""
    if config.depth is None:
        raise CrossplaceError(f"--depth {text}: this method needs no depth from images; leave the option out")
    found = depth_source(text)
    if isinstance(found, DepthNetwork) and isinstance(config.depth.source, DepthNetwork):
        return config
    return replace(config, depth=replace(config.depth, source=found))


def has_depth_files(config: MethodConfig) -> bool:
    """Whether depth comes from files. Files are made from the images as recorded."""
    return config.depth is not None and isinstance(config.depth.source, DepthFiles)


def without_folder(config: Config) -> Config:
    """The configuration without the folder of depth files. The hash of their content identifies the files."""
    if config.depth is None or not isinstance(config.depth.source, DepthFiles):
        return config
    source = replace(config.depth.source, folder=Path(config.depth.source.folder).name)
    return replace(config, depth=replace(config.depth, source=source))
