"""What a Ray cluster is asked for; jobs on a real one are in test_engines_agree.py."""

from pathlib import Path
from typing import Any

import pytest

from benchmark.request import EngineOptions
from benchmark.runs.engines import engine_of
from benchmark.runs.engines.on_ray import lacking
from datasets.errors import CrossplaceError


def node(alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node(CPU=8.0, GPU=1.0)], ""),
        ([node(CPU=8.0), node(CPU=2.0, GPU=1.0)], "4 CPU and 1 GPU"),
        ([node(CPU=1.0), node(CPU=4.0, GPU=2.0)], ""),
        ([node(alive=False, CPU=8.0, GPU=1.0)], "4 CPU and 1 GPU"),
        ([], "4 CPU and 1 GPU"),
    ],
)
def test_what_no_node_has_is_said(nodes: list[dict[str, Any]], expected: str) -> None:
    assert lacking(nodes, {"CPU": 4, "GPU": 1}) == expected


def test_gpus_that_are_not_needed_are_not_lacking() -> None:
    assert lacking([node(CPU=1.0)], {"CPU": 1, "GPU": 0}) == ""
    assert lacking([node(CPU=1.0)], {"CPU": 2, "GPU": 0}) == "2 CPU"


def test_a_cluster_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def nowhere(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", nowhere)
    with pytest.raises(CrossplaceError, match=r"no cluster at there:1 \(Could not .*; start one with ray start --head"):
        engine_of(EngineOptions(engine="ray", address="there:1"), tmp_path, "cpu")
