"""Many methods in one table: each in its own process, and a hole with its reason where one fails."""

from pathlib import Path

import pytest
from workers import die_before_answering

from benchmark.report.tables import Comparison, as_text
from benchmark.request import Request
from benchmark.runs import sweep
from benchmark.runs.sweep import run_sweep
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset


@pytest.fixture
def request_(small_world: PreparedDataset, tmp_path: Path) -> Request:
    return Request.of(dataset=str(small_world.folder), device="cpu", runs=tmp_path / "runs")


def test_what_fails_is_a_hole_and_the_rest_has_rows(request_: Request) -> None:
    found = run_sweep(request_, ["no_such_method", "height_histogram"])
    assert [result.method.name for result in found.results] == ["height_histogram", "constant", "random", "oracle"]
    assert list(found.holes) == ["no_such_method"]
    assert found.holes["no_such_method"].startswith("unknown method 'no_such_method'")
    out = as_text(Comparison.of(found.results, holes=found.holes), 200)
    assert "no result" in out
    assert "No result of no_such_method: unknown method" in out


def test_a_process_that_the_system_ends_is_a_hole_too(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_run", die_before_answering)
    with pytest.raises(CrossplaceError, match=r"vxp: its process ended with exit code -9"):
        run_sweep(request_, ["vxp"])
