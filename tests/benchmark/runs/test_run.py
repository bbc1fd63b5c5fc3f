"""A whole row of the benchmark: what is done, what is cached, and what never meets a stale cache."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jobs import WORK, Job, forbid, jobs_on, with_protocol
from safetensors.torch import load_file

import benchmark
from benchmark import machine
from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.chance import hypergeometric_recall
from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.frames.preparing import locate, prepare
from benchmark.keys import plain
from benchmark.records.schema import RANKS, Result
from benchmark.registry import METHODS
from benchmark.runs import plan as planning
from benchmark.runs.plan import Step
from benchmark.training.checkpoint import save_weights
from benchmark.training.report import TrainingReport
from datasets.base import Protocol, Selection
from datasets.errors import CrossplaceError
from datasets.files import sealed, sha256_of, unsealed
from datasets.prepared import PreparedDataset
from methods.card import ShippedWeights
from methods.layers.sparse import backend as sparse_backend
from methods.layers.sparse import spconv_backend as sparse_spconv
from methods.recipe import Recipe


@pytest.fixture
def job(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Job]:
    """A row of the toy on the small world."""
    with_protocol(monkeypatch, protocol, "a warning")
    return jobs_on(small_world, tmp_path / "runs")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    monkeypatch.setattr(logging.getLogger("benchmark"), "propagate", True)
    with caplog.at_level(logging.INFO, "benchmark"):
        yield caplog


def files_below(folder: Path) -> dict[str, int]:
    """Times of all files but what plans remember of methods."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.parent.name != "declared"]
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in files}


# --- one row -------------------------------------------------------------------------------------


def test_a_row_is_the_method_and_three_rankers_in_four_directions(
    job: Callable[..., Job], small_world: PreparedDataset
) -> None:
    results = job(seed=2).run()
    assert [result.method.name for result in results] == ["toy", "constant", "random", "oracle"]
    for result in results:
        assert list(result.directions) == ["image->cloud", "cloud->image", "image->image", "cloud->cloud"]
        assert (result.seed, result.warnings[0], result.dataset.name) == (2, "a warning", "small_world")
        assert all(warning.startswith("doubt (") for warning in result.warnings[1:]), "random walls do not stand still"
        assert result.dataset.is_real, "nobody knows what people bring"
    found, *rankers = results
    assert found.cost is not None
    assert [ranker.cost for ranker in rankers] == [None] * 3
    assert all(d.mean.recall_at[0] == 1.0 for d in rankers[2].directions.values())


def test_the_record_of_the_method_says_how_it_came_about(job: Callable[..., Job], toy: Any) -> None:
    row = job()
    record = row.run()[0].method
    report = TrainingReport.read(row.training_folder)
    assert (record.name, record.preset, record.weights) == ("toy", "quick", "trained")
    assert (record.backbone_weights, record.share_of_schedule) == ("none", 1.0)
    assert record.config == plain(toy.ToyConfig())
    assert record.weights_sha256 == report.weights_sha256 == sha256_of(row.training_folder / "weights.safetensors")
    assert record.training["stages"]["teach"]["epochs_done"] == 3


def test_the_descriptors_are_those_of_the_trained_weights(job: Callable[..., Job], toy: Any) -> None:
    row = job()
    row.run()
    method = toy.Toy()
    method.load_state_dict(load_file(row.training_folder / "weights.safetensors"))
    pixels = torch.tensor(row.dataset.load_image(row.dataset.frame(12)).tolist(), dtype=torch.uint8).permute(2, 0, 1)
    with torch.inference_mode():
        expected = method.eval().encode_images(method.config.image([pixels]))["main"][0]
    found = np.load(row.descriptor_folder / "evening" / "both" / "images.npy")[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


# --- what is cached ------------------------------------------------------------------------------


def test_a_second_run_does_nothing_and_says_so(
    job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    first = job().run()
    before = files_below(tmp_path)
    assert "nothing to do" not in said.text
    forbid(monkeypatch, "train", "encode", "measure", "evaluate", "read")
    assert job().run() == first
    assert f"nothing to do: {job().result_folder} is up to date" in said.text
    assert files_below(tmp_path) == before


def done(row: Job) -> dict[str, bool]:
    return {step.name: step.is_done for step in row.steps()}


def test_the_plan_says_what_is_cached_and_writes_nothing(job: Callable[..., Job], tmp_path: Path) -> None:
    everything = {"prepare": True, "train": False, "encode": False, "evaluate and measure": False}
    assert done(job()) == everything
    assert files_below(tmp_path) == {}
    job().train()
    assert done(job()) == everything | {"train": True}
    job().run()
    assert done(job()) == dict.fromkeys(everything, True)


def test_every_step_of_the_plan_names_its_key_and_folder(job: Callable[..., Job], small_world: PreparedDataset) -> None:
    row = job()
    prepare, *others = row.steps()
    assert prepare.folder == small_world.folder
    keys = (row.weights_key, row.descriptor_key, row.result_key)
    folders = (row.training_folder, row.descriptor_folder, row.result_folder)
    assert [(step.key, step.folder) for step in others] == list(zip(keys, folders, strict=True))
    assert all(step.folder.name.endswith(step.key) for step in others)
    assert isinstance(prepare, Step)


def test_only_what_was_deleted_is_done_again(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = job()
    first = row.run()[0]
    (row.result_folder / "result.json").unlink()
    (row.descriptor_folder / "evening" / "both" / "manifest.json").unlink()
    assert done(job()) == {"prepare": True, "train": True, "encode": False, "evaluate and measure": False}
    forbid(monkeypatch, "train")
    again = job().run()[0]
    assert again.directions == first.directions


def test_a_result_outlives_its_checkpoints(job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    first = job().run()
    (job().training_folder / "training.json").unlink()
    assert all(done(job()).values())
    forbid(monkeypatch, "train", "encode", "evaluate")
    assert job().run() == first


def test_other_weights_under_the_same_key_never_meet_the_old_result(
    job: Callable[..., Job], toy: Any, said: pytest.LogCaptureFixture
) -> None:
    """Training with a time budget, or on a GPU, does not repeat bit for bit."""
    job().run()
    folder = job().training_folder
    other = toy.Toy()
    save_weights(other, folder / "weights.safetensors")
    sha256 = sha256_of(folder / "weights.safetensors")
    report = unsealed(json.loads((folder / "training.json").read_text()), folder) | {"weights_sha256": sha256}
    (folder / "training.json").write_text(json.dumps(sealed(report)))
    assert done(job()) == {"prepare": True, "train": True, "encode": False, "evaluate and measure": False}
    again = job().run()[0]
    assert again.method.weights_sha256 == sha256
    assert "nothing to do" not in said.text
    assert "encoded 3 parts anew" in said.text


def test_the_sparse_backend_is_in_force_in_every_step_and_recorded(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse_spconv, "check_usable", lambda: None)
    steps = {}

    def watched(name: str) -> Callable[..., Any]:
        work = getattr(*WORK[name])

        def step(*arguments: Any, **options: Any) -> Any:
            steps[name] = sparse_backend._choice.get()
            return work(*arguments, **options)

        return step

    for name in ("train", "encode", "measure"):
        monkeypatch.setattr(*WORK[name], watched(name))
    assert job(sparse_backend="spconv").run()[0].environment["sparse_backend"] == "spconv"
    assert steps == dict.fromkeys(("train", "encode", "measure"), "spconv")
    assert job().run()[0].environment["sparse_backend"] == "torch"
    job(seed=1, sparse_backend="spconv").train()
    assert steps == {"train": "spconv", "encode": "torch", "measure": "torch"}, "weights and descriptors"
    assert sparse_backend._choice.get() == "auto"


# --- what never meets a stale cache --------------------------------------------------------------

KEYS = ("weights", "descriptors", "result")


def keys(row: Job) -> tuple[str, str, str]:
    return row.weights_key, row.descriptor_key, row.result_key


def changed(before: tuple[str, ...], row: Job) -> set[str]:
    return {name for name, a, b in zip(KEYS, before, keys(row), strict=True) if a != b}


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


def test_ranks_follow_a_changed_protocol(
    job: Callable[..., Job], protocol: Protocol, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    first = job().run()
    with_protocol(monkeypatch, replace(protocol, radius_m=3.0))
    again = job().run()
    assert "encoded 0 parts anew" in said.text
    for a, b in zip(first, again, strict=True):
        assert b.protocol["radius_m"] == 3.0
        assert a.run_id != b.run_id


# --- weights -------------------------------------------------------------------------------------


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


# --- what goes wrong -----------------------------------------------------------------------------


def test_an_unknown_preset_is_answered_with_near_ones_and_the_list(job: Callable[..., Job]) -> None:
    with pytest.raises(CrossplaceError, match=r"unknown preset of toy 'quik'\. Did you mean quick\? Available: quick"):
        job(preset="quik")


def test_a_protocol_that_selects_no_frame_is_a_sentence(
    job: Callable[..., Job], protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, "train")
    nothing = Selection(traversals=())
    with_protocol(monkeypatch, replace(protocol, query=nothing, database=nothing))
    with pytest.raises(CrossplaceError, match="protocol small selects none of its frames"):
        job(untrained=True).run()


def test_an_interrupted_run_continues_where_it_stopped(
    job: Callable[..., Job], toy: Any, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(toy.Align, "forward", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            job().run()
    assert done(job())["train"] is False
    job().run()
    assert "teach: resuming after epoch 3 of 3" in said.text


# --- random lies where chance says ---------------------------------------------------------------


def test_the_random_row_lies_within_what_chance_allows(job: Callable[..., Job]) -> None:
    random = job(untrained=True).run()[2]
    folder = job(untrained=True).runs / "results" / random.run_id
    assert Result.read(folder) == random
    with np.load(folder / RANKS, allow_pickle=False) as ranks:
        chance = hypergeometric_recall(ranks["query_n_positives"], ranks["query_n_candidates"], 5)
        hits = (ranks["query_first_positive_rank"] >= 1) & (ranks["query_first_positive_rank"] <= 5)
    spread = np.sqrt((chance * (1 - chance)).sum()) / len(chance)
    assert abs(hits.mean() - chance.mean()) < 4 * spread


# --- what methods share --------------------------------------------------------------------------


def test_a_shared_stage_is_trained_by_the_first_method_that_has_it(
    toy: Any, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy.Teach, "is_shared", True)
    monkeypatch.setattr(toy.Teach, "ignores", ("align",))
    toy.Twin = type("Twin", (toy.Toy,), {"card": replace(toy.Toy.card, name="twin")})
    monkeypatch.setitem(METHODS.entries, "twin", "toy:Twin")
    job().run()
    stages = job().runs / "stages"
    [taught] = stages.glob("shared-teach-*")
    before = files_below(taught)
    job(method="twin").run()
    assert sorted(path.name.rsplit("-", 3)[0] for path in stages.iterdir() if path.is_dir()) == [
        "shared-teach",
        "toy-align",
        "twin-align",
    ]
    assert files_below(taught) == before


# --- what a key must know ------------------------------------------------------------------------


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


def test_evaluation_without_measuring_has_no_cost_and_its_own_key(job: Callable[..., Job]) -> None:
    measured = job()
    plain = Job(measured.request, measured=False)
    assert plain.result_key != measured.result_key
    assert plain.descriptor_key == measured.descriptor_key
    assert plain.run()[0].cost is None


# --- perturbed frames ----------------------------------------------------------------------------

OF_CLOUDS = {"image->cloud": "database", "cloud->image": "query", "cloud->cloud": "query"}


def test_a_perturbed_row_carries_its_perturbation_in_the_directions_it_changes(job: Callable[..., Job]) -> None:
    row = job(perturb="range-noise", severity=5)
    found, *rankers = row.run()
    assert found.perturbation is not None
    assert (found.perturbation.name, found.perturbation.severity, found.perturbation.value) == ("range-noise", 5, 0.5)
    assert found.perturbation.sides == OF_CLOUDS
    assert list(found.directions) == list(OF_CLOUDS)
    assert found.cost is None, "that of the clean run holds"
    assert found.run_id.startswith("toy-quick-small-range-noise-5-s0-")
    assert [ranker.perturbation for ranker in rankers] == [None] * 3
    assert Result.read(row.result_folder) == found


def arrays_below(folder: Path) -> dict[str, int]:
    return {name: stamp for name, stamp in files_below(folder).items() if name.endswith(".npy")}


def test_perturbed_rows_reuse_weights_and_clean_descriptors(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    job().run()
    clean = arrays_below(job().descriptor_folder)
    forbid(monkeypatch, "train", "measure")
    folders = set()
    for name, severity in (("point-dropout", 1), ("point-dropout", 5), ("image-darkness", 5)):
        said.clear()
        row = job(perturb=name, severity=severity)
        assert done(row) == {
            "prepare": True,
            "train": True,
            "encode": True,
            "encode perturbed": False,
            "evaluate": False,
        }
        row.run()
        assert "encoded 0 parts anew" in said.text
        assert "encoded 3 parts anew" in said.text
        assert all(done(row).values())
        folders |= {row.descriptor_folder, row.perturbed_folder}
    assert len(folders) == 4
    assert arrays_below(job().descriptor_folder) == clean
    forbid(monkeypatch, "encode", "evaluate", "read")
    job(perturb="point-dropout", severity=5).run()


def test_a_perturbed_row_first_leaves_what_a_clean_one_needs(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job(perturb="fewer-beams").run()
    assert done(job()) == {"prepare": True, "train": True, "encode": True, "evaluate and measure": False}
    forbid(monkeypatch, "train")
    assert job().run()[0].perturbation is None


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


def test_severity_zero_is_the_clean_row(job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    first = job().run()
    forbid(monkeypatch, "train", "encode", "measure", "evaluate")
    assert job(perturb="range-noise", severity=0).run() == first


def test_the_map_stays_clean_among_clouds(job: Callable[..., Job]) -> None:
    """Distances in the ranks are those of perturbed queries to clean or perturbed places, as the rule says."""
    row = job(perturb="range-noise", severity=5)
    row.run()
    clean, perturbed = Descriptors.read(row.descriptor_folder), Descriptors.read(row.perturbed_folder)
    with np.load(row.result_folder / RANKS, allow_pickle=False) as stored:
        ranks = dict(stored)
    sources = {
        "image->cloud": (clean, perturbed),
        "cloud->image": (perturbed, clean),
        "cloud->cloud": (perturbed, clean),
    }
    assert ranks["directions"].tolist() == list(sources)
    for number, (direction, (asking, searched)) in enumerate(sources.items()):
        query, _, database = direction.partition("->")
        chosen = ranks["query_direction"] == number
        asked = asking.of(query, ranks["frame_id"][ranks["query_frame"][chosen]].tolist())  # type: ignore[arg-type]
        nearest = ranks["frame_id"][ranks["query_top_frame"][chosen, 0]].tolist()
        found = searched.of(database, nearest)  # type: ignore[arg-type]
        expected = np.linalg.norm(asked[:, 0] - found[:, 0], axis=1)
        np.testing.assert_allclose(ranks["query_top_distance"][chosen, 0], expected, rtol=1e-4, atol=1e-5)


def test_a_method_that_knows_the_place_is_not_disturbed(
    job: Callable[..., Job], toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the position from the frame, so that no perturbation can reach it."""

    def positions(_: Any, batch: Any) -> torch.Tensor:
        return torch.tensor([(*frame.position_m, 0.0) for frame in batch.frames])

    def as_they_are(_: Any, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"main": inputs[:, None]}

    for name, function in {"inputs": positions, "encode": as_they_are}.items():
        for modality in ("image", "cloud"):
            method = f"{modality}_inputs" if name == "inputs" else f"encode_{modality}s"
            monkeypatch.setattr(toy.Toy, method, function)
    clean = job(untrained=True).run()[0]
    assert clean.directions["cloud->cloud"].mean.recall_at[0] == 1.0
    for name in PERTURBATIONS:
        found = job(untrained=True, perturb=name, severity=5).run()[0]
        assert found.directions == {d: clean.directions[d] for d in found.directions}
        assert found.perturbation is not None
        assert found.directions.keys() == found.perturbation.sides.keys()


def test_miscalibrated_vehicles_are_named_in_the_result(job: Callable[..., Job]) -> None:
    found = job(untrained=True, perturb="calibration-rotation").run()[0]
    assert found.perturbation is not None
    assert list(found.perturbation.drawn) == ["morning", "evening", "midnight"]


def test_a_perturbation_of_what_is_not_there_is_a_sentence(
    job: Callable[..., Job], small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = replace(small_world.frames, image=np.full(36, "", dtype=object))
    monkeypatch.setattr(planning, "prepare", lambda _: replace(small_world, frames=blind))
    with pytest.raises(CrossplaceError, match="image-blur changes images, but no frame that protocol small selects"):
        job(untrained=True, perturb="image-blur").run()


def test_a_protocol_without_any_answer_is_refused_before_training(
    job: Callable[..., Job], protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, "train")
    with_protocol(monkeypatch, replace(protocol, radius_m=0.5))
    with pytest.raises(CrossplaceError, match=r"no query has a positive within 0\.5 m among 36 queries"):
        job().run()
