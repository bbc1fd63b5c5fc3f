"""Training of registrars: the stages of a method of registration, on local maps."""

from pathlib import Path
from typing import Any

import torch

import benchmark
from benchmark.frames.preparing import data_folder
from benchmark.keys import code_of, key_of, plain
from benchmark.registry import REGISTRARS
from benchmark.training.configuring import without_path
from benchmark.training.loop import TrainingOptions, train
from benchmark.training.mapped import MappedDataset
from benchmark.training.report import REPORT, WEIGHTS
from datasets.base import Protocol
from datasets.derived import pairs_elsewhere
from datasets.prepared import PreparedDataset
from methods.base import MethodConfig


def trained_registrar(
    name: str,
    config: MethodConfig,
    dataset: PreparedDataset,
    protocol: Protocol,
    runs: Path,
    seed: int,
    options: TrainingOptions,
) -> Path:
    """The weights of a registrar, trained now, or before; interrupted training continues.

    Each stage keeps its checkpoints in a folder that is named by all that its outcome depends on.
    """
    kind = REGISTRARS.get(name)
    torch.manual_seed(seed)
    registrar = kind(config)
    stages = registrar.stages(protocol.split)
    maps = (pairs_elsewhere(protocol), protocol.min_gap_s, protocol.earlier_only)
    data = (dataset.fingerprint, protocol.split, *maps, options.precision)
    made = (name, seed, code_of(REGISTRARS.entries[name]), benchmark.__version__)
    folders, before = dict[str, Path](), ""
    for stage in stages:
        before = key_of(*made, before, stage.name, _without(config, stage.ignores), *data)
        folders[stage.name] = runs / "stages" / f"{name}-{stage.name}-{dataset.name}-s{seed}-{before}"
    folder = runs / "training" / f"{name}-{dataset.name}-s{seed}-{key_of(*made, without_path(config), *data)}"
    if not (folder / REPORT).is_file():
        mapped = MappedDataset.of(dataset, protocol, data_folder() / "local-maps")
        train(registrar, mapped, mapped.protocol, folder, seed, options, folders)
    return folder / WEIGHTS


def _without(config: MethodConfig, ignored: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a configuration that a stage depends on."""
    return {
        name: value for name, value in plain(without_path(config), with_defaults=False).items() if name not in ignored
    }
