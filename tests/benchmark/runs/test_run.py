"""A whole row of the benchmark: what is done, what is cached, and what goes wrong."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jobs import WORK, Job, done, files_below, forbid, with_protocol
from safetensors.torch import load_file

from benchmark.evaluation.chance import hypergeometric_recall
from benchmark.keys import plain
from benchmark.records.schema import RANKS, Result
from benchmark.registry import METHODS
from benchmark.runs import run
from benchmark.runs.plan import Step
from benchmark.training.checkpoint import save_weights
from benchmark.training.report import TrainingReport
from datasets.base import Protocol, Selection
from datasets.errors import CrossplaceError
from datasets.files import sealed, sha256_of, unsealed
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.layers.sparse import backend as sparse_backend
from methods.layers.sparse import spconv_backend as sparse_spconv

# --- one row --------------------------------------------------------------------------------------


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


def test_the_trained_network_encodes_every_frame_once_for_all_directions_and_rankers(
    job: Callable[..., Job], toy: Any, small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what is asked of a network as initialised before training, and without the measuring of cost."""
    job().train()
    monkeypatch.setattr(run, "say_blind", lambda plan: [])
    encoded: dict[str, Counter[bytes]] = {"image": Counter(), "cloud": Counter()}

    def counting(modality: str, encode: Callable[..., Any]) -> Callable[..., Any]:
        def counted(method: Method, inputs: torch.Tensor) -> Any:
            encoded[modality].update(each.numpy().tobytes() for each in inputs)  # no two frames are equal
            return encode(method, inputs)

        return counted

    for modality in encoded:
        name = f"encode_{modality}s"
        monkeypatch.setattr(toy.Toy, name, counting(modality, getattr(toy.Toy, name)))
    results = Job(job().request, measured=False).run()
    assert [result.method.name for result in results] == ["toy", "constant", "random", "oracle"]
    assert {len(result.directions) for result in results} == {4}
    assert {modality: [*each.values()] for modality, each in encoded.items()} == dict.fromkeys(
        encoded, [1] * len(small_world.frames)
    )


# --- what is cached -------------------------------------------------------------------------------


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


def test_a_training_that_replaces_another_says_so(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    job().run()
    assert "training is needed" not in said.text
    before = job().training_folder
    monkeypatch.setattr("benchmark.__version__", "0.0.0")
    job().run()
    assert f"training is needed: the weights in {before} are of other code, settings or data" in said.text


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


# --- what methods share ---------------------------------------------------------------------------


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


# --- random lies where chance says ----------------------------------------------------------------


def test_the_random_row_lies_within_what_chance_allows(job: Callable[..., Job]) -> None:
    random = job(untrained=True).run()[2]
    folder = job(untrained=True).runs / "results" / random.run_id
    assert Result.read(folder) == random
    with np.load(folder / RANKS, allow_pickle=False) as ranks:
        chance = hypergeometric_recall(ranks["query_n_positives"], ranks["query_n_candidates"], 5)
        hits = (ranks["query_first_positive_rank"] >= 1) & (ranks["query_first_positive_rank"] <= 5)
    spread = np.sqrt((chance * (1 - chance)).sum()) / len(chance)
    assert abs(hits.mean() - chance.mean()) < 4 * spread


# --- what goes wrong ------------------------------------------------------------------------------


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


def test_evaluation_without_measuring_has_no_cost_and_its_own_key(job: Callable[..., Job]) -> None:
    measured = job()
    plain = Job(measured.request, measured=False)
    assert plain.result_key != measured.result_key
    assert plain.descriptor_key == measured.descriptor_key
    assert plain.run()[0].cost is None


def test_a_protocol_without_any_answer_is_refused_before_training(
    job: Callable[..., Job], protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, "train")
    with_protocol(monkeypatch, replace(protocol, radius_m=0.5))
    with pytest.raises(CrossplaceError, match=r"no query has a positive within 0\.5 m among 36 queries"):
        job().run()
