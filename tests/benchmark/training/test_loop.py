"""The training loop on a toy method: what it leaves behind, and that an interruption changes nothing."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmark.training.loop import TrainingOptions, train
from benchmark.training.report import TrainingReport
from datasets.base import Protocol, Selection
from datasets.errors import CrossplaceError
from datasets.files import write_atomically
from datasets.prepared import PreparedDataset
from methods.base import StageOutput
from methods.batch import Batch
from methods.recipe import ParameterGroup, Recipe

CPU = TrainingOptions(accelerator="cpu")
RECIPE = Recipe(epochs=3, batch_size=4, learning_rate=0.01, learning_rate_floor=0.001)


@pytest.fixture
def run(toy: Any, small_world: PreparedDataset, protocol: Protocol) -> Callable[..., TrainingReport]:
    """Train a toy with weights from seed 0 into a folder."""

    def run(folder: Path, seed: int = 0, options: TrainingOptions = CPU, **config: Recipe) -> TrainingReport:
        torch.manual_seed(0)
        return train(toy.Toy(toy.ToyConfig(**config)), small_world, protocol, folder, seed, options)

    return run


def metrics(folder: Path) -> list[dict[str, str]]:
    """``metrics.csv`` without what the clock says."""
    with (folder / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def count_calls(monkeypatch: pytest.MonkeyPatch, kind: Any, act: Callable[[int, Batch], None]) -> None:
    """Have ``act`` called with the number (from 1) and batch of every forward pass of stages of ``kind``."""
    forward, number = kind.forward, 0

    def counted(self: Any, batch: Batch) -> StageOutput:
        nonlocal number
        number += 1
        act(number, batch)
        return forward(self, batch)

    monkeypatch.setattr(kind, "forward", counted)


# --- resuming ------------------------------------------------------------------------------------


@pytest.fixture
def uninterrupted(run: Callable[..., TrainingReport], tmp_path: Path) -> Path:
    run(tmp_path / "uninterrupted")
    return tmp_path / "uninterrupted"


@pytest.mark.parametrize(
    ("stage", "at"),
    [("Teach", 1), ("Teach", 20), ("Teach", 25), ("Teach", 34), ("Align", 1), ("Align", 11)],
    ids=["first step", "second epoch", "while it measures", "third epoch", "between stages", "second stage"],
)
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(
    toy: Any,
    run: Callable[..., TrainingReport],
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    at: int,
) -> None:
    def interrupt(number: int, batch: Batch) -> None:
        if number == at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        count_calls(patch, getattr(toy, stage), interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed")
    assert not (tmp_path / "resumed" / "training.json").exists()
    torch.manual_seed(99)  # another process has other random numbers
    report = run(tmp_path / "resumed")
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (uninterrupted, tmp_path / "resumed")]
    assert weights[0] == weights[1]
    for name in ("teach", "align"):
        assert metrics(uninterrupted / name) == metrics(tmp_path / "resumed" / name)
    assert report.weights_sha256 == TrainingReport.read(uninterrupted).weights_sha256


PLATEAU = {"plateau": 1, "decay": 0.5}
COSINE = {"schedule": "cosine", "warmup_steps": 4, "clip_norm": 0.1}


@pytest.mark.parametrize(
    ("optimizer", "schedule"), [("sgd", PLATEAU), ("adamw", PLATEAU), ("adamw", COSINE)], ids=["sgd", "adamw", "cosine"]
)
def test_other_optimisers_schedules_and_groups_resume_too(
    toy: Any,
    run: Callable[..., TrainingReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
    schedule: dict[str, Any],
) -> None:
    recipe = replace(RECIPE, optimizer=optimizer, weight_decay=0.1, **schedule)

    def groups(stage: Any) -> list[ParameterGroup]:
        layer, norm = stage.method.image_branch
        return [
            ParameterGroup(modules=[layer]),
            ParameterGroup(modules=[norm], learning_rate_factor=0.0, weight_decay=0.0),
        ]

    monkeypatch.setattr(toy.Teach, "groups", groups)
    torch.manual_seed(0)
    before = toy.Toy().image_branch[1].weight.clone()
    run(tmp_path / "whole", teach=recipe)

    def interrupt(number: int, batch: Batch) -> None:
        if number == 20:  # in the second epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        count_calls(patch, toy.Teach, interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", teach=recipe)
    run(tmp_path / "resumed", teach=recipe)
    whole, resumed = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "resumed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert torch.equal(whole["image_branch.1.weight"], before), "no learning rate, no decay"
    assert not torch.equal(whole["image_branch.0.weight"], toy.Toy().image_branch[0].weight)


def test_training_stops_early_without_a_better_score(
    toy: Any, run: Callable[..., TrainingReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy.Teach, "score", lambda *_: 1.0)
    report = run(tmp_path, teach=replace(RECIPE, epochs=9, early_stop=2))
    assert (report.stages["teach"].epochs_done, report.stages["teach"].epochs_planned) == (3, 9)
    assert report.stages["teach"].stopped_early
    assert report.share_of_schedule == 1


def test_a_crash_while_the_checkpoint_is_written_leaves_the_previous_one(
    run: Callable[..., TrainingReport], uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_at_second_progress(path: Path, content: bytes) -> None:
        if path.name == "progress.json" and path.exists():
            raise OSError("disk full")
        write_atomically(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("benchmark.training.checkpoint.write_atomically", fail_at_second_progress)
        with pytest.raises(OSError, match="disk full"):
            run(tmp_path / "resumed")
    run(tmp_path / "resumed")
    found = [(folder / "weights.safetensors").read_bytes() for folder in (uninterrupted, tmp_path / "resumed")]
    assert found[0] == found[1]


def test_the_growing_sampler_has_grown_and_is_restored(uninterrupted: Path) -> None:
    progress = json.loads((uninterrupted / "teach" / "progress.json").read_text())
    assert progress["sampler"] == {"batch_size": 9}  # 4 → 6 → 9 → limit 9


def test_a_stage_that_another_run_has_finished_is_taken_over(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs that share their first stage, the second with another second stage."""
    longer = replace(RECIPE, epochs=4)
    counts = dict.fromkeys(("Teach", "Align"), 0)
    for name in counts:
        count_calls(monkeypatch, getattr(toy, name), lambda *_, name=name: counts.update({name: counts[name] + 1}))

    def run(folder: str, stages: str, align: Recipe) -> TrainingReport:
        torch.manual_seed(0)
        folders = {"teach": tmp_path / "teach", "align": tmp_path / stages}
        method = toy.Toy(toy.ToyConfig(align=align))
        return train(method, small_world, protocol, tmp_path / folder, 0, CPU, folders)

    alone = run("alone", "align-alone", longer)
    taught = counts["Teach"]
    after = run("after", "align-after", longer)
    assert after.weights_sha256 == alone.weights_sha256
    assert counts["Teach"] == taught > 0
    other = run("other", "align-other", replace(longer, learning_rate=0.02))
    assert counts["Teach"] == taught
    assert other.stages["teach"] == alone.stages["teach"]
    assert other.weights_sha256 != alone.weights_sha256


def test_preparation_sees_training_batches_in_order_and_without_augmentation(
    toy: Any,
    run: Callable[..., TrainingReport],
    small_world: PreparedDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Batch] = []
    monkeypatch.setattr(toy.Align, "before", lambda self, batches: seen.extend(batches))
    run(tmp_path)
    ids = [frame.frame_id for batch in seen for frame in batch.frames]
    assert sorted(ids) == sorted(f"{d}-{n}" for d in ("morning", "evening") for n in range(12))
    for batch in seen:
        assert batch.clouds is not None
        for number, frame in enumerate(batch.frames):
            stored = torch.from_numpy(small_world.load_cloud(frame))
            torch.testing.assert_close(batch.clouds.points[batch.clouds.batch_index == number], stored)


def test_another_seed_trains_otherwise(run: Callable[..., TrainingReport], uninterrupted: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "other", seed=1).weights_sha256 != TrainingReport.read(uninterrupted).weights_sha256


@pytest.mark.slow
def test_loading_in_other_processes_changes_nothing(
    run: Callable[..., TrainingReport], uninterrupted: Path, tmp_path: Path
) -> None:
    report = run(tmp_path / "workers", options=replace(CPU, workers=1))
    assert report.weights_sha256 == TrainingReport.read(uninterrupted).weights_sha256


# --- what is left behind -------------------------------------------------------------------------


def test_files_hold_no_pickle_and_one_checkpoint_per_stage(uninterrupted: Path) -> None:
    files = {str(path.relative_to(uninterrupted)) for path in uninterrupted.rglob("*") if path.is_file()}
    assert {f for f in files if "tensorboard" not in f} == {
        "weights.safetensors",
        "training.json",
        *("teach/epoch-0003.safetensors", "teach/progress.json", "teach/best.safetensors", "teach/metrics.csv"),
        *("align/epoch-0002.safetensors", "align/progress.json", "align/best.safetensors", "align/metrics.csv"),
    }


def test_metrics_hold_a_line_an_epoch_with_loss_and_statistics(uninterrupted: Path) -> None:
    rows = metrics(uninterrupted / "teach")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["learning_rate"]) for row in rows] == [RECIPE.learning_rate_at(epoch) for epoch in range(3)]
    for part in ("train", "validation"):
        assert all(math.isfinite(float(row[f"{part}_loss"])) for row in rows)
        assert all(float(row[f"{part}_active"]) * 2 == float(row[f"{part}_triplets"]) for row in rows)


def test_the_report_says_how_much_of_the_schedule_was_done(run: Callable[..., TrainingReport], tmp_path: Path) -> None:
    report = run(tmp_path, teach=replace(RECIPE, epochs=4, budget_s=0.0))
    assert report.stages["teach"].epochs_done == 0
    assert report.share_of_schedule == pytest.approx(2 / 6)
    assert TrainingReport.read(tmp_path) == report


def test_a_time_budget_ends_the_stage_after_the_epoch_in_which_it_is_used_up(
    run: Callable[..., TrainingReport], tmp_path: Path
) -> None:
    report = run(tmp_path, teach=replace(RECIPE, budget_s=1e-9))
    assert (report.stages["teach"].epochs_done, report.stages["teach"].epochs_planned) == (1, 3)
    assert report.share_of_schedule < 1
    assert len(metrics(tmp_path / "teach")) == 1
    again = run(tmp_path, teach=replace(RECIPE, budget_s=1e-9))
    assert again.stages["teach"].epochs_done == 1, "a resumed run must not spend the budget again"


@pytest.mark.parametrize(("scores", "best"), [([3.0, 1.0, 2.0], 2), ([3.0, 2.0, 1.0], 3), ([1.0, 2.0, 1.0], 3)])
def test_the_best_checkpoint_is_the_one_with_the_lowest_validation_score(
    toy: Any,
    run: Callable[..., TrainingReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scores: list[float],
    best: int,
) -> None:
    """Of equal scores the later is taken: a teacher without active triplets has trained longer."""
    seen: list[dict[str, float]] = []

    def score(self: Any, statistics: dict[str, float]) -> float:
        seen.append(statistics)
        return scores[len(seen) - 1]

    monkeypatch.setattr(toy.Teach, "score", score)
    report = run(tmp_path)
    assert report.stages["teach"].best_epoch == best
    rows = metrics(tmp_path / "teach")
    assert [s["loss"] for s in seen] == [float(row["validation_loss"]) for row in rows]
    final, chosen = load_file(tmp_path / "weights.safetensors"), load_file(tmp_path / "teach" / "best.safetensors")
    name = "image_branch.0.weight"
    torch.testing.assert_close(final[name], chosen[name], rtol=0, atol=0)
    last = load_file(tmp_path / "teach" / "epoch-0003.safetensors")
    assert torch.equal(last[f"module.{name}"], chosen[name]) == (best == 3)


def test_without_validation_frames_the_training_loss_selects(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    alone = replace(protocol, split=replace(protocol.split, validation=Selection(traversals=())))
    report = train(toy.Toy(), small_world, alone, tmp_path, 0, CPU)
    losses = [float(row["train_loss"]) for row in metrics(tmp_path / "teach")]
    assert report.stages["teach"].best_epoch == 1 + int(np.argmin(losses))
    assert "validation_loss" not in metrics(tmp_path / "teach")[0]


# --- what moves ----------------------------------------------------------------------------------


def test_only_the_trainable_modules_move_and_only_they_are_in_training_mode(
    toy: Any, run: Callable[..., TrainingReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: set[tuple[bool, bool, bool]] = set()
    with_gradients: set[str] = set()
    forward = toy.Align.forward

    def watched(self: Any, batch: Batch) -> StageOutput:
        modes.add((torch.is_grad_enabled(), self.method.image_branch.training, self.method.cloud_branch.training))
        with_gradients.update(name for name, p in self.method.named_parameters() if p.requires_grad)
        return forward(self, batch)

    monkeypatch.setattr(toy.Align, "forward", watched)
    run(tmp_path)
    assert modes == {(True, False, True), (False, False, False)}, "training passes and validation passes"
    assert with_gradients == {name for name, _ in toy.Toy().named_parameters() if name.startswith("cloud")}
    torch.manual_seed(0)
    fresh, final = toy.Toy().state_dict(), load_file(tmp_path / "weights.safetensors")
    taught, aligned = (load_file(tmp_path / stage / "best.safetensors") for stage in ("teach", "align"))
    assert {name for name in fresh if name.startswith("image")} == set(taught), "checkpoints hold what a stage trains"
    assert {name for name in fresh if name.startswith("cloud")} == set(aligned)
    for name, tensor in (taught | aligned).items():
        assert not torch.equal(fresh[name], tensor), name
        torch.testing.assert_close(final[name], tensor, rtol=0, atol=0)


def test_validation_batches_are_the_same_every_epoch_and_not_augmented(
    toy: Any, run: Callable[..., TrainingReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, list[str], float]] = []

    def watch(number: int, batch: Batch) -> None:
        assert batch.clouds is not None
        ids = [frame.frame_id for frame in batch.frames]
        seen.append((torch.is_grad_enabled(), ids, float(batch.clouds.points.sum())))

    count_calls(monkeypatch, toy.Align, watch)
    run(tmp_path)
    assert [is_training for is_training, *_ in seen] == 2 * ([True] * 3 + [False] * 6)
    first, second = seen[:9], seen[9:]
    assert first[6:] == second[6:]
    assert first[:3] != second[:3]
    train_ids = {f"{drive}-{n}" for drive in ("morning", "evening") for n in range(12)}
    assert {i for _, ids, _ in first[:3] for i in ids} == train_ids


def watched_optimizer(monkeypatch: pytest.MonkeyPatch, note: Callable[[torch.optim.Optimizer], None]) -> None:
    """Have ``note`` called before each step of SGD."""
    step = torch.optim.SGD.step

    def noted(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        note(self)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)


def test_each_step_has_the_learning_rate_of_the_schedule(
    run: Callable[..., TrainingReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs of three steps: two up, four down along half a cosine to the floor."""
    seen: list[float] = []
    watched_optimizer(monkeypatch, lambda optimizer: seen.append(optimizer.param_groups[0]["lr"]))
    recipe = Recipe(
        **{"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "learning_rate_floor": 0.0, "optimizer": "sgd"},
        **{"schedule": "cosine", "warmup_steps": 2},
    )
    run(tmp_path, align=recipe)
    root = math.sqrt(0.5)
    assert seen == pytest.approx([0.005, 0.01, 0.005 * (1 + root), 0.005, 0.005 * (1 - root), 0.0])
    rows = metrics(tmp_path / "align")
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([seen[2], seen[5]]), "that of the last step"


def test_long_gradients_are_cut_to_the_recipes_norm(
    run: Callable[..., TrainingReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    def note(optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad.flatten() for group in optimizer.param_groups for p in group["params"]]
        seen.append(float(torch.cat(gradients).norm()))

    watched_optimizer(monkeypatch, note)
    run(tmp_path / "free", align=replace(RECIPE, optimizer="sgd"))
    free, seen = seen, []
    limit = sorted(free)[len(free) // 2]
    run(tmp_path / "cut", align=replace(RECIPE, optimizer="sgd", clip_norm=limit))
    assert max(free) > 1.01 * limit
    assert max(seen) == pytest.approx(limit, rel=1e-3)
    assert seen[0] == pytest.approx(min(free[0], limit), rel=1e-3)


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "part"), [(2, "train"), (8, "validation")])
def test_a_loss_that_is_not_a_number_names_stage_epoch_step_and_frames(
    toy: Any,
    run: Callable[..., TrainingReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    part: str,
) -> None:
    """24 frames in batches of 8: three steps each of training, of measuring and of validation."""
    ids: list[str] = []

    def poison(number: int, batch: Batch) -> None:
        if number == at:
            assert batch.clouds is not None
            ids.extend(frame.frame_id for frame in batch.frames)
            batch.clouds.points.fill_(math.nan)

    count_calls(monkeypatch, toy.Align, poison)
    with pytest.raises(CrossplaceError) as caught:
        run(tmp_path)
    message = str(caught.value)
    assert f"stage align, epoch 1, {part} step {(at - 1) % 3 + 1}: the loss is nan" in message
    assert len(ids) == 8
    assert ", ".join(ids) in message
    assert message.endswith("Weights are finite, so look at the loss of this stage, and at these images and clouds")


def test_weights_that_are_no_numbers_any_more_are_named_as_the_cause(
    toy: Any, run: Callable[..., TrainingReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an update that was too large: the clouds are as they were."""

    def poison(number: int, batch: Batch) -> None:
        if number == 2:
            with torch.no_grad():
                for weights in made[0].parameters():
                    weights.fill_(math.inf)

    made: list[torch.nn.Module] = []
    original = toy.Align.trainable

    def trainable(stage: Any) -> list[torch.nn.Module]:
        made[:] = original(stage)
        return made[:]

    monkeypatch.setattr(toy.Align, "trainable", trainable)
    count_calls(monkeypatch, toy.Align, poison)
    with pytest.raises(CrossplaceError, match=r"the loss is .*an update was too large: lower the learning rate$"):
        run(tmp_path)


def test_training_on_nothing_is_an_error(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    nothing = replace(protocol, split=replace(protocol.split, train=Selection(traversals=("noon",))))
    with pytest.raises(CrossplaceError, match=r"protocol small: no frame of .* is selected for training"):
        train(toy.Toy(), small_world, nothing, tmp_path, 0, CPU)


def test_a_stage_for_which_no_batch_can_be_formed_is_an_error(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path
) -> None:
    """One drive of the small world has no two frames of one place."""
    once = replace(protocol, split=replace(protocol.split, train=Selection(traversals=("morning",))))
    with pytest.raises(CrossplaceError, match=r"stage teach: no batch .* 12 training frames"):
        train(toy.Toy(), small_world, once, tmp_path, 0, CPU)


def test_frames_without_a_stages_modalities_are_left_out_of_it(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = small_world.frames.cloud.copy()
    cloud[:3] = ""
    lacking = replace(small_world, frames=replace(small_world.frames, cloud=cloud))
    taught: set[str] = set()
    aligned: set[str] = set()
    count_calls(monkeypatch, toy.Teach, lambda _, batch: taught.update(f.frame_id for f in batch.frames))
    count_calls(monkeypatch, toy.Align, lambda _, batch: aligned.update(f.frame_id for f in batch.frames))
    train(toy.Toy(), lacking, protocol, tmp_path, 0, CPU)
    assert taught - aligned == {"morning-0", "morning-1", "morning-2"}


def test_a_damaged_checkpoint_says_what_to_delete(run: Callable[..., TrainingReport], tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "teach" / "progress.json").write_text('{"epoch": 1')
    with pytest.raises(CrossplaceError, match=f"damaged training state.*delete {tmp_path / 'teach'} to start over"):
        run(tmp_path)


def test_mixed_precision_is_for_training_networks_and_not_for_coordinates_weights_or_validation(
    toy: Any, run: Callable[..., TrainingReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[bool, torch.dtype, torch.dtype]] = set()
    encode = toy.Toy.encode_clouds

    def watched(self: Any, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.add((torch.is_grad_enabled(), inputs.dtype, self.cloud_branch[0](inputs).dtype))
        return encode(self, inputs)

    monkeypatch.setattr(toy.Toy, "encode_clouds", watched)
    run(tmp_path, options=replace(CPU, precision="bf16-mixed"))
    assert seen == {(True, torch.float32, torch.bfloat16), (False, torch.float32, torch.float32)}
    weights = load_file(tmp_path / "weights.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.float32, torch.int64}
