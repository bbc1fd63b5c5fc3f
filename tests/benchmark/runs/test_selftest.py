"""Steps of a self-test: what they run, how long they may take, what is taken home; and a short form of the whole."""

import json
import sys
import time
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from shutil import which

import pytest

from benchmark.cli.main import main
from benchmark.cli.selftest import SelfTest
from benchmark.records.collection import Collection
from benchmark.registry import METHODS
from benchmark.runs import selftest, taking_home
from benchmark.runs.selftest import STEPS, Tryout, TryoutOutcome, TryoutStep, budgets_s, run_steps
from benchmark.runs.taking_home import take_home
from benchmark.training.configuring import with_setting
from datasets.files import read_json, unsealed
from datasets.prepared import PreparedDataset
from methods.layers import package_weights
from methods.recipe import recipes_in


@pytest.fixture
def asked(tmp_path: Path) -> Tryout:
    return Tryout(device="cpu", town="tiny", methods=("vxp",), folder=tmp_path)


def steps(monkeypatch: pytest.MonkeyPatch, **codes: str) -> None:
    """Steps that run a line of Python each."""
    made = {
        name: TryoutStep(
            title=name, weight=1, commands=lambda asked, seconds, code=code: [(sys.executable, "-c", code)]
        )
        for name, code in codes.items()
    }
    monkeypatch.setattr(selftest, "STEPS", made)
    monkeypatch.setattr(taking_home, "STEPS", made)


def run(asked: Tryout, names: list[str], minutes: float = 1.0) -> list[TryoutOutcome]:
    *_, outcomes = run_steps(asked, names, minutes)
    return outcomes


def test_a_failure_is_a_line_and_the_others_go_on(asked: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(monkeypatch, good="print('fine')", bad="raise SystemExit('broken')", after="print('still here')")
    found = run(asked, ["good", "bad", "after"])
    assert [(o.step, o.state, o.last_line) for o in found] == [
        ("good", "passed", "fine"),
        ("bad", "failed", "broken"),
        ("after", "passed", "still here"),
    ]


def test_a_step_is_ended_at_its_limit_with_all_that_it_began(asked: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    child = asked.folder / "child"
    code = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(child)!r}, 'w').write(str(p.pid)); print('waits', flush=True); time.sleep(600)"
    )
    steps(monkeypatch, endless=code)
    [found] = run(asked, ["endless"], minutes=3 / 60)
    assert (found.state, found.last_line, found.limit_s) == ("out of time", "waits", pytest.approx(3, abs=0.1))
    status = Path(f"/proc/{child.read_text()}/status")
    for _ in range(100):  # the system needs a moment to end a process that was killed
        if not status.exists() or "State:\tZ" in status.read_text():
            break
        time.sleep(0.1)
    else:
        pytest.fail("a process of the step lives on")


def test_what_a_step_leaves_over_goes_to_those_behind_it(asked: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(monkeypatch, first="", second="")
    first, second = run(asked, ["first", "second"], minutes=1.0)
    assert first.limit_s == pytest.approx(30, abs=0.5)
    assert second.limit_s == pytest.approx(60 - first.seconds, abs=0.5)


def test_tests_are_left_out_with_a_reason_where_there_are_none(
    asked: Tryout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert [o.last_line for o in run(asked, ["device"])] == ["these need a CUDA device"]
    monkeypatch.setattr(selftest, "CHECKOUT", tmp_path)
    assert [o.state for o in run(asked, ["sparse"])] == ["left out"]
    monkeypatch.setattr(selftest, "find_spec", lambda name: None)
    assert [o.last_line for o in run(asked, ["sparse"])] == ["pytest is not installed"]


@pytest.mark.parametrize("name", SelfTest.methods)
def test_training_stages_share_the_seconds_by_their_epochs(name: str) -> None:
    config = METHODS.get(name).presets["quick"]
    budgets = budgets_s(config, 100.0)
    changed = config
    for path, seconds in budgets.items():
        changed = with_setting(changed, path, f"{seconds:.0f}")
    planned = [recipe for recipe in recipes_in(changed) if recipe.epochs]
    assert all(recipe.budget_s for recipe in planned)
    assert sum(recipe.budget_s for recipe in planned) == pytest.approx(100, abs=len(planned))
    each = [
        seconds / attrgetter(f"{path.removesuffix('.budget_s')}.epochs")(config) for path, seconds in budgets.items()
    ]
    assert each == pytest.approx([each[0]] * len(each))


def _options(asked: Tryout, name: str) -> dict[str, str]:
    """What a training on the device is given."""
    command = selftest._bench(asked, name, 100.0)
    return {word: command[number + 1] for number, word in enumerate(command[:-1]) if word.startswith("--")}


def test_a_gpu_trains_the_largest_preset_that_needs_no_network(asked: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = replace(asked, device="cuda")
    vxp, twin = _options(on_gpu, "vxp"), _options(on_gpu, "twin_layout")
    assert (vxp["--preset"], "--weights" in vxp, vxp["--precision"]) == ("gpu-pretrained", False, "bf16-mixed")
    assert (twin["--preset"], twin["--weights"]) == ("gpu", "none")
    assert "--workers" in vxp
    on_cpu = _options(asked, "vxp")
    assert (on_cpu["--preset"], on_cpu["--weights"]) == ("quick", "none")
    assert not {"--precision", "--workers"} & set(on_cpu)
    monkeypatch.setattr(package_weights, "find_spec", lambda name: None)
    without = _options(on_gpu, "vxp")
    assert (without["--preset"], without["--weights"]) == ("gpu", "none")


def test_home_is_small_and_says_what_it_left_out(asked: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_home, "MOST_BYTES", 1000)
    monkeypatch.setattr(taking_home, "collect", lambda folder: Collection(groups=()))
    (asked.work / "logs").mkdir(parents=True)
    (asked.work / "logs" / "cost-0.log").write_bytes(b"x" * 100_000 + b"the end")
    for name, size in (("a", 600), ("b", 600)):
        folder = asked.work / "results" / "town" / name
        folder.mkdir(parents=True)
        (folder / "ranks.npz").write_bytes(b"r" * size)
    summary = take_home(
        asked, [TryoutOutcome(step="cost", command="c", state="failed", seconds=1.0, limit_s=2.0, last_line="a|b")]
    )
    home = summary.parent
    assert (home / "logs" / "cost-0.log").read_bytes().endswith(b"the end")
    assert (home / "logs" / "cost-0.log").stat().st_size == taking_home.LOG_BYTES
    assert [path.parent.name for path in home.rglob("ranks.npz")] == ["a"]
    assert "Left out for its size: results/town/b/ranks.npz." in summary.read_text()
    assert "Cost of methods" in summary.read_text()
    record = unsealed(read_json(home / "selftest.json"), home / "selftest.json")
    assert record["outcomes"][0]["state"] == "failed"
    json.dumps(record)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--minutes", "0"], "--minutes: expected a number above 0"),
        (["--steps", "sprase"], "Did you mean sparse?"),
        (["--methods", "vpx"], "Did you mean vxp?"),
        (
            ["--steps", "training", "--methods"],
            "--methods needs names of methods (crossplace list methods); leave it out",
        ),
        (["--town", "tinny"], "Did you mean tiny?"),
    ],
)
def test_a_wrong_option_is_one_sentence(options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", *options]) == 1
    assert sentence in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_short_form_of_everything_runs_on_a_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny_town: PreparedDataset
) -> None:
    """All steps but ``device``, which needs CUDA. Frames of ``tiny_town`` are there; cost makes a town of its own."""
    monkeypatch.setattr(selftest, "SPARE_S", 960.0)  # measures and trains shortly, within the limits of a slow machine
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # benchmarks do not run where it is set
    monkeypatch.setenv("TORCHINDUCTOR_VEC_ISA_OK", "0")  # code without vectors compiles in a quarter of the time
    given = ["--device", "cpu", "--town", "tiny", "--methods", "range_plain", "--minutes", "16"]
    code = main(["selftest", *given, "--output", str(tmp_path)])
    printed = capsys.readouterr()
    assert code == 0, printed.out + printed.err + "".join(p.read_text() for p in tmp_path.glob("work/logs/*"))
    home = tmp_path / "home"
    outcomes = {outcome["step"]: outcome for outcome in read_json(home / "selftest.json")["outcomes"]}
    assert {name: outcome["state"] for name, outcome in outcomes.items()} == {
        name: "left out" if name == "device" else "passed" for name in STEPS
    }
    assert outcomes["compiled"]["last_line"].startswith("2 passed") or not which("g++"), "eager and compiled"
    assert str(tiny_town.folder) in outcomes["data"]["last_line"]
    summary = (home / "summary.md").read_text()
    assert "range_plain" in summary
    assert [name for name, step in STEPS.items() if step.title not in summary] == []
    assert list(home.rglob("result.json"))
    assert sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) < 16 * 2**20
