"""Many rows at once: a table for each board, and a hole with its reason where a run fails."""

from pathlib import Path

import pytest

from benchmark.report.tables import Comparison, as_text
from benchmark.request import EngineOptions, Request
from benchmark.runs.carrying import Wanted, carry_out, undertaken
from benchmark.runs.engines import ENGINES
from benchmark.runs.jobs import PREPARE
from benchmark.runs.journal import Experience, attempts_of
from benchmark.runs.plan import Plan
from benchmark.runs.run import STEPS
from benchmark.runs.study_file import named
from benchmark.runs.sweep import run_sweep, say_expected
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset


@pytest.fixture
def request_(small_world: PreparedDataset, tmp_path: Path) -> Request:
    return Request.of(dataset=str(small_world.folder), device="cpu", runs=tmp_path / "runs", method="height_histogram")


def test_what_fails_is_a_hole_and_the_rest_has_rows_and_is_done_once(
    request_: Request, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = named([request_.changed(method="no_such_method"), request_], measured=False)
    (found,) = run_sweep(wanted, EngineOptions())
    assert [result.method.name for result in found.results] == ["height_histogram", "constant", "random", "oracle"]
    assert list(found.holes) == ["no_such_method"]
    assert found.holes["no_such_method"].startswith("unknown method 'no_such_method'")
    out = as_text(Comparison.of(found.results, holes=found.holes), 200)
    assert "no result" in out
    assert "No result of no_such_method: unknown method" in out
    assert run_sweep(wanted, EngineOptions()) == [found]
    journals = {folder.name.split("-")[0]: attempts_of(folder) for folder in (tmp_path / "runs" / "jobs").glob("*-*")}
    assert {step: len(attempts) for step, attempts in journals.items()} == {"encode": 1, "evaluate": 1}
    # What was seen says what the next seed will take.
    expected = Experience.of(tmp_path / "runs").expected("encode", request_.changed(seed=1))
    (encoded,) = journals["encode"]
    assert expected is not None
    assert (expected.seconds, expected.megabytes) == (encoded.seconds, encoded.megabytes)
    capsys.readouterr()
    say_expected(undertaken(named([request_.changed(seed=1)], measured=False), EngineOptions()))
    words = capsys.readouterr().out
    assert words.startswith("2 jobs to do; 2 are cached. Expected: ")
    assert words.endswith("from similar jobs of 2 of them\n")


def test_data_that_cannot_be_prepared_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails by itself, so that it would fail again."""
    monkeypatch.setitem(ENGINES, "here", "here:HereEngine")
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))

    def fails(plan: Plan) -> None:
        raise CrossplaceError("an image cannot be read; fetch it again")

    monkeypatch.setitem(STEPS, PREPARE, fails)
    tiny = Request.of(dataset_options=("preset=tiny",), device="cpu", runs=tmp_path / "runs", method="height_histogram")
    (hole,) = carry_out(named([tiny], measured=False), EngineOptions(engine="here"))
    assert hole.reason == "an image cannot be read; fetch it again"
    assert [len(attempts_of(folder)) for folder in (tmp_path / "runs" / "jobs").glob("prepare-*")] == [1]


def test_times_are_refused_where_the_machine_is_shared(request_: Request) -> None:
    pytest.importorskip("submitit")
    trial = EngineOptions(engine="slurm", slurm=("cluster=local",))
    with pytest.raises(CrossplaceError, match=r"takes no times, because .*; give --without-cost"):
        run_sweep(named([request_], measured=True), trial)


def test_no_result_at_all_is_a_sentence_with_every_reason(request_: Request) -> None:
    wanted = named([request_.changed(method=name) for name in ("vxpp", "lc")], measured=True)
    with pytest.raises(CrossplaceError, match=r"no run has a result: vxpp: unknown method .*; lc: unknown method"):
        run_sweep(wanted, EngineOptions())


def test_a_device_of_other_machines_must_be_named(request_: Request) -> None:
    wanted = [Wanted(label=device, request=request_.changed(device=device)) for device in ("auto", "cuda")]
    unnamed, found = undertaken(wanted, EngineOptions(engine="ray"))
    assert "give --device cpu or cuda" in unnamed.reason
    assert not found.reason, "the GPU is there, not here"
    assert [job.on_gpu for job in found.jobs] == [True, True]
