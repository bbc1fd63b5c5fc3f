"""The command line itself: help, lists, mistakes, and a process of its own."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tyro
from commands import crossplace, results_in, sentence

import benchmark
from benchmark.cli.main import Command, main
from benchmark.cli.spellings import of_today
from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.registry import DATASETS, METHODS
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from methods.layers.sparse import spconv_backend as sparse_spconv

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


# --- help and lists -------------------------------------------------------------------------------


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


# --- protocols ------------------------------------------------------------------------------------


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


# --- mistakes -------------------------------------------------------------------------------------


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


# --- in a process of its own ----------------------------------------------------------------------


def outside(
    code: str, folder: Path, *path: Path, stdout: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``code`` from ``folder`` with ``path`` before the repository on the module path."""
    python_path = os.pathsep.join(map(str, [*path, REPOSITORY]))
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | {"PYTHONPATH": python_path} | environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
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


@pytest.mark.parametrize("arguments", [["export", "--help"], ["list", "datasets"]], ids=" ".join)
def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(arguments: list[str], tmp_path: Path) -> None:
    """As ``crossplace list datasets | head -0`` does: the pipe is closed at its other end before a word is written."""
    reading, writing = os.pipe()
    os.close(reading)
    code = f"import sys; from benchmark.cli.main import main; sys.exit(main({arguments!r}))"
    done = outside(code, tmp_path, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_another_package_named_datasets_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "other" / "datasets").mkdir(parents=True)
    (tmp_path / "other" / "datasets" / "__init__.py").write_text("def load_dataset(): ...")
    code = "import sys; from benchmark.cli.main import main; sys.exit(main(['list']))"
    done = outside(code, tmp_path, tmp_path / "other")
    assert done.returncode == 1
    assert done.stderr.startswith("error: another package named 'datasets' was imported from ")
    assert len(done.stderr.splitlines()) == 1


# --- data -----------------------------------------------------------------------------------------


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
    assert main(["data", "stats", str(tmp_path / "nowhere"), "--sheet", str(tmp_path / "sheet.pdf")]) == 1
    assert "sheet.pdf" in capsys.readouterr().err, "said before the data is looked for"
