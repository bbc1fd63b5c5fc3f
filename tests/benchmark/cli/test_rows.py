"""Rows as a person asks for them: plans, whole rows, published tables, perturbed frames."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import DIRECTIONS, crossplace, results_in, sentence, written

from benchmark.cli.main import main
from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.records.schema import Result
from benchmark.registry import METHODS
from benchmark.report.documents import DOCUMENTS, TABLES
from datasets.prepared import PreparedDataset
from methods.recipe import Recipe

TINY = ("--dataset", "town", "--dataset-options", "preset=tiny")


# --- the plan -------------------------------------------------------------------------------------


def test_a_plan_before_the_data_is_there_knows_its_first_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))
    crossplace("bench", *TINY, "--dry-run")
    first, *later = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["1.", "prepare"]
    key, state, folder = first.split()[2:]
    assert (state, folder) == ("runs", f"{tmp_path}/data/prepared/town-{key}")
    assert len(later) == 3
    assert all("runs" in line and "known once the data is prepared" in line for line in later)
    assert written(tmp_path) == []


def test_the_plan_of_a_study_does_nothing_either(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = ("--method", "height_histogram", "--dataset", small_world.folder, "--device", "cpu")
    noisy_or_blurred = ("range-noise 0.02", "image-blur 0.02")
    crossplace("bench", *row, "--study", "robustness", "--lines", *noisy_or_blurred, "--seeds", "0", "3", "--dry-run")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "seed" in line] == [
        *("unchanged · seed 0", "unchanged · seed 3"),
        *(f"{PERTURBATIONS['range-noise'].title} (m) · range-noise 0.02 · seed {seed}" for seed in (0, 3)),
        *(f"{PERTURBATIONS['image-blur'].title} (of the width) · image-blur 0.02 · seed {seed}" for seed in (0, 3)),
    ]
    assert sum("encode perturbed" in line for line in lines) == 4
    assert written(tmp_path) == []


PLAN_LINE = r"\d\. (?P<name>.+?) +(?P<key>[0-9a-f]{12}) +(?P<state>cached|runs) +(?P<folder>.+)"


def plan(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, str]:
    crossplace("bench", *arguments, "--dry-run")
    lines = [re.fullmatch(PLAN_LINE, line) for line in capsys.readouterr().out.splitlines()]
    return {line["name"]: line["state"] for line in lines if line}


def test_a_plan_says_what_is_cached_and_does_nothing(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = ("--method", "height_histogram", "--dataset", small_world.folder, "--device", "cpu")
    steps = {"prepare": "cached", "load weights": "cached", "encode": "runs", "evaluate and measure": "runs"}
    assert plan(capsys, *row) == steps
    assert written(tmp_path) == []
    crossplace("bench", *row)
    capsys.readouterr()
    assert plan(capsys, *row) == dict.fromkeys(steps, "cached")
    assert plan(capsys, *row, "--seed", 1) == steps


# --- whole rows -----------------------------------------------------------------------------------


def check_rows(results: dict[str, Result], method: str) -> None:
    assert results.keys() == {method, "constant", "random", "oracle"}
    for result in results.values():
        assert list(result.directions) == DIRECTIONS
    for direction in results["oracle"].directions.values():
        assert direction.mean.recall_at == (1.0,) * 25
    cost = results[method].cost
    assert cost is not None
    assert cost.image is not None
    assert cost.cloud is not None
    assert (cost.image.event_total_ms, cost.cloud.event_total_ms) == (None, None)


def check_random_is_chance(folder: Path) -> None:
    """The row of the random ranker is the exact expectation over all orders of the candidates."""
    with np.load(folder / "ranks.npz", allow_pickle=False) as ranks:
        n_positives, n_candidates = (ranks[f"query_n_{name}"].astype(int) for name in ("positives", "candidates"))
        of_first = ranks["query_direction"] == 0
    has = of_first & (n_positives > 0)
    pooled = Result.read(folder).directions["image->cloud"].pooled
    assert pooled.recall_at[0] == pytest.approx((n_positives[has] / n_candidates[has]).mean())


def test_height_histogram_on_the_town(
    tiny_town: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = ("bench", "--method", "height_histogram", *TINY, "--device", "cpu")
    crossplace(*row)
    first = capsys.readouterr()
    results = results_in(tmp_path / "runs")
    check_rows(results, "height_histogram")
    check_random_is_chance(tmp_path / "runs" / "results" / results["random"].run_id)
    assert results["random"].dataset.is_real is False
    assert "town preset=tiny · town v2 · procedural stand-in, never to be compared with real data" in first.out
    assert "SMOKE" not in first.out
    crossplace(*row)
    second = capsys.readouterr()
    assert second.out == first.out
    (line,) = second.err.splitlines()
    assert "nothing to do" in line


def test_untrained_vxp_on_the_town(
    tiny_town: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    crossplace("bench", "--method", "vxp", "--preset", "quick", "--untrained", *TINY, "--device", "cpu")
    results = results_in(tmp_path / "runs")
    check_rows(results, "vxp")
    assert results["vxp"].method.weights == "untrained"
    assert "untrained" in capsys.readouterr().out
    assert not (tmp_path / "runs" / "training").exists()


@pytest.fixture
def short_vxp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick preset with an epoch a stage."""
    from methods.vxp import Vxp

    def short(recipe: Recipe) -> Recipe:
        return replace(recipe, epochs=1)

    quick: Any = Vxp.presets["quick"]
    changed = replace(
        quick,
        teacher=short(quick.teacher),
        local_stage=short(quick.local_stage),
        global_stage=short(quick.global_stage),
        image=replace(quick.image, height=32, width=32),
    )
    monkeypatch.setitem(Vxp.presets, "quick", changed)


def test_vxp_is_trained_encoded_and_evaluated(
    small_world: PreparedDataset, short_vxp: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    crossplace("bench", "--method", "vxp", "--dataset", small_world.folder, "--device", "cpu")
    captured = capsys.readouterr()
    results = results_in(tmp_path / "runs")
    check_rows(results, "vxp")
    record = results["vxp"].method
    assert list(record.training["stages"]) == ["teacher", "local", "global"]
    assert (record.weights, record.share_of_schedule) == ("trained", 1.0)
    assert "trained from scratch: no pretrained backbone" in captured.out
    for stage in ("teacher", "local", "global"):
        assert f"{stage}: epoch 1/1 · train " in captured.err


def test_training_alone_leaves_weights_for_bench(
    small_world: PreparedDataset, short_vxp: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = ("--method", "vxp", "--dataset", small_world.folder, "--device", "cpu")
    crossplace("train", *row)
    weights = Path(capsys.readouterr().out.removeprefix("weights: ").strip())
    assert (tmp_path / weights).is_file()
    assert plan(capsys, *row)["train"] == "cached"
    crossplace("train", "--method", "height_histogram", "--dataset", small_world.folder)
    assert capsys.readouterr().out == "weights: as initialised\n"


@pytest.mark.data
def test_a_smoke_run_on_real_frames(kitti_mini: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    crossplace("bench", "--method", "height_histogram", "--dataset", "kitti", "--source", kitti_mini, "--device", "cpu")
    out = capsys.readouterr().out
    results = results_in(tmp_path / "runs")
    check_rows(results, "height_histogram")
    assert results["oracle"].dataset.is_real
    assert "SMOKE RUN: recall means nothing" in out
    assert "stand-in" not in out
    assert str(kitti_mini) not in out, "tables are published and must not name folders"
    run = tmp_path / "runs" / "results" / results["height_histogram"].run_id
    crossplace("publish", run)
    published = tmp_path / "results" / "kitti" / run.name
    assert [path.name for path in published.iterdir()] == ["result.json"]


# --- tables ---------------------------------------------------------------------------------------


def test_published_results_become_tables(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    crossplace("bench", "--method", "height_histogram", "--dataset", small_world.folder, "--device", "cpu")
    capsys.readouterr()
    crossplace("publish", *sorted((tmp_path / "runs" / "results").iterdir()))
    assert capsys.readouterr().out.count("published results/small_world/") == 4
    crossplace("tables")
    out = capsys.readouterr().out
    n_files = len(TABLES) * len(DOCUMENTS)
    assert f"written: {n_files} files in results/tables" in out
    assert len([*(tmp_path / "results" / "tables").iterdir()]) == n_files
    text = (tmp_path / "results" / "tables" / "recall.md").read_text()
    assert text.count("| height_histogram ") == 3, "a table a metric"
    assert "| height_histogram " in (tmp_path / "results" / "tables" / "cost.md").read_text()
    assert text.count("oracle 100.0.") == 3, "a bound below each metric"


# --- perturbations --------------------------------------------------------------------------------


def test_training_knows_no_perturbation(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--perturb yaw-offset", "--severity 3"):
        with pytest.raises(SystemExit) as ended:
            main(["train", *option.split()])
        assert ended.value.code == 2
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "--perturb" not in capsys.readouterr().out


def test_a_clean_and_a_perturbed_run_are_compared_query_by_query(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = ("--method", "height_histogram", "--dataset", small_world.folder, "--device", "cpu")
    crossplace("evaluate", *row)
    assert "perturbation" not in capsys.readouterr().out
    crossplace("evaluate", *row, "--perturb", "yaw-offset", "--severity", 5)
    out = capsys.readouterr().out
    assert out.count("yaw-offset 5: 90 °") == 1
    assert "docs/robustness.md" in out
    (clean,) = (tmp_path / "runs" / "results").glob("height_histogram-quick-own-data-20m-s0-*")
    (perturbed,) = (tmp_path / "runs" / "results").glob("height_histogram-quick-own-data-20m-yaw-offset-5-s0-*")
    for runs in ((perturbed, clean), (clean, perturbed)):
        crossplace("compare", runs[0], "--against", runs[1])
        lines = capsys.readouterr().out.splitlines()
        rows = [line.split() for line in lines if " blocks of " in line]
        assert [row[0] for row in rows] == ["image→cloud", "cloud→image", "cloud→cloud"]
        assert any(line.split()[:1] == ["perturbation"] and "yaw-offset 5: 90 °" in line for line in lines)
    recalls = [Result.read(run).directions["cloud->cloud"].mean.recall_at[0] for run in (clean, perturbed)]
    assert recalls[0] is not None
    assert recalls[1] is not None
    assert f"{100 * (recalls[0] - recalls[1]):+.1f}" in rows[-1]
    assert recalls[0] > recalls[1]


def test_all_methods_are_planned_and_a_study_is_of_one(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    crossplace("bench", "--method", "all", "--dataset", small_world.folder, "--device", "cpu", "--dry-run")
    planned = [line for line in capsys.readouterr().out.splitlines() if not line[0].isdigit()]
    assert planned == METHODS.names()
    crossplace("sweep", "--dataset", small_world.folder, "--device", "cpu", "--dry-run")
    assert [line for line in capsys.readouterr().out.splitlines() if not line[0].isdigit()] == planned
    assert "unknown method 'all'" in sentence(capsys, "bench", "--method", "all", "--study", "ablation")
    assert "Did you mean lc2?" in sentence(capsys, "sweep", "--methods", "vxp", "lc")


def test_sensitivity_prints_a_table_for_each_axis_and_where_it_lies(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("sensitivity", "--method", "height_histogram", *TINY, "--axes", "radius", "heading")
    crossplace(*asked)
    out = capsys.readouterr().out
    assert "Place radius" in out
    assert "Heading limit" in out
    assert "Distractors" not in out
    assert Path(out.splitlines()[-1]).is_file()
    assert "Did you mean heading" in sentence(capsys, *asked[:-1], "headin")
