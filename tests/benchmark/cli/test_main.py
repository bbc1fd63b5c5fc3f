"""The commands as a person types them."""

import csv
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro

import benchmark
from benchmark.cli.main import Command, main
from benchmark.cli.spellings import of_today
from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.records.registration import RegistrationRecord
from benchmark.records.schema import Result
from benchmark.registry import DATASETS, METHODS, REGISTRARS
from benchmark.report.documents import DOCUMENTS, TABLES
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from methods.layers.sparse import spconv_backend as sparse_spconv
from methods.recipe import Recipe

REPOSITORY = Path(__file__).parents[3]
COMMANDS = [
    "bench",
    "sweep",
    "study",
    "sensitivity",
    "scale",
    "score",
    "check-method",
    "list",
    "data",
    "data prepare",
    "data from-trajectory",
    "data check",
    "data stats",
    "protocol",
    "protocol leaks",
    "protocol export",
    "train",
    "encode",
    "evaluate",
    "convert",
    "compare",
    "publish",
    "tables",
    "figures",
    "report",
    "cost",
    "data fetch",
    "data sample",
    "export",
    "register",
    "selftest",
]
TINY = ("--dataset", "town", "--dataset-options", "preset=tiny")
DIRECTIONS = ["image->cloud", "cloud->image", "image->image", "cloud->cloud"]


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``runs`` and ``results`` go by default."""
    monkeypatch.chdir(tmp_path)


def crossplace(*arguments: object) -> None:
    """A command that must succeed."""
    assert main([str(a) for a in arguments]) == 0


def sentence(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command that must fail says: one line on standard error, after nothing on standard output."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == ""
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


def written(folder: Path) -> list[Path]:
    """Files below ``folder``, but for what plans remember of methods."""
    return [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "declared"]


def results_in(runs: Path) -> dict[str, Result]:
    found = [Result.read(path.parent) for path in runs.glob("results/*/result.json")]
    assert len({result.method.name for result in found}) == len(found)
    return {result.method.name: result for result in found}


# --- help and lists ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert f"usage: crossplace {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["bench", "train"])
def test_options_are_shown_with_their_defaults(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for option, default in {
        "--method": "vxp",
        "--preset": "quick",
        "--dataset": "town",
        "--seed": "0",
        "--device": "auto",
        "--precision": "32-true",
        "--runs": "runs",
        "--untrained": "False",
    }.items():
        described = out[out.rindex(f"{option} ") :]
        assert f"(default: {default})" in described[:400], option


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("methods", METHODS.names()),
        ("presets", METHODS.names()),
        ("datasets", DATASETS.names()),
        ("protocols", PROTOCOLS),
        ("perturbations", PERTURBATIONS),
    ],
)
def test_lists_name_everything(what: str, names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    crossplace("list", what)
    lines = capsys.readouterr().out.splitlines()
    firsts = [line.split()[0] for line in lines if line and not line.startswith((" ", "─"))]
    assert [name for name in dict.fromkeys(firsts) if name in names] == list(names)


@pytest.mark.parametrize(("what", "name"), [("methods", "vxp"), ("datasets", "kitti"), ("protocols", "kitti-vxp")])
def test_all_about_one_entry(what: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    crossplace("list", what, name)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == name
    assert any(line.startswith("title: ") for line in lines)
    assert "Did you mean" in sentence(capsys, "list", what, name[:-1])
    assert "takes no name" in sentence(capsys, "list", "presets", "quick")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    crossplace("--version")
    assert capsys.readouterr().out == f"crossplace {benchmark.__version__}\n"


def examples() -> list[str]:
    """The example of every command, from its help."""
    found = []
    for path in sorted((REPOSITORY / "benchmark" / "cli").glob("*.py")):
        found += re.findall(r"^    Example: (crossplace .+)$", path.read_text(), flags=re.MULTILINE)
    return found


def documented() -> list[str]:
    """Every command line of README and docs/commands.md."""
    text = "\n".join((REPOSITORY / name).read_text() for name in ("README.md", "docs/commands.md"))
    found = re.findall(r"^    (?:nox -s bench -- (.+)|crossplace (.+?))(?: {2,}#.*)?$", text, flags=re.MULTILINE)
    return [f"crossplace bench {bench}" if bench else f"crossplace {other}" for bench, other in found]


@pytest.mark.parametrize("line", [*examples(), *documented()])
def test_every_command_line_of_the_help_and_the_documents_is_understood(line: str) -> None:
    words = shlex.split(line.split("  #")[0], comments=True)[1:]
    words = [word.strip("[]") for word in words if word not in ("…", "[RUN", "…]")]
    if "|" in line:  # a choice: its first
        words = [word.split("|")[0] for word in words]
    tyro.cli(Command, args=of_today(words))


def test_there_are_examples_and_documented_commands() -> None:
    assert len(examples()) >= 12
    assert len(documented()) >= 20


@pytest.mark.parametrize(
    "line",
    [
        "score mine --method lc2",
        "evaluate --descriptors mine --method lc2 --checkpoint nofile",
        "train --perturb yaw-offset",
        "sweep --method lc2",
        "bench --seeds 0 1",
        "study ablation --perturb yaw-offset",
    ],
)
def test_an_option_that_a_command_does_not_use_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert "Unrecognized options" in capsys.readouterr().err


def test_missing_descriptors_are_said_before_anything_is_prepared(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))
    for line in ("score nowhere", "evaluate --descriptors nowhere"):
        assert sentence(capsys, *line.split()).startswith("nowhere: no frame_ids.txt here or below")
    assert list(tmp_path.iterdir()) == []


def test_a_word_that_is_no_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["benhc"])
    assert ended.value.code == 2
    assert "bench" in capsys.readouterr().err


# --- protocols -----------------------------------------------------------------------------------


def test_leaks_are_printed_below_what_the_protocol_is(
    tiny_town: PreparedDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    crossplace("protocol", "leaks", "town", *TINY)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"town v{PROTOCOLS['town'].version}: {PROTOCOLS['town'].title}"
    assert len([line for line in lines if line.startswith(("queries (", "database frames ("))]) == 4
    assert any("≤ 10 m" in line and "≤ 25 m" in line for line in lines)


def test_a_protocol_is_exported_once_to_a_new_folder(
    tiny_town: PreparedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = tmp_path / "lists"
    crossplace("protocol", "export", "town", "--dataset-options", "preset=tiny", "--output", lists)
    assert f"written: {lists} (" in capsys.readouterr().out
    assert (lists / "SHA256SUMS").is_file()
    assert "is not empty" in sentence(capsys, "protocol", "export", "town", *TINY, "--output", lists)


def test_a_protocol_of_other_data_or_no_name_is_a_sentence(
    tiny_town: PreparedDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Did you mean town or town-any?" in sentence(capsys, "protocol", "leaks", "twon")
    assert "is for dataset 'kitti'" in sentence(capsys, "protocol", "leaks", "liploc", *TINY)


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            "bench --method vpx",
            ["unknown method 'vpx'.", "Did you mean vxp?", f"Available: {', '.join(METHODS.names())}"],
        ),
        ("train --preset quik", ["unknown preset of vxp 'quik'.", "Did you mean quick?", "paper-oxford"]),
        (
            "bench --dataset twon",
            ["unknown dataset 'twon'.", "Did you mean town?", "Available: boreas, kitti, oxford, town"],
        ),
        (
            "bench --dataset-options presets=tiny",
            ["unknown option of dataset town 'presets=tiny'.", "Did you mean preset=…?", "seed=…"],
        ),
        ("data prepare town --dataset-options preset=big", ["dataset town: preset=big:", "'small' or 'tiny'"]),
        ("data prepare town --dataset-options seed=-1", ["seed must be 0 or more"]),
        (
            "bench --method vxp --dataset oxford",
            [
                "--source is needed",
                "robotcar-dataset.robots.ox.ac.uk",
                "Next: crossplace data check oxford",
            ],
        ),
        (
            "bench --dataset kitti",
            ["name a download with --source", "CC BY-NC-SA 3.0", "crossplace data fetch kitti --yes"],
        ),
        ("evaluate --dataset nowhere", ["unknown dataset 'nowhere'"]),
        ("convert vxp-official nowhere.pth out.safetensors", ["nowhere.pth: no readable torch file"]),
        ("publish nowhere", ["nowhere: no such folder; name the folder of a run, below runs/results or results"]),
        ("bench --device gpu", ["unknown device 'gpu'"]),
        ("bench --sparse-backend spconv", ["sparse backend spconv: it is missing today", "--sparse-backend torch"]),
        ("bench --perturb image-blurr", ["unknown perturbation 'image-blurr'.", "Did you mean image-blur"]),
        ("evaluate --severity 4", ["--severity 4 says how much, not what: name a perturbation with --perturb"]),
        ("convert vpx-official a.pth b.safetensors", ["unknown format of weights", "Did you mean vxp-official?"]),
        ("data stats town --figure stripe", ["unknown figure 'stripe'.", "Did you mean strip?"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_one_sentence_and_exit_code_1(
    arguments: str, parts: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse_spconv, "_refusal", lambda: "it is missing today; choose --sparse-backend torch")
    said = sentence(capsys, *arguments.split())
    for part in parts:
        assert part in said


@pytest.mark.parametrize("command", [("bench",), ("evaluate", "--descriptors", ".")], ids=["bench", "evaluate"])
def test_an_unknown_protocol_is_found_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))
    said = sentence(capsys, *command, *TINY, "--protocol", "kitti-synchronus-10m")
    assert said.startswith("unknown protocol 'kitti-synchronus-10m'. Did you mean kitti-synchronous-10m or ")
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_says_how_to_go_on(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.runs.run.measure", interrupt)
    assert main(["bench", "--method", "height_histogram", "--dataset", str(small_world.folder)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted; the same command continues where it stopped"


# --- in a process of its own ---------------------------------------------------------------------


def outside(code: str, folder: Path, *path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` from ``folder`` with ``path`` before the repository on the module path."""
    python_path = os.pathsep.join(map(str, [*path, REPOSITORY]))
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | {"PYTHONPATH": python_path} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_runs_from_another_directory(small_world: PreparedDataset, tmp_path: Path) -> None:
    arguments = ["bench", "--method", "height_histogram", "--dataset", str(small_world.folder), "--device", "cpu"]
    done = outside(f"import sys; from benchmark.cli.main import main; sys.exit(main({arguments!r}))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "own-data-20m v1" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr, "plain text where there is no terminal"
    assert results_in(tmp_path / "runs").keys() == {"height_histogram", "constant", "random", "oracle"}
    assert not (REPOSITORY / "runs" / "results" / next(iter(results_in(tmp_path / "runs").values())).run_id).exists()


def test_the_command_line_is_quick_and_keeps_threads_from_spinning(tmp_path: Path) -> None:
    code = (
        "import os, sys; import benchmark.cli.main; "
        "print(os.environ['OMP_WAIT_POLICY'], {'torch', 'matplotlib', 'trimesh'} & set(sys.modules))"
    )
    assert outside(code, tmp_path).stdout == "passive set()\n"


def test_another_package_named_datasets_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "other" / "datasets").mkdir(parents=True)
    (tmp_path / "other" / "datasets" / "__init__.py").write_text("def load_dataset(): ...")
    code = "import sys; from benchmark.cli.main import main; sys.exit(main(['list']))"
    done = outside(code, tmp_path, tmp_path / "other")
    assert done.returncode == 1
    assert done.stderr.startswith("error: another package named 'datasets' was imported from ")
    assert len(done.stderr.splitlines()) == 1


# --- data ----------------------------------------------------------------------------------------


def test_data_is_prepared_once(tiny_town: PreparedDataset, capsys: pytest.CaptureFixture[str]) -> None:
    """The fixture has done it; the command finds it."""
    crossplace("data", "prepare", "town", "--dataset-options", "preset=tiny")
    captured = capsys.readouterr()
    assert captured.out == f"{tiny_town.folder}: 499 frames kept, 7 traversals, 4,866 m, 12 min\n"
    assert captured.err == ""


def test_check_lists_findings_and_fails_if_something_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    crossplace("data", "check", "town")
    out = capsys.readouterr().out
    assert out.startswith("ok      ")
    assert out.endswith("next: crossplace data prepare town\n")
    crossplace("data", "check", "town", "--dataset-options", "preset=tiny", "seed=3")
    assert capsys.readouterr().out.endswith("prepare town --dataset-options preset=tiny seed=3\n")
    assert main(["data", "check", "oxford", "--source", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert [line[:8].strip() for line in captured.out.splitlines()] == ["MISSING"]
    assert "oxford cannot be prepared; where to get the data: https://" in captured.err


def test_stats_show_every_traversal_and_draw_a_sheet(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    crossplace("data", "stats", small_world.folder, "--sheet", tmp_path / "sheet.png")
    out = capsys.readouterr().out
    assert all(name in out for name in small_world.traversals)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


# --- the plan ------------------------------------------------------------------------------------


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


# --- whole rows ----------------------------------------------------------------------------------


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
    assert "town · town v2 · procedural stand-in, never to be compared with real data" in first.out
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


def test_a_row_goes_on_to_poses(
    small_world: PreparedDataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row = ("bench", "--method", "height_histogram", "--dataset", small_world.folder, "--device", "cpu")
    crossplace(*row, "--register", "oracle", "--queries", "7")
    out = capsys.readouterr().out
    assert "retrieved: the frame that height_histogram quick retrieved first" in out
    assert "Does registration re-rank?" in out
    (path,) = tmp_path.glob("runs/registration/oracle-*/registration.json")
    record = RegistrationRecord.read(path)
    assert record.start.result == results_in(tmp_path / "runs")["height_histogram"].run_id
    assert record.all.end.accuracy.n_queries == 7
    assert record.all.end.accuracy.recall["0.25 m 2°"] == 1.0
    assert "unknown registrar 'orcle'. Did you mean oracle" in sentence(capsys, *row, "--register", "orcle")


@pytest.mark.parametrize(("what", "words"), [("registrars", "Rough pose as it is"), ("starts", "±0.6 m, ±2°")])
def test_registrars_and_starts_are_listed(what: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    crossplace("list", what)
    assert words in capsys.readouterr().out


@pytest.mark.data
def test_registration_runs_on_real_frames(kitti_mini: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The bounds on the maps of other sweeps, which must hold the walls that the query's own sweep saw."""
    for name, best in (("keep", 0.0), ("oracle", 1.0)):
        options = ("--dataset", "kitti", "--source", kitti_mini, "--device", "cpu", "--queries", "4")
        crossplace("register", "--method", name, *options)
        out = capsys.readouterr().out
        assert "SMOKE RUN: recall means nothing" in out
        (path,) = (tmp_path / "runs" / "registration").glob(f"{name}-*/registration.json")
        record = RegistrationRecord.read(path)
        assert record.all.end.accuracy.recall["0.25 m 2°"] == best
        assert record.all.end.accuracy.n_queries == 4
        assert record.maps.n_empty == 0
        assert record.maps.median_points > 50_000
        assert record.maps.least_gap_s is not None
        assert record.maps.least_gap_s > 0.5, "frames are half a second apart, and none is its own map"


@pytest.mark.data
@pytest.mark.parametrize("name", sorted({*REGISTRARS.names()} - {"keep", "oracle"}))
def test_every_registrar_runs_on_real_frames(name: str, kitti_mini: Path, tmp_path: Path) -> None:
    options = ("--dataset", "kitti", "--source", kitti_mini, "--device", "cpu", "--queries", "2", "--untrained")
    crossplace("register", "--method", name, *options)
    (path,) = (tmp_path / "runs" / "registration").glob(f"{name}-*/registration.json")
    record = RegistrationRecord.read(path)
    assert (record.all.end.accuracy.n_queries, record.all.end.accuracy.n_missing) == (2, 0)


# --- descriptors that anyone made ----------------------------------------------------------------


def naive_ranks(folder: Path, query: np.ndarray, database: np.ndarray) -> dict[tuple[str, str], int]:
    """(query frame, traversal searched) → rank of the first frame within 20 m and 0.5 rad, by the dot product.

    Reads the table by itself and knows nothing of the harness. Descriptors are (frames, views, size), by row.
    """
    with (folder / "frames.csv").open() as file:
        frames = list(csv.DictReader(file))
    poses = [tuple(float(frame[name]) for name in ("east_m", "north_m", "yaw_rad")) for frame in frames]
    ranks = {}
    for q, asking in enumerate(frames):
        for traversal in {frame["traversal"] for frame in frames} - {asking["traversal"]}:
            searched = [i for i, frame in enumerate(frames) if frame["traversal"] == traversal]
            likeness = {i: max(float(a @ b) for a in query[q] for b in database[i]) for i in searched}
            order = sorted(searched, key=lambda i: (-likeness[i], i))
            (east, north, yaw), ranks[asking["frame_id"], traversal] = poses[q], 0
            for rank, i in enumerate(order, start=1):
                is_near = math.hypot(poses[i][0] - east, poses[i][1] - north) <= 20
                if is_near and abs(poses[i][2] - yaw) < 0.5:
                    ranks[asking["frame_id"], traversal] = rank
                    break
    return ranks


@pytest.fixture
def foreign(small_world: PreparedDataset, tmp_path: Path) -> Callable[..., Path]:
    """Write descriptors as another program would: integers as floats, several views, ids in an order of their own."""

    def foreign(**arrays: np.ndarray) -> Path:
        folder = tmp_path / "ours"
        folder.mkdir()
        order = np.random.default_rng(1).permutation(36)
        ids = small_world.frames.frame_id[order]
        (folder / "frame_ids.txt").write_text("\n".join(ids) + "\n")
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array[order])
        (folder / "descriptors.json").write_text('{"method": "Ours / v2", "distance": "dot"}')
        return folder

    return foreign


def whole_numbers(seed: int, views: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-3, 4, (36, views, 3)).astype(np.float32)


def ranks_of(folder: Path, direction: str) -> dict[tuple[str, str], int]:
    with np.load(folder / "ranks.npz", allow_pickle=False) as file:
        ranks = dict(file)
    rows = np.flatnonzero(ranks["directions"][ranks["query_direction"]] == direction)
    searched = ranks["pairs"][ranks["query_pair"]][:, 1]
    return {
        (str(ranks["frame_id"][ranks["query_frame"][row]]), str(searched[row])): int(
            ranks["query_first_positive_rank"][row]
        )
        for row in rows
    }


def test_foreign_descriptors_get_the_ranks_of_naive_loops(
    small_world: PreparedDataset, foreign: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images, clouds = whole_numbers(2, views=2), whole_numbers(3, views=1)
    folder = foreign(images=images, clouds=clouds[:, 0])
    crossplace("evaluate", "--descriptors", folder, "--dataset", small_world.folder)
    result = results_in(tmp_path / "runs")["Ours / v2"]
    run = tmp_path / "runs" / "results" / result.run_id
    assert result.run_id.startswith("Ours_v2-own-data-20m-")
    by_modality = {"image": images, "cloud": clouds}
    for direction in DIRECTIONS:
        query, _, database = direction.partition("->")
        assert ranks_of(run, direction) == naive_ranks(small_world.folder, by_modality[query], by_modality[database])
    out = capsys.readouterr().out
    assert "Ours / v2" in out
    assert (result.cost, result.method.origin) == (None, "foreign")


def test_clouds_alone_are_evaluated_among_themselves(
    small_world: PreparedDataset, foreign: Callable[..., Path], tmp_path: Path
) -> None:
    folder = foreign(clouds=whole_numbers(3, views=1))
    crossplace("evaluate", "--descriptors", folder, "--dataset", small_world.folder)
    assert list(results_in(tmp_path / "runs")["Ours / v2"].directions) == ["cloud->cloud"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "frame_ids.txt").write_text("a\n"), "clouds.npy: expected floats of shape (1, size)"),
        (lambda f: (f / "descriptors.json").write_text("{"), "descriptors.json: not valid JSON"),
        (
            lambda f: np.save(f / "clouds.npy", np.full((36, 2), np.nan)),
            "clouds.npy: row 0 is not finite (36 such rows)",
        ),
        (lambda f: (f / "frame_ids.txt").unlink(), "no frame_ids.txt here or below"),
        (lambda f: (f / "clouds.npy").unlink(), "no query"),
    ],
    ids=["length", "json", "not finite", "no ids", "no arrays"],
)
def test_broken_descriptors_are_one_sentence(
    small_world: PreparedDataset,
    foreign: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], object],
    message: str,
) -> None:
    folder = foreign(clouds=whole_numbers(3, views=1))
    damage(folder)
    assert message in sentence(capsys, "evaluate", "--descriptors", folder, "--dataset", small_world.folder)


def test_missing_frames_are_one_sentence(
    small_world: PreparedDataset, foreign: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = foreign(clouds=whole_numbers(3, views=1))
    ids = (folder / "frame_ids.txt").read_text().split()
    (folder / "frame_ids.txt").write_text("\n".join("other" if i == "evening-4" else i for i in ids) + "\n")
    said = sentence(capsys, "evaluate", "--descriptors", folder, "--dataset", small_world.folder)
    assert "no cloud descriptor for 1 of 12 frames that the protocol needs, first 'evening-4'" in said


# --- tables --------------------------------------------------------------------------------------


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


# --- perturbations -------------------------------------------------------------------------------


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
