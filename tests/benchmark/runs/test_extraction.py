"""Encoding as a worker asks for it: bench finds what several of them made."""

from dataclasses import replace
from pathlib import Path

import pytest
from jobs import Job, with_protocol

from benchmark.cli.main import main
from benchmark.descriptors.sharding import Shard
from benchmark.request import Request
from benchmark.runs.extraction import encode_part
from benchmark.runs.plan import Plan
from datasets.base import Protocol, Selection
from datasets.prepared import PreparedDataset

BY_DAY = Selection(traversals=("morning", "evening"))


@pytest.fixture
def request_(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Request:
    with_protocol(monkeypatch, replace(protocol, query=BY_DAY, database=BY_DAY))
    return Request.of(method="height_histogram", dataset=str(small_world.folder), device="cpu", runs=tmp_path / "runs")


def test_bench_finds_what_three_workers_encoded(request_: Request, tmp_path: Path) -> None:
    alone = Job(request_.changed(runs=tmp_path / "alone"), measured=False).run()[0]
    missing = [encode_part(Plan(request_, measured=False), Shard(number, 3)) for number in (3, 1, 2)]
    assert missing == [[Shard(1, 3), Shard(2, 3)], [Shard(2, 3)], []]
    assert not list((tmp_path / "runs" / "shards").glob("[!.]*"))
    arrays = sorted((tmp_path / "runs" / "descriptors").rglob("*.npy"))
    before = [array.stat().st_mtime_ns for array in arrays]
    assert encode_part(Plan(request_, measured=False), Shard(1, 3)) == []
    found = Job(request_, measured=False).run()[0]
    assert [array.stat().st_mtime_ns for array in arrays] == before
    assert {d: r.pooled for d, r in found.directions.items()} == {d: r.pooled for d, r in alone.directions.items()}


def test_weights_are_trained_before_the_first_shard(request_: Request, toy: object) -> None:
    plan = Plan(request_.changed(method="toy"), measured=False)
    assert encode_part(plan, Shard(2, 2)) == [Shard(1, 2)]
    assert plan.is_trained
    assert encode_part(Plan(request_.changed(method="toy"), measured=False), Shard(1, 2)) == []


def test_the_command_says_what_is_missing(
    request_: Request, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = ("--dataset", request_.data.dataset, "--runs", str(tmp_path / "r"))
    asked = ["encode", "--method", "height_histogram", *data]
    assert main([*asked, "--shard", "2/2"]) == 0
    assert capsys.readouterr().out.startswith("shard 2/2 is there; missing: 1/2\n")
    assert main([*asked, "--shard", "1/2"]) == 0
    assert capsys.readouterr().out.startswith("descriptors: ")
    assert main([*asked, "--shard", "3/2"]) == 1
    assert "is no shard" in capsys.readouterr().err
