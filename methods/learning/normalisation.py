"""Batch normalisation that is evaluated with statistics of the weights as they are."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(*modules: nn.Module) -> list[_BatchNorm]:
    """The batch normalisations of ``modules`` that keep running statistics, each once."""
    parts = nn.ModuleList(modules).modules()
    return [part for part in parts if isinstance(part, _BatchNorm) and part.track_running_stats]


@contextmanager
def measured_statistics(*modules: nn.Module) -> Iterator[None]:
    """Context that measures the running statistics of all batch normalisations of ``modules``.

    They become the mean of the statistics of all batches that pass inside the context. Running statistics of training
    follow the weights with their momentum. So they are not those of the weights after a short training, or with a
    small momentum. A normalisation that no batch reaches keeps its statistics. Dropout is off, as in evaluation, and
    the modules are in evaluation mode after the context.
    """
    norms = batch_norms(*modules)
    momenta = [norm.momentum for norm in norms]
    for module in modules:
        module.eval()
    for norm in norms:
        norm.training, norm.momentum = True, None
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.zero_()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.training, norm.momentum = False, momentum
