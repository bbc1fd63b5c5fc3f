"""Curves of recall as a person asks for them: what is counted, what is cached, and what each sentence advises."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import Job, forbid, with_protocol

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.sensitivity import AXES
from benchmark.frames.preparing import find_protocol
from benchmark.records.publish import publish
from benchmark.records.sensitivity import SENSITIVITY, SensitivityRecord
from benchmark.report.documents import as_markdown
from benchmark.report.screen import screen_section
from benchmark.report.sensitivity import sensitivity_section, sensitivity_tables
from benchmark.request import Request
from benchmark.runs.sensitivity import run_sensitivity
from datasets.base import Protocol, Selection
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

BY_DAY = Selection(traversals=("morning", "evening"))


@pytest.fixture
def request_(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Request:
    """The skyline histogram on the small world, morning and evening against each other; nothing to train."""
    with_protocol(monkeypatch, replace(protocol, query=BY_DAY, database=BY_DAY), "a warning")
    return Request.of(method="height_histogram", dataset=str(small_world.folder), device="cpu", runs=tmp_path / "runs")


@pytest.fixture
def elsewhere(small_world: PreparedDataset, tmp_path: Path) -> Path:
    """A prepared folder with the small world's frames under another name: places that are never right."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(small_world.folder, folder)
    described = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**described, "name": "elsewhere"}))
    return folder


def own(record: SensitivityRecord, axis: str) -> dict[str, dict[str, float | None]]:
    """Values of the protocol's own point of an axis."""
    (point,) = [point for point in record.axes[axis].points if point.is_own]
    return {direction: recall.values for direction, recall in point.directions.items()}


# --- numbers -------------------------------------------------------------------------------------


def test_every_axis_holds_the_result_of_bench_at_the_protocols_own_value(request_: Request) -> None:
    result = Job(request_, measured=False).run()[0]
    record, path = run_sensitivity(request_)
    assert list(record.axes) == list(AXES)
    for axis in AXES:
        assert own(record, axis) == {d: result.headline(d).values for d in result.directions}
        (point,) = [point for point in record.axes[axis].points if point.is_own]
        for direction, found in point.directions.items():
            stored = result.directions[direction]
            assert found.intervals == stored.intervals
            assert (found.n_counted, found.n_database) == (result.headline(direction).n_counted, 12.0)
    assert SensitivityRecord.read(path) == record
    assert path.parent.parent == request_.machine.runs / "sensitivity"
    assert (record.dataset, record.protocol, record.method) == (result.dataset, result.protocol, result.method)
    assert record.warnings == result.warnings


def test_foreign_frames_of_another_dataset_are_ranked_as_if_they_had_been_in_the_map(
    request_: Request, elsewhere: Path, protocol: Protocol
) -> None:
    """Each is the double of a frame of the test: equally near, and so never before the double of a right one."""
    record, _ = run_sensitivity(request_, ["distractors"], str(elsewhere))
    (source_of_test, source) = record.foreign
    assert (source_of_test.n_available, source.n_available, source.dataset) == (0, 36, "elsewhere")
    points = {point.value: point.directions for point in record.axes["distractors"].points}
    assert list(points) == [0.0, 1.0, 2.0]
    assert source.n_frames == 24
    assert [left.value for left in record.axes["distractors"].left_out] == [5.0, 10.0]
    for direction in points[0.0]:
        recalls = [points[value][direction].values["R@1"] or 0.0 for value in (0.0, 1.0, 2.0)]
        assert recalls == sorted(recalls, reverse=True)
        assert [points[value][direction].n_database for value in (0.0, 1.0, 2.0)] == [12, 24, 36]
    assert points[2.0]["cloud->cloud"].values != points[0.0]["cloud->cloud"].values
    (folder,) = (request_.machine.runs / "descriptors").glob("*elsewhere-distractors*")
    foreign = Descriptors.read(folder)
    real = Descriptors.read(Job(request_).descriptor_folder)
    for frame_id, row in foreign.rows["cloud"].items():
        if frame_id in real.rows["cloud"]:
            np.testing.assert_array_equal(
                foreign.arrays["cloud"][row], real.arrays["cloud"][real.rows["cloud"][frame_id]]
            )


def test_a_radius_without_any_right_answer_is_left_out(request_: Request, protocol: Protocol) -> None:
    assert run_sensitivity(request_, ["radius"])[0].axes["radius"].points[0].value == 5.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(AXES, "radius", replace(AXES["radius"], values=(0.5, 5.0)))
        record, _ = run_sensitivity(request_, ["radius"])
    (left,) = record.axes["radius"].left_out
    assert (left.value, left.reason) == (0.5, "no query has a right answer")
    assert "0.5 m is left out: no query has a right answer." in as_markdown(sensitivity_section(record))


def test_the_tiny_town_has_foreign_districts(tiny_town: PreparedDataset, tmp_path: Path) -> None:
    request = Request.of(
        method="height_histogram", dataset_options=("preset=tiny",), device="cpu", runs=tmp_path / "runs"
    )
    record, _ = run_sensitivity(request)
    (source,) = record.foreign
    protocol, _ = find_protocol(None, tiny_town)
    assert (source.dataset, source.fingerprint) == ("town", tiny_town.fingerprint)
    assert all(len(axis.points) >= 2 for axis in record.axes.values())
    values = [point.directions["cloud->cloud"].values["R@1"] for point in record.axes["distractors"].points]
    assert values == sorted(values, key=lambda value: -(value or 0.0))
    assert values[-1] != values[0]
    radius = {point.value: point.directions["cloud->cloud"] for point in record.axes["radius"].points}
    assert radius[protocol.radius_m].values == own(record, "radius")["cloud->cloud"]


# --- what is cached ------------------------------------------------------------------------------


def test_a_second_call_does_nothing(request_: Request, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, path = run_sensitivity(request_, (), str(elsewhere))
    before = path.stat().st_mtime_ns
    forbid(monkeypatch, "encode", "train", "read")
    assert run_sensitivity(request_, (), str(elsewhere)) == (first, path)
    assert path.stat().st_mtime_ns == before


def test_a_call_after_bench_encodes_foreign_frames_alone(
    request_: Request, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Job(request_, measured=False).run()
    run_sensitivity(request_, ["distractors"], str(elsewhere))
    forbid(monkeypatch, "encode")
    run_sensitivity(request_, ["radius", "heading"])
    run_sensitivity(request_)
    run_sensitivity(request_, (), str(elsewhere))
    Job(request_, measured=False).run()


def test_a_method_is_trained_once(request_: Request, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = request_.changed(method="toy")
    record, _ = run_sensitivity(trained, ["radius"])
    assert record.method.origin == "trained"
    forbid(monkeypatch, "train", "encode")
    assert own(run_sensitivity(trained, ["heading"])[0], "heading") == own(record, "radius")


# --- what is said --------------------------------------------------------------------------------


def test_an_axis_that_is_none_is_answered_with_the_near_one(request_: Request) -> None:
    with pytest.raises(CrossplaceError, match=r"unknown axis 'radus'\. Did you mean radius\? Available: radius, "):
        run_sensitivity(request_, ["radus"])
    assert list(run_sensitivity(request_, ["radius"])[0].axes) == ["radius"]


def test_distractors_without_their_axis_are_refused(request_: Request, elsewhere: Path) -> None:
    with pytest.raises(CrossplaceError, match="add distractors to --axes, or leave --distractors out"):
        run_sensitivity(request_, ["radius"], str(elsewhere))
    assert list(run_sensitivity(request_, ["radius", "distractors"], str(elsewhere))[0].axes) == [
        "radius",
        "distractors",
    ]
    assert list(run_sensitivity(request_, ["radius"])[0].axes) == ["radius"]


def test_the_dataset_itself_is_no_other(request_: Request, elsewhere: Path, small_world: PreparedDataset) -> None:
    with pytest.raises(CrossplaceError, match=r"is the dataset of the test.* name another, or leave --distractors out"):
        run_sensitivity(request_, (), str(small_world.folder))
    assert run_sensitivity(request_, ["distractors"], str(elsewhere))[0].foreign
    assert run_sensitivity(request_, ["distractors"])[0].foreign == []


def test_a_method_that_re_ranks_has_no_distractors_and_says_how_it_gets_them(
    request_: Request, toy: Any, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The toy with a second descriptor; the same without it, as a variant without re-ranking is, has them."""
    plain = run_sensitivity(request_.changed(method="toy"), ["distractors"], str(elsewhere))[0]
    assert [point.value for point in plain.axes["distractors"].points] == [0.0, 1.0, 2.0]
    read = Descriptors.read
    monkeypatch.setattr(Descriptors, "read", lambda folder: replace(read(folder), top=3, second=read(folder)))
    record = run_sensitivity(request_.changed(method="toy", seed=1), ["distractors"], str(elsewhere))[0]
    assert [point.value for point in record.axes["distractors"].points] == [0.0]
    assert "choose a variant without re-ranking" in record.axes["distractors"].left_out[0].reason
    assert record.foreign == []


def test_a_protocol_that_searches_a_part_of_the_map_has_none(
    request_: Request, protocol: Protocol, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(protocol, query=BY_DAY, database=BY_DAY)
    with_protocol(monkeypatch, replace(whole, search_depth=5))
    record = run_sensitivity(request_, ["distractors"], str(elsewhere))[0]
    assert [point.value for point in record.axes["distractors"].points] == [0.0]
    shown = as_markdown(sensitivity_section(record))
    assert "the nearest 5 frames alone; choose one that searches the whole map" in shown
    with_protocol(monkeypatch, whole)
    assert len(run_sensitivity(request_, ["distractors"], str(elsewhere))[0].axes["distractors"].points) == 3


# --- records and tables --------------------------------------------------------------------------


def test_a_record_is_sealed_published_and_shown(request_: Request, elsewhere: Path, tmp_path: Path) -> None:
    record, path = run_sensitivity(request_, (), str(elsewhere))
    target = publish(path.parent, tmp_path / "results")
    assert target == tmp_path / "results" / "sensitivity" / path.parent.name
    assert SensitivityRecord.read(target / SENSITIVITY) == record
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "seed": 7}))
    with pytest.raises(CrossplaceError, match=r"damaged or edited .*run crossplace sensitivity again"):
        SensitivityRecord.read(path)
    (path).unlink()
    assert run_sensitivity(request_, (), str(elsewhere))[0].axes == record.axes
    for axis, table in zip(record.axes.values(), sensitivity_tables(record), strict=True):
        assert len(table.rows) == len(axis.points)
        for row, point in zip(table.rows, axis.points, strict=True):
            values = [100 * (recall.values["R@1"] or 0.0) for recall in point.directions.values()]
            assert [cell.value for cell in row[1:-2]] == pytest.approx(values)
        assert sum(cell.under == "as the protocol" for cell, *_ in table.rows) == 1
    for draw in (as_markdown, screen_section):
        text = draw(sensitivity_section(record))
        assert "height_histogram (quick) · small_world · small v1" in text
        assert "no limit" in text
        assert "Foreign frames: 24 of the 36 of elsewhere." in text
    further = sensitivity_tables(record, "R@5")[0]
    assert further.title.endswith("R@5, %")
