"""Studies: every line over seeds, differences against the unchanged method, holes with their reason."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import Job, forbid, forget, with_protocol

from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.records.collection import collect
from benchmark.records.comparison import differences
from benchmark.records.publish import publish
from benchmark.records.schema import RANKS, Result
from benchmark.records.study import BASE, STUDY, StudyRecord
from benchmark.report.documents import TABLES, as_markdown
from benchmark.report.studies import study_section
from benchmark.request import EngineOptions, Request
from benchmark.runs import study
from benchmark.runs.engines import ENGINES
from benchmark.runs.journal import attempts_of
from benchmark.runs.plan import Plan
from benchmark.runs.study import lines_of, plan_of, robustness
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.files import LONGEST_WHOLE_BYTES, name_fault
from datasets.prepared import PreparedDataset
from methods.base import MethodConfig, Variant
from methods.card import ShippedWeights


def shorter(config: Any) -> MethodConfig:
    return replace(config, align=replace(config.align, epochs=1))


def costly(config: Any) -> MethodConfig:
    return replace(config, align=replace(config.align, learning_rate=config.align.learning_rate / 2))


def impossible(config: Any) -> MethodConfig:
    return replace(config, teach=replace(config.teach, learning_rate=1e30))


VARIANTS = {
    "same": Variant(question="Does nothing matter?", change=lambda config: config),
    "shorter": Variant(question="Does time matter?", change=shorter),
    "impossible": Variant(question="Does time matter?", change=impossible),
    "costly": Variant(question="Does cost matter?", change=costly, is_cheap=False),
}


@pytest.fixture
def request_(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Request:
    """The toy with variants, on the small world."""
    with_protocol(monkeypatch, protocol)
    monkeypatch.setattr(toy.Toy, "variants", VARIANTS)
    monkeypatch.setattr(toy.Teach, "ignores", ("align",))
    return Request.of(method="toy", dataset=str(small_world.folder), device="cpu", runs=tmp_path / "runs")


def stored(request: Request) -> StudyRecord:
    [path] = (request.machine.runs / "studies").rglob(STUDY)
    return StudyRecord.read(path)


def run_study(name: str, request: Request, seeds: list[int], only: Sequence[str] = ()) -> str:
    """The table of a study that is run now."""
    return as_markdown(study_section(study.run_study(name, request, seeds, only)[0]))


@pytest.fixture
def ablation(request_: Request) -> tuple[str, StudyRecord]:
    text = run_study("ablation", request_, [0, 1])
    return text, stored(request_)


def test_an_ablation_runs_what_differs_and_is_affordable(ablation: tuple[str, StudyRecord]) -> None:
    _, record = ablation
    assert [line.name for line in record.lines] == [BASE, "shorter", "impossible"]
    assert [len(line.runs) for line in record.lines] == [2, 2, 0]
    assert (record.seeds, record.method, record.preset, record.share_of_schedule) == ([0, 1], "toy", "quick", 1.0)


def test_recalls_and_differences_are_those_of_the_results(ablation: tuple[str, StudyRecord], request_: Request) -> None:
    base, changed = ablation[1].lines[:2]
    results = request_.machine.runs / "results"
    for line in (base, changed):
        for run, direction in ((r, d) for r in line.runs for d in line.recall):
            found = Result.read(results / run).directions[direction].mean.recall_at[0]
            assert line.recall[direction][line.runs.index(run)] == found
    paths, against = ([results / run for run in line.runs] for line in (changed, base))
    for direction, (change, low, high) in changed.difference.items():
        expected = differences(paths, against)[direction]
        assert (change, low, high) == (expected.value, expected.interval.low, expected.interval.high)
        assert change == pytest.approx(np.mean(changed.recall[direction]) - np.mean(base.recall[direction]))
    assert all(difference == (0.0, 0.0, 0.0) for difference in base.difference.values())


def test_a_line_that_fails_stays_with_its_reason(ablation: tuple[str, StudyRecord]) -> None:
    text, record = ablation
    assert "the loss is" in record.lines[2].error
    assert f"failed: {record.lines[2].error}" in text
    assert text.count("**Does time matter?**") == 1
    assert "Does nothing matter?" not in text


def test_the_table_can_be_made_again_from_the_record(ablation: tuple[str, StudyRecord]) -> None:
    text, record = ablation
    assert text == as_markdown(study_section(record))
    assert StudyRecord.model_validate_json(json.dumps({**record.model_dump(), "later": 1})) == record


def test_a_stored_study_is_sealed_and_older_ones_have_no_seal(
    ablation: tuple[str, StudyRecord], request_: Request, tmp_path: Path
) -> None:
    [path] = (request_.machine.runs / "studies").glob(f"*/{STUDY}")
    content = json.loads(path.read_text())
    (tmp_path / STUDY).write_text(json.dumps({**content, "seeds": [7]}))
    with pytest.raises(CrossplaceError, match=r"study\.json: damaged or edited .*run the study again"):
        StudyRecord.read(tmp_path / STUDY)
    del content["seal"]
    (tmp_path / STUDY).write_text(json.dumps(content))
    assert StudyRecord.read(tmp_path / STUDY) == ablation[1]


def test_a_published_study_has_its_table(ablation: tuple[str, StudyRecord], request_: Request, tmp_path: Path) -> None:
    [folder] = (request_.machine.runs / "studies").iterdir()
    target = publish(folder, tmp_path / "results")
    assert target == tmp_path / "results" / "studies" / folder.name
    assert StudyRecord.read(target / STUDY) == ablation[1]
    collection = collect(tmp_path / "results")
    assert collection.studies == [ablation[1]]
    assert TABLES["ablation"].sections(collection) == [study_section(ablation[1])]
    (folder / STUDY).write_text("{}")
    with pytest.raises(CrossplaceError, match=r"study\.json: study: Field required; .*run the study again"):
        publish(folder, tmp_path / "results")


def test_a_second_run_trains_nothing(
    ablation: tuple[str, StudyRecord], request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, "encode")
    forget(request_.machine.runs)
    monkeypatch.setitem(VARIANTS, "impossible", VARIANTS["same"])
    assert run_study("ablation", request_, [0, 1]).startswith("## ablation: toy (quick)")


def test_lines_share_the_stages_in_which_they_agree(ablation: tuple[str, StudyRecord], request_: Request) -> None:
    """The first stage does not depend on the second's recipe, which is all that the two lines differ in."""
    stages = [path.name.split("-")[1] for path in (request_.machine.runs / "stages").iterdir()]
    assert (stages.count("teach"), stages.count("align")) == (2, 4)


def test_robustness_is_every_perturbation_at_every_severity(request_: Request) -> None:
    base, *lines = robustness(request_)
    assert base.request == request_
    assert len(lines) == 5 * len(PERTURBATIONS)
    asked = {(line.request.perturbation.perturb, line.request.perturbation.severity) for line in lines}
    assert asked == {(name, severity) for name in PERTURBATIONS for severity in range(1, 6)}


def test_a_perturbed_line_has_the_directions_that_it_changes(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: PERTURBATIONS[name] for name in ("image-noise",)}
    monkeypatch.setattr("benchmark.runs.study.PERTURBATIONS", few)
    text = run_study("robustness", request_, [0])
    base, *lines = stored(request_).lines
    assert "cloud->cloud" in base.recall
    assert len(lines) == 5
    for line in lines:
        assert set(line.recall) == set(line.difference) == set(base.recall) - {"cloud->cloud"}
    assert few["image-noise"].title in text


def test_lines_can_be_chosen_by_name_or_question(request_: Request) -> None:
    text = run_study("ablation", request_, [0], ["shorter"])
    assert [line.name for line in stored(request_).lines] == [BASE, "shorter"]
    assert run_study("ablation", request_, [0], ["Does time matter?"]).count("failed") == 1 > text.count("failed")
    with pytest.raises(CrossplaceError, match=r"unknown line of study ablation 'shortr'\. Did you mean shorter"):
        run_study("ablation", request_, [0], ["shortr"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"perturb": "image-noise"}, "leave --perturb out"), ({"checkpoint": Path(__file__)}, "leave --checkpoint and")],
    ids=["perturb", "checkpoint"],
)
def test_what_would_make_all_lines_alike_or_the_base_another_is_refused(
    request_: Request, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CrossplaceError, match=message):
        lines_of("ablation", request_.changed(**changes))


def test_a_variant_that_is_asked_for_is_in_every_line_and_in_the_title(request_: Request) -> None:
    changed = request_.changed(variant="shorter")
    variants = [line.request.method.variant for line in lines_of("ablation", changed)]
    assert variants == ["shorter", "shorter+impossible"]
    text = run_study("ablation", changed, [0], ["impossible"])
    assert text.startswith("## ablation: toy (quick+shorter)")


def test_an_ablation_takes_settings_and_changes_together(request_: Request) -> None:
    lines = lines_of("ablation", request_, ["align.epochs=3", "shorter", "shorter+costly"])
    assert [line.name for line in lines] == [BASE, "shorter", "align.epochs=3", "shorter+costly"]
    assert [line.request.method.variant for line in lines][2:] == ["align.epochs=3", "shorter+costly"]
    assert {line.question for line in lines[2:]} == {study.OWN_QUESTIONS["ablation"]}
    epochs = [Plan(line.request).declared.identity["align"]["epochs"] for line in lines[1:]]
    assert epochs == [1, 3, 1]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("same+same", "it changes nothing; leave it out"),
        ("align.epochs=1", "it is the line shorter; name that one"),
        ("align.epoch=3", "epoch"),
        ("shorter+unknown", "unknown"),
    ],
)
def test_a_change_that_is_none_is_refused(request_: Request, word: str, message: str) -> None:
    with pytest.raises(CrossplaceError, match=message):
        lines_of("ablation", request_, [word])


def test_costly_lines_run_if_they_are_named(request_: Request) -> None:
    def names(*only: str) -> list[str]:
        return [line.name for line in lines_of("ablation", request_, only)]

    assert names("costly") == [BASE, "costly"]
    assert names() == names("Does time matter?") == [BASE, "shorter", "impossible"]
    assert names("Does cost matter?") == [BASE]


def test_an_ablation_leaves_shipped_weights_alone(
    request_: Request, toy: Any, small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shipped = ShippedWeights(
        preset="quick",
        fingerprint=Job(request_).dataset.fingerprint,
        seed=0,
        file=tmp_path / "shipped",
        sha256="0" * 64,
        command="",
    )
    monkeypatch.setattr(toy.Toy, "shipped", (shipped,))
    forget(request_.machine.runs)
    assert Job(request_).weights.origin == "shipped"
    assert {plan_of(line, 0).weights.origin for line in lines_of("ablation", request_)} == {"trained"}


def test_an_unknown_study_and_a_base_that_fails_are_errors(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CrossplaceError, match=r"unknown study .ablatoin.\. Did you mean ablation"):
        run_study("ablatoin", request_, [0])
    with pytest.raises(CrossplaceError, match="the loss is"):
        run_study("ablation", request_.changed(variant="impossible"), [0])


@pytest.mark.parametrize("name", list(study.STUDIES))
def test_a_misspelt_method_is_said_before_a_line_begins(
    request_: Request, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CrossplaceError, match="unknown method 'tyo'"):
        study.run_study(name, request_.changed(method="tyo", protocol="town"), [0])
    assert caplog.messages == []


def test_a_share_of_the_schedule_is_said_in_result_and_title(request_: Request) -> None:
    result = Job(request_.changed(share=0.5), measured=False).run()[0]
    assert result.method.share_of_schedule == pytest.approx(3 / 5)  # 2 of 3 and 1 of 2 epochs
    title = run_study("ablation", request_.changed(share=0.5), [0]).splitlines()[0]
    assert "toy (quick, 60 % of the schedule)" in title


@pytest.mark.parametrize("share", [0.0, -1.0, 101.0])
def test_a_share_that_is_none_is_refused(request_: Request, share: float) -> None:
    with pytest.raises(CrossplaceError, match="share of the schedule: expected a number above 0"):
        Job(request_.changed(share=share))


@pytest.mark.parametrize(
    ("variant", "message"),
    [("shortr", "unknown variant of toy 'shortr'. Did you mean shorter"), ("same+nothing", "'nothing'")],
)
def test_unknown_variants_are_named(request_: Request, variant: str, message: str) -> None:
    with pytest.raises(CrossplaceError, match=message):
        Job(request_.changed(variant=variant))


@pytest.mark.parametrize("variant", ["+".join(["same"] * 60), "same+weights=/somewhere/else/weights.pt"])
def test_any_variant_makes_the_name_of_one_folder(request_: Request, variant: str) -> None:
    plan = Plan(request_.changed(variant=variant))
    assert plan.result_folder.parent == plan.runs / "results"
    assert name_fault(plan.result_folder.name, LONGEST_WHOLE_BYTES) == ""
    assert request_.changed(variant="same").method.label == "toy-quick+same"


def test_variants_combine_in_order(request_: Request) -> None:
    combined: Callable[[str], Any] = lambda name: Job(request_.changed(variant=name)).declared.identity  # noqa: E731
    assert combined("same+shorter") == combined("shorter") != combined("same")


# --- on an engine --------------------------------------------------------------------------------


def test_an_engine_does_what_one_process_does_and_every_job_once(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "here", "here:HereEngine")
    alone, _ = study.run_study("ablation", request_, [0, 1])
    other = request_.changed(runs=tmp_path / "other")
    carried, _ = study.run_study("ablation", other, [0, 1], engine=EngineOptions(engine="here"))

    def told(record: StudyRecord) -> list[dict[str, Any]]:
        return [line.model_dump(exclude={"training_s"}) for line in record.lines]

    assert told(carried) == told(alone)
    assert [line.name for line in carried.lines if line.error] == ["impossible"]
    attempts = {folder.name: attempts_of(folder) for folder in (tmp_path / "other" / "jobs").glob("*-*")}
    assert {len(some) for some in attempts.values()} == {1}
    steps = Counter(name.partition("-")[0] for name in attempts)
    assert steps == {"train": 6, "encode": 4, "evaluate": 4}, "two seeds of three lines, one of which cannot train"
    ranks = {
        runs: {path.parent.name: path.read_bytes() for path in (tmp_path / runs / "results").rglob(RANKS)}
        for runs in ("runs", "other")
    }
    assert ranks["other"] == ranks["runs"]
    assert sum(name.startswith("toy") for name in ranks["runs"]) == 4
