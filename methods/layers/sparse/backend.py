"""Backends of sparse convolutions: plain torch, or spconv.

The backend is a choice of the run, not of the configuration. Weights, their names and all sites are the same. Features
and gradients are the same up to rounding. ``torch`` works everywhere and repeats bit for bit on a CPU. ``spconv`` is
made for CUDA (not bit for bit repeatable there) and works on a CPU too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor

from methods.layers.sparse import spconv_backend, torch_backend
from methods.layers.sparse.sites import Sites, Triple, occupied_cells, output_shape

Choice = Literal["auto", "torch", "spconv"]
"""Choices of the backend. ``auto`` is spconv on CUDA if it can be imported, else torch."""
Backend = Literal["torch", "spconv"]
Convolve = Callable[[Tensor, Tensor], Tensor]
"""Type of a convolution: input features (n, c) and weight (d, kz, ky, kx, c) → output features (m, d) in the weight's
dtype."""

_MODULES: dict[Backend, Any] = {"torch": torch_backend, "spconv": spconv_backend}
_choice: ContextVar[Choice] = ContextVar("sparse_backend", default="auto")


@contextmanager
def using(choice: Choice) -> Iterator[None]:
    """Context in which the chosen backend computes sparse convolutions.

    The backward pass always uses the backend of the forward pass.
    """
    token = _choice.set(choice)
    try:
        yield
    finally:
        _choice.reset(token)


def resolve(choice: Choice, device: torch.device) -> Backend:
    """The backend for tensors on ``device``. Raises :class:`CrossplaceError` if the chosen backend is not available."""
    if choice == "auto":
        return "spconv" if device.type == "cuda" and spconv_backend.is_usable() else "torch"
    if choice == "spconv":
        spconv_backend.check_usable()
    return choice


def submanifold(sites: Sites, kernel_size: int) -> Convolve:
    """A convolution whose output sites are the input sites. Its rules are found once per sites and kernel size."""
    backend = resolve(_choice.get(), sites.indices.device)
    key = (backend, kernel_size)
    if key not in sites.rules:
        sites.rules[key] = _MODULES[backend].submanifold(sites, kernel_size)
    return sites.rules[key]


def reach(
    sites: Sites, kernel_size: Triple, stride: Triple, padding: Triple, *, only_occupied: bool = False
) -> tuple[Sites, Convolve]:
    """All sites that a regular convolution can reach from ``sites``, and the convolution.

    With ``only_occupied``, only those output cells that hold a site (:func:`occupied_cells`).
    """
    backend = resolve(_choice.get(), sites.indices.device)
    kept = None
    if only_occupied:
        kept = occupied_cells(sites, output_shape(sites, kernel_size, stride, padding), stride)
    return _MODULES[backend].reach(sites, kernel_size, stride, padding, kept)
