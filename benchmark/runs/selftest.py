"""What a machine that was never tried can do, by one command: whether all runs, how fast, and what is learnt on it.

Each step is a process of its own with a time limit. A step that fails is a line of the summary; the others go on.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Literal

from benchmark.registry import METHODS
from benchmark.request import DEFAULT_DATASET
from benchmark.training.configuring import settings_of
from datasets.errors import CrossplaceError
from datasets.jobs import MOST_WORKERS
from methods.base import FROM_SCRATCH, PACKAGE, MethodConfig
from methods.layers.package_weights import packaged

log = logging.getLogger(__name__)

CHECKOUT = Path(__file__).parents[2]
SPARSE_TESTS = ("tests/methods/layers/sparse", "tests/methods/layers/test_voxels.py")
DEVICE_TESTS = ("tests/methods", "tests/benchmark/cost")
SPARE_S = 60.0
"""Time of a training step for all but training: imports, frames, descriptors, evaluation."""

ON_GPU = ("gpu-pretrained", "gpu")
"""Presets for a GPU; the first that can begin is taken."""

Command = Sequence[str]
State = Literal["passed", "failed", "out of time", "left out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tryout:
    """What is tried, and with what."""

    device: str
    """``cpu``, ``cuda`` or ``cuda:N``."""
    town: str
    """Preset of the town that methods train on."""
    methods: tuple[str, ...]
    """Methods to train."""
    folder: Path
    """Everything lies below: the work, and what is taken home."""

    @property
    def work(self) -> Path:
        """Checkpoints, descriptors, results and logs."""
        return self.folder / "work"

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA device."""
        return self.device != "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class TryoutStep:
    """One line of the summary."""

    title: str
    weight: int
    """Share of the time, beside the other steps. What a step leaves over goes to those behind it."""
    commands: Callable[[Tryout, float], list[Command]]
    """The commands, each of which gets an equal part of the seconds."""
    absent: Callable[[Tryout], str] = lambda asked: ""
    """Why the step is left out; empty if it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TryoutOutcome:
    """What came of a command."""

    step: str
    command: str
    state: State
    seconds: float
    limit_s: float
    last_line: str
    """The last line that it printed, or the reason why it was left out."""


def _python(*arguments: str) -> Command:
    return (sys.executable, *arguments)


def _crossplace(*arguments: str) -> Command:
    return _python("-m", "benchmark.cli.main", *arguments)


def _pytest(*arguments: str) -> Command:
    return _python("-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)


def _no_tests(asked: Tryout) -> str:
    if find_spec("pytest") is None:
        return "pytest is not installed"
    return "" if (CHECKOUT / "tests").is_dir() else "tests are not beside the package; run it in a checkout"


def _no_gpu_tests(asked: Tryout) -> str:
    return _no_tests(asked) or ("" if asked.on_gpu else "these need a CUDA device")


def _sparse(asked: Tryout, seconds: float) -> list[Command]:
    return [_pytest(*SPARSE_TESTS)]


def _device(asked: Tryout, seconds: float) -> list[Command]:
    return [_pytest("-m", "gpu", *DEVICE_TESTS)]


def _compiled(asked: Tryout, seconds: float) -> list[Command]:
    which = ("-m", "gpu") if asked.on_gpu else ("-m", "not gpu")
    columns = "--benchmark-columns=median,iqr,rounds"
    return [_pytest(*which, "--benchmark-only", columns, "tests/benchmarks/test_compiled.py")]


def _data(asked: Tryout, seconds: float) -> list[Command]:
    return [_crossplace("data", "prepare", DEFAULT_DATASET, "--dataset-options", f"preset={asked.town}")]


def _cost(asked: Tryout, seconds: float) -> list[Command]:
    minutes = max(seconds - SPARE_S, 10.0) / 60
    some = () if asked.on_gpu else ("--methods", *asked.methods)  # architectures of papers are slow on a CPU
    how = ("--minutes", f"{minutes:.2f}", "--device", asked.device, "--output", str(asked.work))
    return [_crossplace("cost", *some, *how)]


def _training(asked: Tryout, seconds: float) -> list[Command]:
    each_s = seconds / len(asked.methods) - SPARE_S
    return [_bench(asked, name, max(each_s, 10.0)) for name in asked.methods]


def _bench(asked: Tryout, name: str, seconds: float) -> Command:
    """A row whose training stages share so many seconds by their planned epochs."""
    config = METHODS.get(name).presets[preset := _preset(asked, name)]
    variant = "+".join(f"{path}={part:.0f}" for path, part in budgets_s(config, seconds).items())
    # Nothing is downloaded: weights come from a package, or there are none.
    weights = () if config.weights == PACKAGE else ("--weights", FROM_SCRATCH)
    data = ("--dataset", DEFAULT_DATASET, "--dataset-options", f"preset={asked.town}")
    fast = ("--precision", "bf16-mixed", "--workers", str(_n_workers())) if asked.on_gpu else ()
    how = ("--retrain", "--device", asked.device, *fast, "--runs", str(asked.work), "--alone")
    return _crossplace("bench", "--method", name, "--preset", preset, "--variant", variant, *weights, *data, *how)


def _preset(asked: Tryout, name: str) -> str:
    """The largest preset of a method that trains on the device without a network."""
    presets = METHODS.get(name).presets
    known = [preset for preset in ON_GPU if preset in presets] if asked.on_gpu else []
    return next((p for p in known if presets[p].weights != PACKAGE or _is_packaged(presets[p])), "quick")


def _is_packaged(config: MethodConfig) -> bool:
    """Whether the package with the backbone's weights is installed."""
    try:
        return packaged(config.backbone).path().is_file()
    except CrossplaceError:
        return False


def _n_workers() -> int:
    """Processes that load data: all cores but two, which are for the training itself and the system."""
    return min(max((os.cpu_count() or 1) - 2, 0), MOST_WORKERS)


def budgets_s(config: MethodConfig, seconds: float) -> dict[str, float]:
    """Settings that give each training stage of ``seconds`` the share that it has of the planned epochs."""
    recipes = [path.removesuffix(".epochs") for path in settings_of(config) if path.endswith(".epochs")]
    epochs = {path: attrgetter(f"{path}.epochs")(config) for path in recipes}
    whole = sum(epochs.values())
    return {f"{path}.budget_s": max(seconds * n / whole, 1.0) for path, n in epochs.items() if n}


STEPS: dict[str, TryoutStep] = {
    "sparse": TryoutStep(title="Sparse against dense convolutions", weight=2, commands=_sparse, absent=_no_tests),
    "device": TryoutStep(title="Tests that need a CUDA device", weight=2, commands=_device, absent=_no_gpu_tests),
    "compiled": TryoutStep(title="Compiled against eager networks", weight=2, commands=_compiled, absent=_no_tests),
    "data": TryoutStep(title="Frames of the town", weight=2, commands=_data),
    "cost": TryoutStep(title="Cost of methods", weight=4, commands=_cost),
    "training": TryoutStep(title="Training and evaluation", weight=8, commands=_training),
}
"""Name → step, in order. A new step is a new line."""


def run_steps(asked: Tryout, names: Sequence[str], minutes: float) -> Iterator[list[TryoutOutcome]]:
    """Run steps one after the other within ``minutes``; yields all outcomes so far after each step."""
    ends_s, left = time.monotonic() + 60 * minutes, sum(STEPS[name].weight for name in names)
    outcomes: list[TryoutOutcome] = []
    for name in names:
        seconds = max(ends_s - time.monotonic(), 0.0) * STEPS[name].weight / left
        left -= STEPS[name].weight
        outcomes += _outcomes(asked, name, seconds)
        yield outcomes


def _outcomes(asked: Tryout, name: str, seconds: float) -> list[TryoutOutcome]:
    step, found = STEPS[name], []
    if reason := step.absent(asked):
        return [TryoutOutcome(step=name, command="", state="left out", seconds=0.0, limit_s=0.0, last_line=reason)]
    commands = step.commands(asked, seconds)
    for number, command in enumerate(commands):
        log.info("%s: %s", name, " ".join(command[1:]))
        path = asked.work / "logs" / f"{name}-{number}.log"
        started = time.monotonic()
        state = _run(command, path, seconds / len(commands))
        took_s, line = time.monotonic() - started, _last_line(path)
        log.info("%s: %s after %.0f s · %s", name, state, took_s, line)
        times = {"seconds": round(took_s, 1), "limit_s": round(seconds / len(commands), 1)}
        found.append(TryoutOutcome(step=name, command=" ".join(command[1:]), state=state, last_line=line, **times))
    return found


def _run(command: Command, path: Path, limit_s: float) -> State:
    """Run a command with its output in a file. At its limit it is ended, with all processes that it began."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]))
    with path.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            env=os.environ | {"PYTHONPATH": paths, "COLUMNS": "100"},
            start_new_session=True,
        )
        try:
            return "failed" if process.wait(limit_s) else "passed"
        except subprocess.TimeoutExpired:
            return "out of time"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""
