"""Studies about learning: which settings, chosen without a test frame, and how many places to train on."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.frames.preparing import look_at
from benchmark.records.collection import collect
from benchmark.records.publish import publish
from benchmark.records.schema import Result
from benchmark.records.study import BASE, LEARNING_CURVE, TUNE, StudyRecord
from benchmark.registry import METHODS
from benchmark.report.documents import TABLES, as_markdown
from benchmark.report.studies import best_trial, study_section
from benchmark.request import MethodOptions, Request
from benchmark.runs import study
from benchmark.runs.plan import Plan
from benchmark.runs.study import MOST_TRIALS, lines_of
from benchmark.training import loop
from benchmark.training.configuring import configure, settings_of, with_setting
from datasets.base import Protocol, Selection
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS

TUNES: dict[str, tuple[Any, ...]] = {
    "teach.learning_rate": (0.02, 0.01, 1e30),
    "align.epochs": (1, 3),
    "align.batch_size": (4,),
}
"""Of the toy: 0.01 is what it has, and 1e30 diverges."""
NAMES = METHODS.names()
TRAINABLE = [name for name in NAMES if METHODS.get(name).is_trainable]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one test has trained, the next one finds done."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def request_(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> Request:
    """The toy on the small world, where midnight is tested and neither trained on nor validated on."""
    seen = Selection(traversals=("morning", "evening"))
    apart = replace(
        protocol, split=replace(protocol.split, train=seen, validation=seen), pairs=(("midnight", "morning"),)
    )
    monkeypatch.setitem(PROTOCOLS, "small", apart)
    monkeypatch.setattr(toy.Toy, "tunes", TUNES)
    return Request.of(method="toy", dataset=str(small_world.folder), protocol="small", device="cpu", runs=runs)


def changes(lines: Sequence[study.Line]) -> list[str]:
    return [line.request.method.variant for line in lines]


# --- which settings ------------------------------------------------------------------------------


def test_trials_are_single_changes_across_all_settings_and_then_draws(request_: Request) -> None:
    base, *lines = lines_of(TUNE, request_)
    assert base.request.method.variant == ""
    first = ["teach.learning_rate=0.02", "align.epochs=1", "align.batch_size=4", "align.epochs=3"]
    assert changes(lines)[:5] == [*first, "teach.learning_rate=1e30"]
    assert all(change.count("=") > 1 for change in changes(lines)[5:])
    assert len(set(changes(lines))) == len(lines) == MOST_TRIALS - 1


def test_trials_follow_from_the_seed_and_few_are_the_beginning_of_many(request_: Request) -> None:
    every = changes(lines_of(TUNE, request_))
    assert changes(lines_of(TUNE, request_)) == every
    for trials in (2, 7, MOST_TRIALS):
        assert changes(lines_of(TUNE, request_, trials=trials)) == every[:trials]
    others = changes(lines_of(TUNE, request_.changed(seed=1)))
    assert others[:6] == every[:6]
    assert others != every


@pytest.mark.parametrize("trials", [1, MOST_TRIALS + 1])
def test_every_method_gets_the_same_number_of_trials(request_: Request, trials: int) -> None:
    with pytest.raises(CrossplaceError, match=f"--trials {trials}: expected 2 to 12"):
        lines_of(TUNE, request_, trials=trials)
    assert len(lines_of(TUNE, request_, trials=MOST_TRIALS)) == MOST_TRIALS


def test_settings_that_won_are_tried_together(request_: Request) -> None:
    single, *_, last = changes(lines_of(TUNE, request_))[1:]
    together = "teach.learning_rate=0.02+align.batch_size=4"
    lines = lines_of(TUNE, request_, [single, together])
    assert [(line.question, line.request.method.variant) for line in lines[1:]] == [
        (study.WHICH_SETTINGS, single),
        (study.WHICH_SETTINGS, together),
    ]
    assert changes(lines_of(TUNE, request_, [last]))[1:] == [last], "draws of the study are known by name"
    with pytest.raises(CrossplaceError, match=r"--lines align.epochs=2: it changes nothing"):
        lines_of(TUNE, request_, ["align.epochs=2"])
    with pytest.raises(CrossplaceError, match=r"unknown line of study tune 'align.epochs=1\+shorter'"):
        lines_of(TUNE, request_, ["align.epochs=1+shorter"])


def test_own_trials_count_too(request_: Request) -> None:
    every = changes(lines_of(TUNE, request_))[1:]
    lines_of(TUNE, request_, [*every[:-1], "align.batch_size=5"])
    with pytest.raises(CrossplaceError, match=f"13 trials: every method gets at most {MOST_TRIALS}"):
        lines_of(TUNE, request_, [*every, "align.batch_size=5"])


def test_trials_are_of_tuning_alone(request_: Request) -> None:
    with pytest.raises(CrossplaceError, match="study robustness has no trials; leave --trials out"):
        lines_of("robustness", request_, trials=3)
    assert lines_of("robustness", request_)


@pytest.fixture
def tuned(request_: Request) -> tuple[StudyRecord, Path]:
    return study.run_study(TUNE, request_, [0, 1], trials=3)


def test_a_tune_study_reads_no_test_traversal(
    request_: Request, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same spy sees the test traversal in an ordinary run, so that it would have been seen."""
    look_at(Plan(request_).dataset)  # the doctor looks at all of a dataset, once, before anything is trained
    read: set[str] = set()
    for name in ("load_image", "load_cloud", "stored_cloud"):
        monkeypatch.setattr(PreparedDataset, name, _spied(getattr(PreparedDataset, name), read))
    fresh = request_.changed(runs=tmp_path)
    record, _ = study.run_study(TUNE, fresh, [0], trials=2)
    assert [line.error for line in record.lines] == ["", ""]
    assert read == {"morning", "evening"}
    study.run_study("ablation", fresh, [0])
    assert read == {"morning", "evening", "midnight"}


def _spied(load: Any, read: set[str]) -> Any:
    def spy(dataset: PreparedDataset, frame: Any) -> Any:
        read.add(frame.traversal)
        return load(dataset, frame)

    return spy


def test_trials_are_scored_on_the_validation_traversals_among_each_other(
    tuned: tuple[StudyRecord, Path], request_: Request
) -> None:
    record, _ = tuned
    assert (record.study, record.protocol, record.seeds) == (TUNE, "small-on-validation v1", [0, 1])
    for line in record.lines:
        for run in line.runs:
            result = Result.read(request_.machine.runs / "results" / run)
            pairs = {(pair.query, pair.database) for found in result.directions.values() for pair in found.pairs}
            assert pairs == {("morning", "evening"), ("evening", "morning")}
    assert all(line.training_s is not None for line in record.lines if not line.error)


def test_the_best_trial_is_named_by_the_mean_over_seeds_and_both_directions(tuned: tuple[StudyRecord, Path]) -> None:
    record, _ = tuned
    means = {
        line.name: np.mean([line.recall[d] for d in ("image->cloud", "cloud->image")])
        for line in record.lines
        if not line.error
    }
    line, recall = best_trial(record)
    assert recall == pytest.approx(max(means.values()))
    assert means[line.name] == max(means.values())
    text = as_markdown(study_section(record))
    assert f"{line.name} ({100 * recall:.1f} %)" in text
    better = record.lines[1].model_copy(update={"recall": {d: [1.0, 1.0] for d in record.lines[1].recall}})
    failed = record.lines[2].model_copy(update={"error": "no memory", "recall": {}})
    changed = record.model_copy(update={"lines": [record.lines[0], better, failed]})
    assert best_trial(changed) == (better, 1.0)
    assert "Best of 2 trials" in as_markdown(study_section(changed))


def test_the_unchanged_trial_shares_its_weights_with_an_ordinary_run(request_: Request) -> None:
    """What is trained does not depend on what is scored."""
    base, *_ = lines_of(TUNE, request_)
    ordinary = Plan(request_.changed(retrain=True))
    assert Plan(base.request).weights_key == ordinary.weights_key
    assert Plan(base.request).result_key != ordinary.result_key


def test_published_tuning_has_its_own_table(tuned: tuple[StudyRecord, Path], tmp_path: Path) -> None:
    publish(tuned[1].parent, tmp_path / "results")
    collection = collect(tmp_path / "results")
    assert TABLES["tune"].sections(collection) == [study_section(tuned[0])]
    assert TABLES["ablation"].sections(collection) == TABLES["learning-curve"].sections(collection) == []


def test_nothing_to_try_is_a_sentence(request_: Request, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy.Toy, "tunes", {})
    with pytest.raises(CrossplaceError, match="toy has no settings to try; give another --method"):
        lines_of(TUNE, request_)
    assert lines_of(TUNE, request_.changed(method="range_plain"))


@pytest.mark.parametrize("options", [{"checkpoint": Path(__file__)}, {"untrained": True}])
@pytest.mark.parametrize("name", [TUNE, LEARNING_CURVE, "ablation"])
def test_studies_of_training_train(request_: Request, options: dict[str, Any], name: str) -> None:
    with pytest.raises(CrossplaceError, match="trains every line anew; leave --checkpoint and --untrained out"):
        lines_of(name, request_.changed(**options))


def test_data_without_a_protocol_is_told_to_name_one(request_: Request) -> None:
    with pytest.raises(CrossplaceError, match="give one with --protocol"):
        lines_of(TUNE, request_.changed(protocol=None))
    town = request_.changed(protocol=None, dataset="town")
    assert lines_of(TUNE, town)[0].request.data.protocol == "town-on-validation"


@pytest.mark.parametrize("name", NAMES)
def test_every_method_that_learns_declares_few_settings_that_all_change_its_quick_preset(name: str) -> None:
    method = METHODS.get(name)
    assert bool(method.tunes) == method.is_trainable
    assert len(method.tunes) in ((0,) if name not in TRAINABLE else range(3, 7))
    plain = method.presets["quick"]
    for path, values in method.tunes.items():
        for value in values:
            changed = configure(method, MethodOptions(name=name, variant=study._setting(path, value)))
            assert changed != plain
            part = changed
            for step in path.split("."):
                part = getattr(part, step)
            assert part == value
            assert type(part) is type(value)
    assert sum(map(len, method.tunes.values())) < MOST_TRIALS


# --- single settings -----------------------------------------------------------------------------


def test_settings_and_variants_combine_in_order(toy: Any) -> None:
    def with_(variant: str) -> Any:
        return configure(toy.Toy, MethodOptions(name="toy", variant=variant))

    changed = with_("align.epochs=5+image.height=8")
    assert (changed.align.epochs, changed.image.height) == (5, 8)
    assert changed == replace(
        toy.ToyConfig(),
        align=replace(toy.ToyConfig().align, epochs=5),
        image=replace(toy.ToyConfig().image, height=8),
    )
    assert with_("align.epochs=5+align.epochs=6").align.epochs == 6


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("align.epoch=5", "unknown setting 'align.epoch'. Did you mean align.epochs"),
        ("align=5", "unknown setting 'align'"),
        ("align.epochs=many", "setting align.epochs=many: .*; give another value"),
    ],
)
def test_a_wrong_setting_is_a_sentence(toy: Any, variant: str, message: str) -> None:
    with pytest.raises(CrossplaceError, match=message):
        configure(toy.Toy, MethodOptions(name="toy", variant=variant))
    assert configure(toy.Toy, MethodOptions(name="toy", variant="align.epochs=5"))


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("image.per_image", "true", True),
        ("image.mean", "[0, 0.5, 1]", (0.0, 0.5, 1.0)),
        ("teach.optimizer", "sgd", "sgd"),
        ("teach.plateau", "2", 2),
    ],
)
def test_values_are_read_as_the_type_of_the_setting(toy: Any, path: str, text: str, value: Any) -> None:
    first, last = path.split(".")
    assert getattr(getattr(with_setting(toy.ToyConfig(), path, text), first), last) == value


def test_all_settings_are_the_leaves_of_a_configuration(toy: Any) -> None:
    found = settings_of(toy.ToyConfig())
    assert len(found) == len(set(found))
    assert {"weights", "image.height", "teach.learning_rate", "align.epochs"} <= set(found)
    assert not {"image", "teach"} & set(found)


# --- how many places -----------------------------------------------------------------------------


def test_a_learning_curve_takes_as_many_steps_on_fewer_places(
    request_: Request, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Steps of the shuffled stage, counted: 24 frames in batches of 2, or parts of them for longer."""
    steps: dict[str, int] = {}
    frames: dict[str, set[str]] = {}
    loader = loop.batch_loader

    def counted(dataset: PreparedDataset, batches: list[list[int]], *args: Any, **named: Any) -> Any:
        if named.get("augment") and args[0] == ("image", "cloud"):
            line = f"{len(set(itertools.chain(*batches)))} frames"
            steps[line] = steps.get(line, 0) + len(batches)
            frames.setdefault(line, set()).update(dataset.frames.frame_id[list(itertools.chain(*batches))])
        return loader(dataset, batches, *args, **named)

    monkeypatch.setattr(loop, "batch_loader", counted)
    monkeypatch.setattr(study, "PARTS", (25, 50))
    record, _ = study.run_study(LEARNING_CURVE, request_.changed(variant="align.batch_size=2", runs=tmp_path), [0])
    assert [line.error for line in record.lines] == [""] * 3
    assert [line.name for line in record.lines] == [BASE, "places 25 %", "places 50 %"]
    assert steps == {"24 frames": 24, "6 frames": 24, "12 frames": 24}
    assert frames["6 frames"] < frames["12 frames"] < frames["24 frames"]


def test_lines_of_a_learning_curve_ask_the_same_queries_and_train_on_their_part(request_: Request) -> None:
    base, *parts = lines_of(LEARNING_CURVE, request_.changed(share=0.5))
    assert [line.request.method.share for line in parts] == [5.0, 2.0, 1.0]
    whole = Plan(base.request)
    keys = {whole.weights_key}
    for line, percent in zip(parts, (10, 25, 50), strict=True):
        plan = Plan(line.request)
        assert plan.protocol.name == f"small-trained-on-{percent}-percent"
        assert plan.rows.tolist() == whole.rows.tolist()
        assert plan.protocol.split.train.middle_share == percent / 100
        assert plan.protocol.split.validation == whole.protocol.split.validation
        keys.add(plan.weights_key)
    assert len(keys) == 4


def test_differences_along_a_learning_curve_are_paired(request_: Request) -> None:
    record, _ = study.run_study(LEARNING_CURVE, request_, [0], ["places 50 %"])
    base, half = record.lines
    for direction, (change, low, high) in half.difference.items():
        assert change == pytest.approx(np.mean(half.recall[direction]) - np.mean(base.recall[direction]))
        assert low <= change <= high


def test_a_longer_schedule_is_said_in_the_result(request_: Request) -> None:
    record, _ = study.run_study(LEARNING_CURVE, request_, [0], ["places 50 %"])
    result = Result.read(request_.machine.runs / "results" / record.lines[1].runs[0])
    assert result.method.share_of_schedule == pytest.approx(2.0)
