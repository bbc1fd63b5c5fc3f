"""Killed with SIGKILL anywhere and started again, a run ends with what an undisturbed one leaves, bit for bit."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.prepared import PreparedDataset

VICTIM = Path(__file__).with_name("victim.py")
VOLATILE = {"created", "seconds", "seal"}
"""Keys of ``result.json`` that the clock writes."""
PER_RUN = {"training": 2, "encoding": 1, "result": 1}
"""Kills of one run by what is killed."""


def outcome(runs: Path) -> dict[str, str]:
    """Hash of everything that must not depend on interruptions, by file."""
    found = {}
    for path in sorted(runs.rglob("*")):
        name = str(path.relative_to(runs))
        if path.name == "weights.safetensors" or path.suffix == ".npy":
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name == "ranks.npz":
            with np.load(path) as ranks:
                found[name] = hashlib.sha256(b"".join(ranks[n].tobytes() for n in sorted(ranks))).hexdigest()
        elif path.name == "result.json":
            found[name] = json.dumps(without_clock(json.loads(path.read_text())))
    assert len(found) >= 6, "weights, descriptors, ranks and results"
    return found


def without_clock(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_clock(v) for key, v in value.items() if key not in VOLATILE}
    return [without_clock(v) for v in value] if isinstance(value, list) else value


def part_of(event: str) -> str:
    if "result.json" in event or "ranks.npz" in event:
        return "result"
    is_encoding = event.startswith("batch encode") or event.endswith((".npy", "manifest.json", "frame_ids.txt"))
    return "encoding" if is_encoding or "descriptors.json" in event else "training"


def draw(events: list[str], per_part: dict[str, int], rng: random.Random) -> list[str]:
    """Events at random, so many of each part, in the order in which they come."""
    chosen = {
        event
        for part, count in per_part.items()
        for event in rng.sample([e for e in events if part_of(e) == part], count)
    }
    return [event for event in events if event in chosen]


def killed_and_resumed(job: Any, deaths: list[str], start: Callable[[Any], int]) -> Counter[str]:
    """Run ``job`` until it is done, killed at each of ``deaths`` on the way; returns the kills by part."""
    kills: Counter[str] = Counter()
    for event in deaths:
        code = start(replace(job, dies_at=event))
        assert code in (0, -signal.SIGKILL), event
        kills[part_of(event)] += code != 0
    assert start(job) == 0
    return kills


@pytest.fixture(scope="module")
def undisturbed(
    victim: Any, start: Callable[[Any], int], small_world: PreparedDataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Any, list[str], dict[str, str]]]:
    """Run a method once without kills; returns the job, its events and the outcome."""

    def undisturbed(**what: str) -> tuple[Any, list[str], dict[str, str]]:
        folder = tmp_path_factory.mktemp("undisturbed")
        job = victim.Job(dataset=small_world.folder, runs=folder / "runs", events=folder / "events.json", **what)
        assert start(job) == 0
        return job, json.loads((folder / "events.json").read_text()), outcome(folder / "runs")

    return undisturbed


@pytest.mark.slow
def test_twenty_kills_in_training_encoding_and_result_writing_change_nothing(
    undisturbed: Callable[..., Any], start: Callable[[Any], int], tmp_path: Path
) -> None:
    job, events, expected = undisturbed()
    kills: Counter[str] = Counter()
    for seed in range(6):
        runs = tmp_path / str(seed)
        kills += killed_and_resumed(replace(job, runs=runs), draw(events, PER_RUN, random.Random(seed)), start)
        assert outcome(runs) == expected, f"seed {seed}"
    assert kills.total() >= 20, kills  # a drawn event of a file written once an epoch may lie behind
    assert min(kills.values()) >= 5, kills


@pytest.mark.slow
def test_vxp_with_batch_growth_augmentation_and_schedule_resumes_bit_for_bit(
    undisturbed: Callable[..., Any], start: Callable[[Any], int], tmp_path: Path
) -> None:
    job, events, expected = undisturbed(method="vxp", preset="tiny")
    stages = [[e for e in events if e.startswith(f"batch {stage} ")] for stage in ("teacher", "local", "global")]
    assert all(stages)
    rng = random.Random(0)
    deaths = [rng.choice(stage) for stage in stages]
    job = replace(job, runs=tmp_path)
    assert killed_and_resumed(job, deaths, start) == {"training": 3}
    assert outcome(tmp_path) == expected
    (progress,) = tmp_path.glob("stages/vxp-teacher-*/progress.json")
    assert json.loads(progress.read_text())["sampler"]["batch_size"] > 6, "the batch has grown"


@pytest.mark.slow
def test_the_command_killed_from_outside_at_random_moments_continues(
    undisturbed: Callable[..., Any], tmp_path: Path
) -> None:
    """Fresh interpreters, the real command line, a signal from another process some time after the first epoch."""
    job, _, expected = undisturbed()
    command = [sys.executable, VICTIM, "evaluate", "--method", "toy", "--device", "cpu"]
    command += ["--dataset", job.dataset, "--runs", tmp_path, "--retrain"]
    rng, deaths = random.Random(0), []
    for epoch in ("teach: epoch 1", "align: epoch 1"):
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:  # to its end where a fast machine had passed that epoch before the first death
                if epoch in line:
                    break
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
        deaths.append(process.returncode)
    assert deaths[0] == -signal.SIGKILL
    assert deaths[1] in (-signal.SIGKILL, 0)
    subprocess.run(command, check=True, capture_output=True)
    assert outcome(tmp_path) == expected
