import json
import sys
import types
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmark.frames.loading import load_sample
from benchmark.keys import plain
from benchmark.registry import METHODS
from benchmark.request import Request
from benchmark.runs.bench import Bench
from benchmark.training.configuring import configure, without_path
from datasets.base import Frame, Selection, Split
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.base import Batch, MethodConfig, collate
from methods.layers import depth
from methods.layers.depth import (
    DepthFiles,
    DepthPlugin,
    DepthSource,
    depth_provider,
    depth_source,
    depth_stages,
    described_files,
    with_depth,
    without_folder,
)
from methods.layers.depth_network import DepthNetwork, NetworkDepth
from methods.recipe import Recipe


@pytest.fixture
def batch(small_world: PreparedDataset) -> Batch:
    """Two frames; images of 32 × 24."""
    return collate([load_sample(small_world, small_world.frame(row), ("image",)) for row in (0, 5)])


def describe(folder: Path, **changes: Any) -> None:
    content = {"format": "png", "unit_m": 1 / 256, "made_by": "a test"} | changes
    (folder / "depth.json").write_text(json.dumps(content))


def write(folder: Path, batch: Batch, stored: np.ndarray, kind: str = "png") -> None:
    for number, frame in enumerate(batch.frames):
        array = stored + number
        if kind == "npy":
            np.save(folder / f"{frame.frame_id}.npy", array)
        else:
            Image.fromarray(array.astype(np.uint16)).save(folder / f"{frame.frame_id}.png")


# --- files ---------------------------------------------------------------------------------------


def test_pngs_are_read_in_their_unit_with_zero_as_unknown(batch: Batch, tmp_path: Path) -> None:
    describe(tmp_path)
    write(tmp_path, batch, np.array([[0, 256], [2560, 65000]]))
    found = depth_provider(described_files(tmp_path), 2, 2)(batch)
    assert found.shape == (2, 1, 2, 2)
    torch.testing.assert_close(found[0, 0], torch.tensor([[0.0, 1.0], [10.0, 65000 / 256]]))
    torch.testing.assert_close(found[1, 0], torch.tensor([[1.0, 257.0], [2561.0, 65001.0]]) / 256)


def test_arrays_are_read_in_their_unit_and_what_is_no_distance_is_unknown(batch: Batch, tmp_path: Path) -> None:
    describe(tmp_path, format="npy", unit_m=0.001)
    write(tmp_path, batch, np.array([[np.nan, np.inf, -3.0], [1500.0, 0.0, 20000.0]]), "npy")
    found = depth_provider(described_files(tmp_path), 2, 3)(batch)
    torch.testing.assert_close(found[0, 0], torch.tensor([[0.0, 0.0, 0.0], [1.5, 0.0, 20.0]]))


def test_stored_pixels_are_never_mixed(batch: Batch, tmp_path: Path) -> None:
    """Between 2 m and 50 m, or beside unknown ones, there is no depth in between."""
    describe(tmp_path, format="npy", unit_m=1.0)
    write(tmp_path, batch, np.array([[2.0, 50.0], [0.0, 2.0]]), "npy")
    larger, smaller = (depth_provider(described_files(tmp_path), *size)(batch)[0] for size in ((7, 9), (1, 1)))
    assert set(larger.unique().tolist()) == {0.0, 2.0, 50.0}
    assert smaller.item() in (0.0, 2.0, 50.0)


def test_a_frame_id_with_a_folder_is_a_file_in_a_folder(batch: Batch, tmp_path: Path) -> None:
    describe(tmp_path)
    batch.frames = tuple(replace(frame, frame_id=f"00/{frame.frame_id}") for frame in batch.frames)
    (tmp_path / "00").mkdir()
    write(tmp_path, batch, np.full((3, 3), 512))
    assert depth_provider(described_files(tmp_path), 3, 3)(batch)[0].unique().tolist() == [2.0]


def test_a_missing_file_is_named(batch: Batch, tmp_path: Path) -> None:
    describe(tmp_path)
    write(tmp_path, batch, np.full((3, 3), 512))
    missing = tmp_path / f"{batch.frames[1].frame_id}.png"
    missing.unlink()
    with pytest.raises(CrossplaceError, match=f"{batch.frames[1].frame_id}: no depth file {missing}"):
        depth_provider(described_files(tmp_path), 3, 3)(batch)


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        ("png", b"", "not a readable PNG"),
        ("png", b"\x89PNG\r\n\x1a\n but no more", "not a readable PNG"),
        ("npy", b"\x93NUMPY", "npy"),
        ("npy", np.zeros((2, 2, 3)), r"expected one number a pixel \(height, width\), found float64 \(2, 2, 3\)"),
        ("npy", np.zeros((0, 4)), "expected one number a pixel"),
        ("npy", np.array([["far", "near"]]), "expected one number a pixel"),
        ("png", np.zeros((4, 4, 3), dtype=np.uint8), "expected a 16-bit grey PNG, found mode RGB"),
        ("png", np.zeros((4, 4), dtype=np.uint8), "expected a 16-bit grey PNG, found mode L"),
    ],
)
def test_a_broken_file_is_a_sentence(batch: Batch, tmp_path: Path, kind: str, content: Any, says: str) -> None:
    describe(tmp_path, format=kind)
    write(tmp_path, batch, np.full((3, 3), 512), kind)
    path = tmp_path / f"{batch.frames[0].frame_id}.{kind}"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif kind == "npy":
        np.save(path, content)
    else:
        Image.fromarray(content).save(path)
    with pytest.raises(CrossplaceError, match=says) as error:
        depth_provider(described_files(tmp_path), 3, 3)(batch)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.95])
def test_a_png_that_ends_early_is_a_sentence(batch: Batch, tmp_path: Path, cut: float) -> None:
    describe(tmp_path)
    write(tmp_path, batch, np.random.default_rng(0).integers(1, 65000, (20, 30)))
    path = tmp_path / f"{batch.frames[0].frame_id}.png"
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    with pytest.raises(CrossplaceError, match=path.name):
        depth_provider(described_files(tmp_path), 3, 3)(batch)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"unit_m": 0}, "unit_m"),
        ({"unit_m": -1.0}, "unit_m"),
        ({"unit_m": "metres"}, "unit_m"),
        ({"format": "exr"}, "format"),
        ({"made_by": ""}, "made_by"),
        ({"scale": 2}, "scale"),
    ],
)
def test_a_description_that_says_no_unit_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    describe(tmp_path, **changes)
    with pytest.raises(CrossplaceError, match=rf"depth\.json: {says}.*expected"):
        described_files(tmp_path)


def test_a_folder_without_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match="unit of the depth files is unknown"):
        depth_source(str(tmp_path))


def test_files_are_identified_by_what_they_are_and_not_by_where(batch: Batch, tmp_path: Path) -> None:
    folders = [tmp_path / name / "depth" for name in "ab"]
    for folder in folders:
        folder.mkdir(parents=True)
        describe(folder)
        write(folder, batch, np.full((3, 3), 512))
    one, other = (described_files(folder) for folder in folders)

    def identity(files: DepthFiles) -> Any:
        return plain(without_folder(Config(depth=files)))

    assert identity(one) == identity(other)
    describe(folders[1], unit_m=0.5)
    assert identity(described_files(folders[1])) != identity(one)
    describe(folders[1])
    (folders[1] / "more.png").write_bytes(b"1")
    assert identity(described_files(folders[1])) != identity(one)


# --- plug-ins ------------------------------------------------------------------------------------


def constant(image: Tensor, frame: Frame) -> Tensor:
    """As far as the image is bright."""
    return image[0, ::2, ::2].float() + 1


@pytest.fixture
def plugin_module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("a_depth_plugin")
    module.constant = constant  # type: ignore[attr-defined]
    module.number = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_depth_plugin", module)
    return module


def test_a_plugin_sees_image_by_image(batch: Batch, plugin_module: types.ModuleType) -> None:
    provider = depth_provider(depth_source("a_depth_plugin:constant"), 12, 16)
    found = provider(batch)
    torch.testing.assert_close(found[:, 0], torch.stack([image[0, ::2, ::2].float() + 1 for image in batch.images]))


def test_a_plugin_that_is_a_network_is_no_part_of_the_method(batch: Batch, plugin_module: types.ModuleType) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, image: Tensor, frame: Frame) -> Tensor:
            return image[0].float() * self.scale

    plugin_module.network = Network()  # type: ignore[attr-defined]
    provider = depth_provider(DepthPlugin(function="a_depth_plugin:network"), 24, 32)
    assert list(provider.state_dict()) == []
    found = provider(batch)
    assert not found.requires_grad
    torch.testing.assert_close(found[0, 0], 2 * batch.images[0][0].float())


@pytest.mark.parametrize(
    ("answer", "says"),
    [(3.0, "got float"), (torch.zeros(1, 2, 2), r"\(1, 2, 2\)"), (torch.zeros(2, 2, dtype=torch.int), "int32")],
)
def test_a_plugin_that_answers_nonsense_is_named(
    batch: Batch, plugin_module: types.ModuleType, answer: Any, says: str
) -> None:
    plugin_module.nonsense = lambda image, frame: answer  # type: ignore[attr-defined]
    with pytest.raises(CrossplaceError, match=rf"a_depth_plugin:nonsense, frame {batch.frames[0].frame_id}.*{says}"):
        depth_provider(DepthPlugin(function="a_depth_plugin:nonsense"), 2, 2)(batch)


@pytest.mark.parametrize("name", ["no_such_module:f", "a_depth_plugin:missing", "a_depth_plugin:number", ":", "x:"])
def test_a_plugin_that_cannot_be_had_is_a_sentence(plugin_module: types.ModuleType, name: str) -> None:
    with pytest.raises(CrossplaceError, match=name):
        depth_provider(DepthPlugin(function=name), 2, 2)


def test_an_entry_point_is_a_plugin(
    batch: Batch, plugin_module: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint(name="bright", value="a_depth_plugin:constant", group=depth.PLUGINS)
    monkeypatch.setattr(depth, "entry_points", lambda group: EntryPoints([point] if group == depth.PLUGINS else []))
    source = depth_source("bright")
    assert source == DepthPlugin(function="bright")
    assert depth_provider(source, 4, 4)(batch).shape == (2, 1, 4, 4)
    with pytest.raises(CrossplaceError, match=r"no entry point.*installed: bright"):
        depth_provider(DepthPlugin(function="dark"), 4, 4)


# --- what the sources share ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    depth: DepthSource = DepthNetwork()
    depth_stage: Recipe = Recipe(epochs=1, batch_size=2, learning_rate=1e-3, learning_rate_floor=0.0)
    other: int = 0


def test_a_result_says_which_source_was_used(tmp_path: Path) -> None:
    describe(tmp_path, made_by="Depth Everywhere v3, small")
    sources = [plain(s) for s in (depth_source("network"), depth_source(str(tmp_path)), DepthPlugin(function="a:b"))]
    assert [source["source"] for source in sources] == ["network", "files", "plug-in"]
    assert sources[1]["made_by"] == "Depth Everywhere v3, small"
    assert sources[2]["function"] == "a:b"


def test_a_request_names_the_source(tmp_path: Path) -> None:
    describe(tmp_path)
    own = Config(depth=DepthNetwork(height=64))
    assert with_depth(own, "network") == own
    assert with_depth(own, "a:b") == Config(depth=DepthPlugin(function="a:b"))
    assert with_depth(own, str(tmp_path)) == Config(depth=described_files(tmp_path))
    assert with_depth(Config(depth=DepthPlugin(function="a:b")), "network") == Config()
    with pytest.raises(CrossplaceError, match=r"--depth network: this method needs no depth"):
        with_depth(MethodConfig(), "network")


def test_the_command_line_s_folder_is_in_the_configuration_and_its_path_is_not_in_the_key(tmp_path: Path) -> None:
    describe(tmp_path)
    method = METHODS.get("lc2")
    config = configure(method, Request(method="lc2", depth=str(tmp_path)))
    assert config.depth == described_files(tmp_path)
    assert without_path(config).depth == replace(config.depth, folder=tmp_path.name)
    assert configure(method, Request(method="lc2")) == method.presets["quick"]


def test_perturbed_images_have_no_files_of_their_depth(tmp_path: Path) -> None:
    describe(tmp_path)
    with pytest.raises(CrossplaceError, match=r"--perturb image-blur: depth from files is that of the images as rec"):
        Bench(Request(method="lc2", depth=str(tmp_path), perturb="image-blur"))
    assert Bench(Request(method="lc2", depth="network", perturb="image-blur")).config.depth.source == "network"


def test_an_unknown_source_is_a_sentence() -> None:
    with pytest.raises(CrossplaceError, match=r"depth 'nowhere/at/all': expected network, a folder"):
        depth_source("nowhere/at/all")


def test_only_the_network_is_trained_and_reads_nothing_else(tmp_path: Path) -> None:
    config = Config()
    [stage] = depth_stages(depth_provider(config.depth, 8, 8), config, config.depth_stage)
    assert set(stage.ignores) == {"weights", "weights_sha256", "other"}
    plugin = depth_provider(DepthPlugin(function="math:sqrt"), 8, 8)
    assert depth_stages(plugin, config, config.depth_stage) == []
    assert depth_stages(NetworkDepth(DepthNetwork(), 8, 8), config, replace(config.depth_stage, epochs=0)) == []


def test_methods_start_one_depth_network_alike_under_one_name() -> None:
    """What lets them share the stage that trains it: presets that agree, names that agree, weights that agree."""
    found = []
    for name in ("i2prec", "lc2", "rangebev"):
        torch.manual_seed(3)
        kind = METHODS.get(name)
        method = kind(kind.presets["quick"])
        first = method.stages(Split(train=Selection(), validation=Selection()))[0]
        assert (first.name, first.is_shared) == ("depth", True)
        [network] = first.trainable()
        assert network is method.depth.network
        found.append((method.config.depth, method.config.depth_stage, network.state_dict()))
    for source, recipe, state in found[1:]:
        assert (source, recipe) == found[0][:2]
        assert all(torch.equal(state[key], value) for key, value in found[0][2].items())
        assert state.keys() == found[0][2].keys()
