"""Registration as a person asks for it: truth is hidden, errors are those of the poses, work is found again."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch

from benchmark.evaluation.registration import pose_errors
from benchmark.frames.local_maps import LocalMaps
from benchmark.frames.starts import draw_start
from benchmark.records.collection import Collection, collect
from benchmark.records.cost import sheets_in
from benchmark.records.publish import publish
from benchmark.records.registration import POSES, REGISTRATION, RegistrationRecord
from benchmark.registry import REGISTRARS
from benchmark.report.cost import cost_sections
from benchmark.report.documents import TABLES, as_markdown
from benchmark.report.figures.plates import as_svg, plates
from benchmark.report.figures.topics import cells, chosen
from benchmark.report.screen import screen_section
from benchmark.request import DataOptions, MachineOptions, MethodOptions, RegistrationOptions, Request
from benchmark.runs import registering
from benchmark.runs.plan import Plan
from benchmark.runs.registering import batch_of
from benchmark.runs.registration import Registration, run_registration
from benchmark.runs.rough_poses import TOP, camera_poses
from benchmark.runs.run import run
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.card import MethodCard
from methods.pose_bounds import Keep
from methods.registration import Registered, RegistrationBatch

HERE = "own_registrars"
"""Name of a module with the registrars below."""


class Halfway(Keep):
    """Goes half of the way from the start to the truth, which it may look at."""

    sees_truth = True

    def register(self, batch: RegistrationBatch) -> Registered:
        """Poses with half of the translation error and all of the rotation error."""
        found = super().register(batch)
        assert batch.true_map_from_camera is not None
        middle = (batch.rough_map_from_camera[:, :3, 3] + batch.true_map_from_camera[:, :3, 3]) / 2
        found.map_from_camera[:, :3, 3] = middle
        return found


class Watcher(Keep):
    """Keeps what it is shown, believes in the second of several starts, and has no pose for some frames."""

    seen: ClassVar[list[RegistrationBatch]] = []

    def register(self, batch: RegistrationBatch) -> Registered:
        """The start; nothing for frames of the evening."""
        self.seen.append(batch)
        found = super().register(batch)
        found.belief = torch.linspace(0.1, 0.9, len(batch)) if len(batch) > 1 else torch.full((1,), 0.5)
        if batch.frames[0].traversal == "evening":
            found.map_from_camera[:] = torch.nan
        return found


@pytest.fixture(autouse=True)
def registrars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three registrars beside those of the table."""
    entries = {**REGISTRARS.entries, "halfway": f"{HERE}:Halfway", "watcher": f"{HERE}:Watcher"}
    monkeypatch.setitem(REGISTRARS.__dict__, "entries", entries)
    monkeypatch.setitem(sys.modules, HERE, SimpleNamespace(Halfway=Halfway, Watcher=Watcher, __file__=__file__))
    for kind in (Halfway, Watcher):
        card: MethodCard = replace(Keep.card, name=kind.__name__.lower())
        monkeypatch.setattr(kind, "card", card)
    monkeypatch.setattr(Watcher, "seen", [])


def asked(world: PreparedDataset, runs: Path, name: str, **changes: object) -> Registration:
    request = Registration(
        data=DataOptions(dataset=str(world.folder)),
        method=MethodOptions(name=name),
        device=MachineOptions(runs=runs, device="cpu"),
        how=RegistrationOptions(queries=0),
        start="published",
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def stored(path: Path) -> dict[str, np.ndarray]:
    with np.load(path.parent / POSES) as arrays:
        return dict(arrays)


@pytest.mark.parametrize(("name", "depends"), [("keep", False), ("cmrnet", True)])
def test_precision_tells_registrars_apart_that_are_trained(
    small_world: PreparedDataset, tmp_path: Path, name: str, depends: bool
) -> None:
    method = MethodOptions(name=name, retrain=depends)
    devices = [MachineOptions(runs=tmp_path, device="cpu", precision=p) for p in ("32-true", "bf16-mixed")]
    full, mixed = (asked(small_world, tmp_path, name, method=method, device=device).key for device in devices)
    assert (full != mixed) == depends


def test_keep_and_oracle_bound_the_table(small_world: PreparedDataset, tmp_path: Path) -> None:
    kept, path = run_registration(asked(small_world, tmp_path, "keep"))
    true, _ = run_registration(asked(small_world, tmp_path, "oracle"))
    assert kept.all.start == true.all.start
    assert kept.all.end.accuracy.recall == kept.all.start.accuracy.recall
    assert kept.all.end.accuracy.translation_m == pytest.approx(kept.all.start.accuracy.translation_m, abs=1e-5)
    assert kept.all.end.accuracy.rotation_deg == pytest.approx(kept.all.start.accuracy.rotation_deg, abs=1e-4)
    assert kept.all.improvement.worse == 0
    assert true.all.end.accuracy.recall == {"0.25 m 2°": 1, "0.5 m 5°": 1, "5 m 10°": 1}
    assert true.all.end.accuracy.median[0] == pytest.approx(0, abs=1e-4)
    assert (true.n_available, true.all.end.accuracy.n_queries) == (36, 36)
    assert true.within is not None
    assert true.within.end.accuracy.n_queries == 36, "starts of this range lie in the range"
    assert true.maps.least_gap_s == pytest.approx(86_400, abs=20), "a day lies between two drives"
    assert path.parent.parent == tmp_path / "registration"


def test_starts_are_the_drawn_ones_and_errors_those_of_the_poses(small_world: PreparedDataset, tmp_path: Path) -> None:
    record, path = run_registration(asked(small_world, tmp_path, "halfway"))
    poses, frames = stored(path), small_world.frames
    assert poses["query_row"].tolist() == list(range(36))
    for row in (0, 17, 35):
        camera = np.linalg.inv(small_world.frame(row).camera_from_lidar)  # type: ignore[arg-type]
        yaw, (east, north, up) = frames.yaw_rad[row], frames.position_m[row]
        lidar = np.array([[np.cos(yaw), -np.sin(yaw), 0, east], [np.sin(yaw), np.cos(yaw), 0, north], [0, 0, 1, up]])
        lidar = np.concatenate([lidar, [[0, 0, 0, 1]]])
        np.testing.assert_allclose(poses["truth"][row], lidar @ camera, atol=1e-9)
        drawn = draw_start("published", 0, frames.frame_id[row])
        np.testing.assert_allclose(poses["rough"][row, 0], lidar @ camera @ drawn, atol=1e-9)
    start, end = (pose_errors(poses[name][:, 0], poses["truth"]) for name in ("rough", "pose"))
    np.testing.assert_allclose(end.translation_m, start.translation_m / 2, atol=1e-4)
    assert record.all.end.accuracy.median[0] == pytest.approx(float(np.median(end.translation_m)))
    gain = record.all.improvement.median_translation_m
    assert gain is not None
    assert gain.value == pytest.approx(float(np.median(start.translation_m) / 2), abs=1e-4)


def test_a_registrar_is_shown_no_truth_and_no_sweep_of_its_own_drive(
    small_world: PreparedDataset, tmp_path: Path
) -> None:
    run_registration(asked(small_world, tmp_path, "watcher"))
    assert len(Watcher.seen) == 36
    assert all(batch.true_map_from_camera is None for batch in Watcher.seen)
    batch = Watcher.seen[4]
    origin_m = np.round(stored(next(tmp_path.rglob(REGISTRATION)))["rough"][4, 0, :3, 3])
    points = batch.points[0].numpy() + origin_m
    assert len(points) > 300
    own = small_world.load_cloud(small_world.frame(4)) + small_world.frames.position_m[4]  # it heads east
    nearest = np.linalg.norm(points[:, None] - own[None], axis=2).min(axis=1)
    assert (nearest > 1e-3).all(), "the own sweep would lie on its own points"


def test_poses_of_a_batch_are_rigid_and_near_its_origin(small_world: PreparedDataset, tmp_path: Path) -> None:
    request = asked(small_world, tmp_path, "keep")
    rows = np.array([9])
    truth = camera_poses(small_world, rows, rows)
    maps = LocalMaps(small_world, tmp_path)
    local = maps.around(truth[0, :3, 3], request.sweeps.of(9))
    batch = batch_of(small_world, 9, [local, local], np.repeat(truth, 2, axis=0), truth[0])
    assert batch.rough_map_from_camera.shape == (2, 4, 4)
    assert batch.rough_map_from_camera[0, :3, 3].abs().max() <= 0.5 + 1e-6
    assert torch.equal(batch.rough_map_from_camera[:, 3], torch.tensor([[0.0, 0, 0, 1]] * 2))
    in_camera = (local.points_m - batch.rough_map_from_camera[0, :3, 3].numpy()) @ batch.rough_map_from_camera[
        0, :3, :3
    ].numpy()
    ahead = in_camera[:, 2] > 4
    assert ahead.sum() > 50, "walls stand ahead of the camera, along its z axis"


def test_a_query_without_a_pose_is_a_failure(small_world: PreparedDataset, tmp_path: Path) -> None:
    record, _ = run_registration(asked(small_world, tmp_path, "watcher"))
    assert record.all.end.accuracy.n_missing == 12
    curve = record.all.end.curve_m
    assert max(curve) == pytest.approx(24 / 36)
    assert record.believed.share == pytest.approx(24 / 36), "a pose that is not there is not believed"


def test_a_second_call_finds_the_record_and_other_choices_make_another(
    small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(small_world, tmp_path, "keep", how=RegistrationOptions(queries=5))
    record, _ = run_registration(request)
    assert record.all.end.accuracy.n_queries == 5
    monkeypatch.setattr(Keep, "register", lambda *_: pytest.fail("registered again"))
    assert run_registration(replace(request))[0] == record
    others = [
        replace(request, start="published-2"),
        replace(request, how=RegistrationOptions(queries=6)),
        replace(request, how=RegistrationOptions(queries=5, agreement=2)),
        replace(request, method=MethodOptions(name="keep", seed=1)),
        replace(request, method=MethodOptions(name="oracle")),
    ]
    assert len({other.key for other in others} | {request.key}) == 6


def test_an_interrupted_run_continues_where_it_stopped(
    small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, path = run_registration(asked(small_world, tmp_path / "whole", "watcher"))
    monkeypatch.setattr(registering, "PART", 10)
    Watcher.seen.clear()
    register = Watcher.register

    def interrupted(self: Watcher, batch: RegistrationBatch) -> Registered:
        if len(self.seen) == 25:
            raise KeyboardInterrupt
        return register(self, batch)

    monkeypatch.setattr(Watcher, "register", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_registration(asked(small_world, tmp_path, "watcher"))
    assert len(list(tmp_path.glob("registration/*/part-*.npz"))) == 2
    monkeypatch.setattr(Watcher, "register", register)
    Watcher.seen.clear()
    again, other = run_registration(asked(small_world, tmp_path, "watcher"))
    assert len(Watcher.seen) == 36 - 20, "twenty queries were stored"
    assert again.all == whole.all
    for name, array in stored(path).items():
        np.testing.assert_array_equal(stored(other)[name], array)
    assert sorted(file.name for file in other.parent.iterdir()) == [POSES, REGISTRATION]


def test_a_damaged_part_is_computed_again(
    small_world: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(small_world, tmp_path, "watcher")
    request.folder.mkdir(parents=True)
    (request.folder / "part-0000.npz").write_bytes(b"no zip at all")
    run_registration(request)
    assert len(Watcher.seen) == 36


def test_retrieved_frames_are_starts_and_several_are_reranked(small_world: PreparedDataset, tmp_path: Path) -> None:
    options = {"method": "height_histogram", "dataset": str(small_world.folder), "device": "cpu", "runs": tmp_path}
    plan = Plan(Request.of(**options), measured=False)
    result = run(plan)[0]
    changes = {"start": "retrieved", "result": plan.result_folder}
    record, path = run_registration(asked(small_world, tmp_path, "watcher", **changes))
    poses, frames = stored(path), small_world.frames
    assert poses["rough"].shape[1] == TOP
    assert record.start.result == result.run_id
    headline = result.headline("image->cloud")
    assert record.n_available == headline.n_counted
    assert record.reranking is not None
    assert record.reranking.first_is_right == pytest.approx(headline.values["R@1"])
    assert record.reranking.any_is_right == pytest.approx(headline.values["R@5"])
    has_poses = frames.traversal[poses["query_row"]] != "evening"  # without any, the first frame stays
    chosen = np.where(has_poses, poses["is_right"][:, -1], poses["is_right"][:, 0])
    assert record.reranking.chosen_is_right == pytest.approx(float(chosen.mean())), "the last is believed most"
    # Every start is the place of a frame of another drive: its camera stands where that frame's does.
    cameras = camera_poses(small_world, np.arange(36), np.arange(36))
    for row, rough in zip(poses["query_row"], poses["rough"], strict=True):
        for start in rough:
            (frame,) = np.flatnonzero(np.abs(cameras - start).max(axis=(1, 2)) < 1e-9)
            assert frames.traversal[frame] != frames.traversal[row]


def test_a_result_of_other_data_or_without_ranks_is_refused(
    small_world: PreparedDataset, tiny_town: PreparedDataset, tmp_path: Path
) -> None:
    options = {"method": "height_histogram", "dataset": str(small_world.folder), "device": "cpu", "runs": tmp_path}
    plan = Plan(Request.of(**options), measured=False)
    run(plan)
    other = asked(tiny_town, tmp_path, "keep", start="retrieved", result=plan.result_folder)
    with pytest.raises(CrossplaceError, match="the result is of other data"):
        run_registration(other)
    (plan.result_folder / "ranks.npz").unlink()
    with pytest.raises(CrossplaceError, match=r"no ranks\.npz with the frames that were found"):
        run_registration(asked(small_world, tmp_path, "keep", start="retrieved", result=plan.result_folder))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": "publishd"}, r"unknown start 'publishd'. Did you mean published"),
        ({"start": "retrieved"}, "--start retrieved and --result FOLDER go together"),
        ({"result": Path("somewhere")}, "--start retrieved and --result FOLDER go together"),
        ({"method": MethodOptions(name="kep")}, r"unknown registrar 'kep'. Did you mean keep"),
        ({"how": RegistrationOptions(queries=-1)}, "--queries must be 0 or more"),
        ({"data": DataOptions(dataset="town", protocol="twn")}, "unknown protocol 'twn'"),
    ],
)
def test_mistakes_are_said_before_any_work(
    small_world: PreparedDataset, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(CrossplaceError, match=words):
        asked(small_world, tmp_path, "keep", **changes)


def test_records_are_published_without_poses_and_make_a_table(small_world: PreparedDataset, tmp_path: Path) -> None:
    for name in ("keep", "halfway"):
        _, path = run_registration(asked(small_world, tmp_path / "runs", name))
        target = publish(path.parent, tmp_path / "results")
        assert [file.name for file in target.iterdir()] == [REGISTRATION]
        assert target.parent == tmp_path / "results" / "registration"
    collection = collect(tmp_path / "results", tmp_path / "runs")
    assert [record.method.name for record in collection.registrations] == ["halfway", "keep"]
    (section,) = TABLES["registration"].sections(collection)
    text = as_markdown(section)
    for words in ("start as it is", "halfway", "keep", "0.5 m 5°", "made worse", "By initial error"):
        assert words in text
    assert "halfway" in screen_section(section)
    (plate,), holes = plates("registration", collection)
    assert not holes
    drawn = as_svg(plate)
    assert "halfway" in drawn
    assert "mathdefault" not in drawn
    shares = cells(chosen(plate.table, "registrar", "halfway"), "error", "at most", "share")
    record = collection.registrations[0]
    assert ("translation error", 30.0, 100.0) in shares
    assert len(shares) == len(record.all.end.curve_m) + len(record.all.end.curve_deg)


def test_without_registrations_the_figure_says_what_makes_one() -> None:
    _, (hole,) = plates("registration", Collection(groups=()))
    assert "crossplace register makes one" in hole.reason


def test_what_registration_costs_is_a_file_of_costs(small_world: PreparedDataset, tmp_path: Path) -> None:
    run_registration(asked(small_world, tmp_path, "keep"))
    (sheet,) = sheets_in(tmp_path)
    for part in ("registration", "local map"):
        measure = sheet.measure(part, "latency")
        assert measure is not None
        assert measure.values["n"] == 36
        assert 0 < measure.values["p50"] <= measure.values["p95"]
    assert sheet.inputs.image_size == (32, 24)
    (section,) = cost_sections([sheet])
    assert section.title.startswith("Registration on ")


def test_a_damaged_record_is_refused(small_world: PreparedDataset, tmp_path: Path) -> None:
    _, path = run_registration(asked(small_world, tmp_path, "keep"))
    assert RegistrationRecord.read(path).method.name == "keep"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "seed": 7}))
    with pytest.raises(CrossplaceError, match="damaged or edited"):
        RegistrationRecord.read(path)
