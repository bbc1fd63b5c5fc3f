"""Keys of a row: what changes them, so that nothing meets a stale cache."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobs import KEYS, Job, changed, keys, with_protocol

import benchmark
from benchmark import machine
from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.runs import plan as planning
from datasets.base import Protocol, Selection
from datasets.prepared import PreparedDataset
from methods.layers.sparse import spconv_backend as sparse_spconv
from methods.recipe import Recipe


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": 1}, set(KEYS)),
        ({"preset": "longer"}, set(KEYS)),
        ({"weights": "timm"}, set(KEYS)),
        ({"untrained": True}, set(KEYS)),
        ({"precision": "bf16-mixed"}, set(KEYS)),
        ({"workers": 2}, set()),
        ({"retrain": True}, set()),
        ({"sparse_backend": "torch"}, set()),
        ({"sparse_backend": "spconv"}, {"result"}),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_what_the_user_changes_changes_the_keys_of_what_depends_on_it(
    job: Callable[..., Job],
    toy: Any,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    expected: set[str],
) -> None:
    longer = toy.ToyConfig(align=Recipe(epochs=9, batch_size=8, learning_rate=0.01, learning_rate_floor=0.001))
    monkeypatch.setitem(toy.Toy.presets, "longer", longer)
    monkeypatch.setattr(sparse_spconv, "check_usable", lambda: None)
    assert changed(keys(job()), job(**changes)) == expected


@pytest.mark.parametrize(
    ("protocol_changes", "expected"),
    [
        ({"radius_m": 20.0}, {"result"}),
        ({"version": 2}, {"result"}),
        ({"query": Selection(count=3)}, {"result"}),
        ({"split": {"train": Selection()}}, set(KEYS)),
        ({"split": {"positive_m": 5.0}}, set(KEYS)),
    ],
    ids=["radius", "version", "queries", "training frames", "training positives"],
)
def test_training_depends_on_the_split_and_results_on_the_whole_protocol(
    job: Callable[..., Job],
    protocol: Protocol,
    monkeypatch: pytest.MonkeyPatch,
    protocol_changes: dict[str, Any],
    expected: set[str],
) -> None:
    before = keys(job())
    if isinstance(protocol_changes.get("split"), dict):
        protocol_changes = {"split": replace(protocol.split, **protocol_changes["split"])}
    with_protocol(monkeypatch, replace(protocol, **protocol_changes))
    assert changed(before, job()) == expected


def test_other_data_another_version_and_another_machine(
    job: Callable[..., Job], small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(job())
    with monkeypatch.context() as patch:
        patch.setattr(planning, "prepare", lambda _: replace(small_world, fingerprint="other"))
        assert changed(before, job()) == set(KEYS)
    untrained = keys(job(untrained=True))
    with monkeypatch.context() as patch:
        patch.setattr(planning, "prepare", lambda _: replace(small_world, fingerprint="other"))
        assert changed(untrained, job(untrained=True)) == {"descriptors", "result"}
    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "__version__", "99")
        assert changed(before, job()) == set(KEYS)
    with monkeypatch.context() as patch:
        patch.setattr(machine, "identity", lambda _: {"device": "another"})
        assert changed(before, job()) == {"result"}


def test_a_backbone_file_is_known_by_what_it_holds(job: Callable[..., Job], tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    path.write_bytes(b"one")
    before = keys(job(weights=str(path)))
    assert changed(before, job(weights=str(path))) == set()
    path.write_bytes(b"two")
    assert changed(before, job(weights=str(path))) == set(KEYS)


def test_changed_code_is_another_run(job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(job())
    monkeypatch.setattr(planning, "code_of", lambda *entries: "edited")
    assert changed(before, job()) == set(KEYS)


def test_files_changed_in_place_are_other_data(job: Callable[..., Job], small_world: PreparedDataset) -> None:
    before = keys(job())
    cloud = small_world.root / small_world.frames.cloud[0]
    stored = cloud.read_bytes()
    try:
        cloud.write_bytes(stored + b"\0")
        assert changed(before, job()) == set(KEYS)
    finally:
        cloud.write_bytes(stored)


def test_weights_are_known_by_what_they_hold_not_where(job: Callable[..., Job], tmp_path: Path) -> None:
    paths = [tmp_path / folder / "backbone.bin" for folder in ("here", "there")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"the same")
    one, other = (job(weights=str(path)) for path in paths)
    assert keys(one) == keys(other)
    assert one.declared.identity["weights"] == "backbone.bin"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"severity": 4}, {"perturbed", "result"}),
        ({"perturb": "range-noise"}, {"perturbed", "result"}),
        ({"perturb": None}, {"perturbed", "result"}),
        ({"severity": 0}, {"perturbed", "result"}),
        ({"seed": 1}, {"weights", "descriptors", "perturbed", "result"}),
    ],
    ids=lambda value: next(iter(value.items()), "") if isinstance(value, dict) else "",
)
def test_keys_know_the_perturbation(job: Callable[..., Job], changes: dict[str, Any], expected: set[str]) -> None:
    def all_keys(row: Job) -> dict[str, str]:
        return {**dict(zip(KEYS, keys(row), strict=True)), "perturbed": row.perturbed_key}

    before = all_keys(job(perturb="yaw-offset"))
    after = all_keys(job(**{"perturb": "yaw-offset"} | changes))
    assert {name for name in before if before[name] != after[name]} == expected


def test_keys_know_the_version_of_the_perturbation(job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    before = job(perturb="yaw-offset")
    old = before.perturbed_key, before.result_key
    monkeypatch.setitem(PERTURBATIONS, "yaw-offset", replace(PERTURBATIONS["yaw-offset"], version=2))
    after = job(perturb="yaw-offset")
    assert after.descriptor_key == before.descriptor_key
    assert not {after.perturbed_key, after.result_key} & set(old)
