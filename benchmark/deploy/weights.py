"""A method with its weights where no dataset is, such as on a robot."""

from dataclasses import replace
from pathlib import Path

import torch

from benchmark.registry import METHODS
from benchmark.request import MethodOptions
from benchmark.training.checkpoint import load_weights
from benchmark.training.configuring import configure
from benchmark.training.weights import WeightSource, check_options
from datasets.errors import CrossplaceError
from methods.base import FROM_SCRATCH, Method


def method_with_weights(
    name: str, checkpoint: Path | None = None, *, preset: str = "quick", variant: str = "", device: str = "cpu"
) -> Method:
    """A method with the weights in ``checkpoint``, or with those that come with the suite, ready to encode.

    The dataset of the training is not needed. Files come from ``crossplace train`` or ``crossplace convert``.

    Raises:
        CrossplaceError: no such method, preset or file; weights that do not fit; nothing comes with the suite.
    """
    METHODS.check(name)
    options = MethodOptions(name=name, preset=preset, variant=variant, checkpoint=checkpoint)
    check_options(options)
    kind = METHODS.get(name)
    config = configure(kind, options)
    method = kind(replace(config, weights=FROM_SCRATCH, weights_sha256=""))
    if kind.is_trainable:
        source = _source(name, options)
        source.check()
        assert source.file is not None
        load_weights(method, source.file, source.remedy)
    return method.to(torch.device(device)).eval()


def _source(name: str, options: MethodOptions) -> WeightSource:
    if options.checkpoint is not None:
        return WeightSource(origin="given", words="given", file=options.checkpoint)
    for weights in METHODS.get(name).shipped:
        if weights.preset == options.preset and not options.variant:
            return WeightSource(origin="shipped", words=weights.command, file=weights.file, sha256=weights.sha256)
    raise CrossplaceError(
        f"no weights of {name} come with the suite for this preset and variant; train some (crossplace train --method "
        f"{name}) and give their file as the checkpoint"
    )
