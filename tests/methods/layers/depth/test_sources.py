from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from depth_files import describe, write

from benchmark.keys import plain
from benchmark.registry import METHODS
from benchmark.request import MethodOptions, Request
from benchmark.runs.plan import Plan
from benchmark.training.configuring import configure, without_path
from datasets.errors import CrossplaceError
from methods.base import MethodConfig
from methods.batch import Batch
from methods.depth import DepthConfig, DepthFiles, DepthNetwork, DepthPlugin, DepthSource
from methods.layers.depth.files import described_files
from methods.layers.depth.sources import depth_source, with_depth, without_folder


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    depth: DepthConfig = DepthConfig()


def depth_from(source: DepthSource) -> Config:
    return Config(depth=DepthConfig(source=source))


def test_a_result_says_which_source_was_used(tmp_path: Path) -> None:
    describe(tmp_path, made_by="Depth Everywhere v3, small")
    sources = [plain(s) for s in (depth_source("network"), depth_source(str(tmp_path)), DepthPlugin(function="a:b"))]
    assert [source["kind"] for source in sources] == ["network", "files", "plug-in"]
    assert sources[1]["made_by"] == "Depth Everywhere v3, small"
    assert sources[2]["function"] == "a:b"


def test_a_request_names_the_source(tmp_path: Path) -> None:
    describe(tmp_path)
    own = depth_from(DepthNetwork(height=64))
    assert with_depth(own, "network") == own
    assert with_depth(own, "a:b") == depth_from(DepthPlugin(function="a:b"))
    assert with_depth(own, str(tmp_path)) == depth_from(described_files(tmp_path))
    assert with_depth(depth_from(DepthPlugin(function="a:b")), "network") == Config()
    with pytest.raises(CrossplaceError, match=r"--depth network: this method needs no depth"):
        with_depth(MethodConfig(), "network")


def test_the_command_line_s_folder_is_in_the_configuration_and_its_path_is_not_in_the_key(tmp_path: Path) -> None:
    describe(tmp_path)
    method = METHODS.get("lc2")
    config = configure(method, MethodOptions(name="lc2", depth=str(tmp_path)))
    assert config.depth.source == described_files(tmp_path)
    assert without_path(config).depth.source == replace(config.depth.source, folder=tmp_path.name)
    assert configure(method, MethodOptions(name="lc2")) == method.presets["quick"]


def test_perturbed_images_have_no_files_of_their_depth(tmp_path: Path) -> None:
    describe(tmp_path)
    with pytest.raises(CrossplaceError, match=r"--perturb image-blur: depth from files is that of the images as rec"):
        Plan(Request.of(method="lc2", depth=str(tmp_path), perturb="image-blur"))
    assert (
        Plan(Request.of(method="lc2", depth="network", perturb="image-blur")).declared.identity["depth"]["source"][
            "kind"
        ]
        == "network"
    )


def test_an_unknown_source_is_a_sentence() -> None:
    with pytest.raises(CrossplaceError, match=r"depth 'nowhere/at/all': expected network, a folder"):
        depth_source("nowhere/at/all")


def test_files_are_identified_by_what_they_are_and_not_by_where(batch: Batch, tmp_path: Path) -> None:
    folders = [tmp_path / name / "depth" for name in "ab"]
    for folder in folders:
        folder.mkdir(parents=True)
        describe(folder)
        write(folder, batch, np.full((3, 3), 512))
    one, other = (described_files(folder) for folder in folders)

    def identity(files: DepthFiles) -> Any:
        return plain(without_folder(depth_from(files)))

    assert identity(one) == identity(other)
    describe(folders[1], unit_m=0.5)
    assert identity(described_files(folders[1])) != identity(one)
    describe(folders[1])
    (folders[1] / "more.png").write_bytes(b"1")
    assert identity(described_files(folders[1])) != identity(one)
