"""Sizes and times of exported files in the tables of costs."""

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.deploy.export import MIB, Exported
from benchmark.deploy.export_cost import NO_FILE, cost_of_exports
from benchmark.records.cost import EXPORTS, CostSheet, sheets_in
from benchmark.report.cost import cost_sections
from benchmark.report.screen import screen_section
from benchmark.request import Request
from benchmark.runs.plan import Plan
from datasets.prepared import PreparedDataset

REASON = "because of voxels"


@pytest.fixture
def plan(small_world: PreparedDataset, tmp_path: Path) -> Plan:
    options = {"dataset": str(small_world.folder), "untrained": True, "device": "cpu", "runs": tmp_path / "runs"}
    return Plan(Request.of(method="height_histogram", **options))


@pytest.fixture
def sheet(plan: Plan, tmp_path: Path) -> CostSheet:
    file = tmp_path / "a.onnx"
    file.touch()
    times = {"size_mib": 3.0, "network_ms": [4.0, 6.0, 5.0], "file_ms": [1.0, 2.0, 3.0]}
    return cost_of_exports(
        plan,
        [
            Exported(part="image", form="onnx", file=file, **times),
            Exported(part="image", form="onnx int8", hole="it is worse"),
            Exported(part="cloud", form="torch.export", hole=REASON),
            Exported(part="cloud_branch.head", form="torch.export", file=file, **times),
        ],
    )


def test_network_and_file_are_series_and_the_size_is_exact(sheet: CostSheet) -> None:
    numbers = {(m.part, m.quantity): m.value for m in sheet.measures if m.values}
    assert numbers == {("image network", "latency"): 5, ("image onnx", "latency"): 2, ("image onnx", "file size"): 3}
    assert {m.part: m.hole for m in sheet.measures if m.hole} == {
        "image onnx int8": "it is worse",
        "cloud network": NO_FILE,
        "cloud torch.export": REASON,
    }, "and nothing of a part of a branch"


def test_it_lies_beside_the_costs_of_the_method_and_has_a_section_of_its_own(sheet: CostSheet, tmp_path: Path) -> None:
    sheet.write(path := sheet.path_in(tmp_path))
    assert path.name == "height_histogram-quick-exports.json"
    session = sheet.model_copy(update={"of": "", "measures": []})
    session.write(session.path_in(tmp_path))
    session, exported = cost_sections(sheets_in(tmp_path))
    assert (session.title.split(" on ")[0], exported.title.split(" on ")[0]) == ("Cost", "Exported networks")
    names = [column.name for column in exported.tables[0].columns]
    assert names[1:3] == ["latency image network", "latency image onnx"]
    drawn = screen_section(exported, 80)
    assert max(map(len, drawn.splitlines())) <= 80
    assert "network and file in turn" in " ".join(drawn.split())


@pytest.mark.slow
def test_the_command_keeps_them_where_it_is_told(
    small_world: PreparedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to, results = tmp_path / "to", tmp_path / "results"
    words = ["export", "--method", "height_histogram", "--dataset", str(small_world.folder), "--to", str(to)]
    main([*words, "--runs", str(tmp_path / "runs"), "--results", str(results)])
    (sheet,) = sheets_in(results)
    assert f"written: {sheet.path_in(results)}" in capsys.readouterr().out
    assert sheet.of == EXPORTS
    size = sheet.measure("image onnx", "file size")
    assert size is not None
    assert size.value == (to / "height_histogram-image.onnx").stat().st_size / MIB
