"""Where the weights of a row come from: training, the suite, a file, or nowhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import KEYS, Job, changed, forbid, keys
from safetensors.torch import load_file

import benchmark
from benchmark.frames.preparing import locate, prepare
from benchmark.runs import plan as planning
from benchmark.training.checkpoint import save_weights
from datasets.errors import CrossplaceError
from datasets.files import sha256_of
from datasets.prepared import PreparedDataset
from methods.card import ShippedWeights


def test_untrained_means_untrained(job: Callable[..., Job], toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, "train")
    row = job(untrained=True, seed=5)
    record = row.run()[0].method
    assert (record.weights, record.share_of_schedule, record.weights_sha256) == ("untrained", None, "")
    assert row.weights_file is None
    found = row.train().state_dict()
    torch.manual_seed(5)
    torch.testing.assert_close(found, toy.Toy().state_dict(), rtol=0, atol=0)


@pytest.fixture
def shipped(toy: Any, small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShippedWeights:
    """The toy comes with weights for the small world and seed 0."""
    file = tmp_path / "shipped.safetensors"
    save_weights(toy.Toy(), file)
    weights = ShippedWeights(
        preset="quick",
        fingerprint=prepare(locate(str(small_world.folder), None)).fingerprint,
        seed=0,
        file=file,
        sha256=sha256_of(file),
        command="crossplace train --method toy",
        share_of_schedule=0.5,
    )
    monkeypatch.setattr(toy.Toy, "shipped", (weights,))
    return weights


def test_shipped_weights_spare_the_training(
    job: Callable[..., Job], shipped: ShippedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, "train")
    record = job().run()[0].method
    assert record.weights == ("shipped with the suite (shipped.safetensors), made by: crossplace train --method toy")
    assert (record.origin, record.weights_sha256, record.share_of_schedule) == ("shipped", shipped.sha256, 0.5)
    assert [step.name for step in job().steps()] == ["prepare", "load weights", "encode", "evaluate and measure"]


@pytest.mark.parametrize("changes", [{"retrain": True}, {"seed": 1}, {"untrained": True}, {"preset": "longer"}])
def test_shipped_weights_are_for_one_configuration_and_seed(
    job: Callable[..., Job],
    toy: Any,
    shipped: ShippedWeights,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    monkeypatch.setitem(toy.Toy.presets, "longer", toy.ToyConfig(weights_sha256="f00d" * 16))
    assert job().weights.file == shipped.file
    assert job().weights.origin == "shipped"
    assert job(**changes).weights.origin != "shipped"
    assert job(**changes).weights_key != job().weights_key


def test_shipped_weights_are_for_one_dataset(
    job: Callable[..., Job],
    shipped: ShippedWeights,
    small_world: PreparedDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning, "prepare", lambda _: replace(small_world, fingerprint="other"))
    assert job().weights.origin == "trained"


def test_a_new_version_does_not_trust_descriptors_of_shipped_weights(
    job: Callable[..., Job], shipped: ShippedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(job())
    monkeypatch.setattr(benchmark, "__version__", "99")
    assert changed(before, job()) == set(KEYS)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x")], ids=["absent", "changed"])
def test_damaged_shipped_weights_are_refused(
    job: Callable[..., Job], shipped: ShippedWeights, damage: Callable[[Path], object]
) -> None:
    damage(shipped.file)
    with pytest.raises(CrossplaceError, match=r"shipped\.safetensors: expected SHA-256 .*; restore the file"):
        job().run()


@pytest.fixture
def given(toy: Any, tmp_path: Path) -> Path:
    """A file of weights of the toy that somebody brings."""
    torch.manual_seed(77)
    save_weights(toy.Toy(), tmp_path / "given.safetensors")
    return tmp_path / "given.safetensors"


def test_given_weights_take_the_place_of_training(
    job: Callable[..., Job], given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, "train")
    row = job(checkpoint=given)
    record = row.run()[0].method
    assert (record.origin, record.weights, record.share_of_schedule) == ("given", "given (given.safetensors)", None)
    assert record.weights_sha256 == sha256_of(given)
    assert [step.name for step in row.steps()] == ["prepare", "load weights", "encode", "evaluate and measure"]
    torch.testing.assert_close(row.train().state_dict(), load_file(given), rtol=0, atol=0)


def test_given_weights_are_known_by_what_they_hold(
    job: Callable[..., Job], toy: Any, shipped: ShippedWeights, given: Path
) -> None:
    before = keys(job(checkpoint=given))
    assert not set(before) & set(keys(job()))
    assert job(checkpoint=given).weights.origin == "given"
    moved = given.rename(given.with_name("moved.safetensors"))
    assert changed(before, job(checkpoint=moved)) == set()
    save_weights(toy.Toy(), moved)
    assert changed(before, job(checkpoint=moved)) == set(KEYS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": Path("nowhere.safetensors")}, r"--checkpoint nowhere\.safetensors: no such file"),
        ({"untrained": True}, r"--untrained and --retrain refuse them"),
        ({"retrain": True}, r"--untrained and --retrain refuse them"),
    ],
    ids=["absent", "untrained", "retrain"],
)
def test_given_weights_that_cannot_be_meant_are_refused_at_once(
    job: Callable[..., Job], given: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CrossplaceError, match=message):
        job(**({"checkpoint": given} | changes))


def test_given_weights_of_another_method_are_refused(job: Callable[..., Job], given: Path) -> None:
    save_weights(torch.nn.Linear(2, 3), given)
    with pytest.raises(
        CrossplaceError,
        match=r"given\.safetensors: no tensor .*; these weights are for another method .*; name the method, preset and",
    ):
        job(checkpoint=given).run()


def test_finished_weights_need_no_pretrained_backbone(
    job: Callable[..., Job], toy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "backbone.bin"
    file.write_bytes(b"pretrained")
    job(weights=str(file)).train()
    built = []
    monkeypatch.setattr(toy.Toy, "__init__", _recording(toy.Toy.__init__, built))
    job(weights=str(file)).train()
    assert [config.weights for config in built] == ["none"]


def _recording(build: Callable[..., None], built: list[Any]) -> Callable[..., None]:
    def wrapper(self: Any, config: Any = None) -> None:
        built.append(config)
        build(self, config)

    return wrapper
