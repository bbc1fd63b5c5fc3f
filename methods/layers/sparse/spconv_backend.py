"""Sparse 3-D convolution by spconv 2, imported when first used (it takes seconds).

Some inputs give silently wrong results in spconv. So indices go in as contiguous int32, unique and inside the grid
(:class:`Sites` ensures both), and features and weights as float32 with autocast off. spconv lists output sites in its
own order. After every regular convolution, rows are put back into lexicographic order. spconv raises an error for empty
input or output. In these cases the rules of the torch backend apply. No result is bit for bit repeatable on CUDA, with
or without ``torch.use_deterministic_algorithms``. Choose the torch backend for repeatable results.
"""

import math
import re
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import distributions
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from datasets.errors import CrossplaceError
from methods.layers.sparse import torch_backend
from methods.layers.sparse.sites import Shape, Sites, Triple, cells_fed, each_axis, output_shape, site_keys

_ADVICE = "install crossplace[gpu] (spconv-cu126) in its place or choose --sparse-backend torch"
_MOST_CELLS = 2**31
_MOST_MASKED_OFFSETS = 32
"""Most kernel offsets that spconv's masked implicit matrix product takes. Larger kernels use the native algorithm."""


def refusal(installed: Mapping[str, str]) -> str | None:
    """Why spconv must not be imported beside these packages (name: version), in one sentence. None: it may be."""
    builds = sorted(name for name in installed if name == "spconv" or name.startswith("spconv-"))
    if not builds:
        return (
            "spconv is not installed; install crossplace[gpu] (CUDA 12.6) or, for CUDA 12.0 on Python 3.11, "
            "crossplace[gpu-cu120], or choose --sparse-backend torch"
        )
    if len(builds) > 1:
        return f"{' and '.join(builds)} overwrite each other's files; uninstall them all, then {_ADVICE}"
    build, numpy = builds[0], installed.get("numpy", "0")
    version = installed[build]
    if build == "spconv":
        return f"the CPU package spconv {version} computes wrong numbers with two threads; uninstall it, then {_ADVICE}"
    if _numbers(version) <= (2, 3, 6) and _numbers(numpy) >= (2,):
        return (
            f"{build} {version} kills the process beside numpy {numpy}; "
            f"take numpy below 2 (python -m pip install 'numpy<2'), or uninstall {build}, then {_ADVICE}"
        )
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


@cache
def _refusal() -> str | None:
    return refusal({d.name.lower().replace("_", "-"): d.version for d in distributions() if d.name})


def is_usable() -> bool:
    """Whether spconv is installed in a form that may be imported. The check does not import it."""
    return _refusal() is None


def check_usable() -> None:
    """Raise :class:`CrossplaceError` unless :func:`is_usable`."""
    if reason := _refusal():
        raise CrossplaceError(f"sparse backend spconv: {reason}")


@cache
def _spconv() -> SimpleNamespace:
    check_usable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from spconv.core import ConvAlgo
            from spconv.pytorch import functional, ops
        except (ImportError, OSError) as error:
            raise CrossplaceError(f"sparse backend spconv: it cannot be imported ({error}); {_ADVICE}") from error
    return SimpleNamespace(ops=ops, functional=functional, ConvAlgo=ConvAlgo)


class _Native(torch.autograd.Function):
    """spconv's native algorithm with autocast off in the backward pass too.

    On a CPU, spconv's own function leaves autocast on.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, rules: tuple[Any, ...]) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.rules = rules
        forward, _, pairs, counts, n_outputs = rules
        return forward(features, weight, pairs, counts, n_outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None]:
        _, backward, pairs, counts, _ = ctx.rules
        with torch.autocast(grad_output.device.type, enabled=False):
            grad_features, grad_weight = backward(*ctx.saved_tensors, grad_output, pairs, counts)
        return grad_features, grad_weight, None


class Convolution:
    """Rules of a convolution in spconv's form: ``(features, weight) -> features`` of the output rows."""

    def __init__(self, kernel: Callable[[Tensor, Tensor], Tensor], order: Int[Tensor, " m"] | None) -> None:
        self._kernel, self._order = kernel, order

    def __call__(self, features: Float[Tensor, "n c"], weight: Float[Tensor, "d kz ky kx c"]) -> Float[Tensor, "m d"]:
        """Features of the output rows, computed in float32, in the dtype of the weight."""
        with torch.autocast(features.device.type, enabled=False), torch.cuda.device_of(features):
            output = self._kernel(features.float().contiguous(), weight.float().contiguous())
            if self._order is not None:
                output = output.index_select(0, self._order)
            return output.to(weight.dtype)


def submanifold(sites: Sites, kernel_size: int) -> Convolution | torch_backend.Rulebook:
    """Rules of a convolution whose output sites are the input sites."""
    if not len(sites.indices):
        return torch_backend.submanifold(sites, kernel_size)
    _, kernel = _rules(sites, sites.shape, kernel_size, 1, kernel_size // 2, is_submanifold=True)
    return Convolution(kernel, order=None)


def reach(
    sites: Sites, kernel_size: Triple, stride: Triple, padding: Triple, kept: Int[Tensor, " m"] | None = None
) -> tuple[Sites, Convolution | torch_backend.Rulebook]:
    """All sites that a regular convolution can reach from ``sites``, and its rules; with ``kept``, these keys alone.

    spconv computes all sites in any case. The others are left out of the result.
    """
    shape = output_shape(sites, kernel_size, stride, padding)
    if not _reaches_any(sites, shape, kernel_size, stride, padding):
        return torch_backend.reach(sites, kernel_size, stride, padding, kept)
    indices, kernel = _rules(sites, shape, kernel_size, stride, padding, is_submanifold=False)
    keys, order = site_keys(indices.long(), shape, sites.batch_size).sort()
    if kept is not None:
        order, keys = order[torch.searchsorted(keys, kept)], kept
    return Sites.from_keys(keys, shape, sites.batch_size), Convolution(kernel, order)


def _reaches_any(sites: Sites, shape: Shape, kernel_size: Triple, stride: Triple, padding: Triple) -> bool:
    """Whether any site feeds any output.

    If the kernel leaves gaps, or if there is no padding, possibly no site feeds an output.
    """
    axes = list(zip(*map(each_axis, (kernel_size, stride, padding)), strict=True))
    if all(step <= kernel and pad >= step - 1 for kernel, step, pad in axes):
        return len(sites.indices) > 0
    feeds = torch.ones_like(sites.keys, dtype=torch.bool)
    for axis, (kernel, step, pad) in enumerate(axes):
        cells = cells_fed(sites.shape[axis], shape[axis], kernel, step, pad, feeds.device)
        feeds &= (cells >= 0).any(0).index_select(0, sites.indices[:, 1 + axis])
    return bool(feeds.any())


def _rules(
    sites: Sites, shape: Shape, kernel_size: Triple, stride: Triple, padding: Triple, *, is_submanifold: bool
) -> tuple[Int[Tensor, "m 4"], Callable[[Tensor, Tensor], Tensor]]:
    """Output indices in spconv's order, and spconv's differentiable function of features and weight."""
    n_cells = sites.batch_size * max(math.prod(sites.shape), math.prod(shape))
    if n_cells >= _MOST_CELLS:
        raise CrossplaceError(
            f"sparse backend spconv: {n_cells} cells are more than its 32-bit numbers count; use larger voxels, a "
            "smaller range or --sparse-backend torch"
        )
    spconv = _spconv()
    functional, ops, algorithms = spconv.functional, spconv.ops, spconv.ConvAlgo
    # nonzero() gives transposed memory. int() keeps it, and spconv misreads it.
    indices = sites.indices.int().contiguous()
    dilation, output_padding = 1, 0
    each = [list(each_axis(value)) for value in (kernel_size, stride, padding, dilation, output_padding)]
    grid: tuple[Any, ...] = (indices, sites.batch_size, list(sites.shape))
    with torch.cuda.device_of(indices):
        if not indices.is_cuda or math.prod(each_axis(kernel_size)) > _MOST_MASKED_OFFSETS:
            algorithm = algorithms.Native
            found, pairs, counts = ops.get_indice_pairs(*grid, algorithm, *each, subm=is_submanifold)
            forward = partial(ops.indice_conv, subm=is_submanifold, algo=algorithm)
            backward = partial(ops.indice_conv_backward, subm=is_submanifold, algo=algorithm)
            rules = (forward, backward, pairs, counts, len(found))
            return found, lambda features, weight: _Native.apply(features, weight, rules)
        found, _, *tables, masks = ops.get_indice_pairs_implicit_gemm(
            *grid, algorithms.MaskImplicitGemm, *each, subm=is_submanifold, is_train=True
        )
    rest = (*tables, len(found), masks)
    return found, lambda features, weight: functional.implicit_gemm(
        features, weight, *rest, torch.is_grad_enabled(), is_submanifold
    )
