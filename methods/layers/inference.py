"""A method made faster for asking: a copy that cannot be trained gives the same descriptors, up to rounding.

Batch normalisations become part of the layer before them, convolutional towers become graphs (:mod:`.fused`), and
where the processor multiplies bfloat16 in hardware, these towers compute in it.
"""

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, TypeVar, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from datasets.errors import CrossplaceError, unknown
from methods.layers.backbone import ImageBackbone, PooledBackbone
from methods.layers.fused import FusedConv2d, fused_tower
from methods.layers.sparse.modules import SparseConv3d, SubmanifoldConv3d

_M = TypeVar("_M", bound=nn.Module)
Precision = Literal["auto", "float32", "bfloat16"]
"""Numbers in convolutional towers. With ``auto`` they are bfloat16 if the processor multiplies it in tiles (AMX), else
float32. Everything else stays in float32."""


def for_inference(method: _M, precision: Precision = "auto") -> _M:
    """A copy in evaluation mode that encodes faster on a processor. ``method`` does not change.

    The copy shares all weights that are not folded, so make it after training, on the device where it stays. A tower
    that torch cannot follow, and a transformer, stay as they are.

    Raises:
        CrossplaceError: no such precision, or one that this processor cannot compute in.
    """
    with torch.no_grad():
        found = _rebuilt(method, _dtype(precision), {})
    assert isinstance(found, type(method))
    return found


def _dtype(precision: str) -> torch.dtype:
    """The numbers in convolutional towers."""
    if precision not in get_args(Precision):
        raise CrossplaceError(unknown("precision", precision, get_args(Precision)))
    if precision == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise CrossplaceError(
            "precision bfloat16: this processor or build of torch has no convolutions in it; choose float32 or auto"
        )
    is_fast = precision == "bfloat16" or (precision == "auto" and torch.cpu._is_amx_tile_supported())
    return torch.bfloat16 if is_fast else torch.float32


def _rebuilt(module: nn.Module, dtype: torch.dtype, known: dict[nn.Module, nn.Module]) -> nn.Module:
    """The module with faster modules within. What is used in two places stays one module."""
    if module not in known:
        tower = _tower(module, dtype)
        known[module] = tower or _twin(module, dtype, known)
    return known[module]


def _tower(module: nn.Module, dtype: torch.dtype) -> nn.Module | None:
    if not isinstance(module, ImageBackbone | PooledBackbone):
        return None
    return fused_tower(module, dtype)


def _twin(module: nn.Module, dtype: torch.dtype, known: dict[nn.Module, nn.Module]) -> nn.Module:
    """A module of the same class and weights, whose layers are folded and whose parts are rebuilt."""
    twin = copy.copy(module)
    children = {
        name: None if child is None else _rebuilt(child, dtype, known) for name, child in module._modules.items()
    }
    twin.__dict__.update(
        training=False,
        _parameters=dict(module._parameters),
        _buffers=dict(module._buffers),
        _modules=_folded(twin, children),
    )
    return twin


# --- folding -------------------------------------------------------------------------------------


class Shift(nn.Module):
    """What is left of a normalisation whose scale went into a sparse convolution: one number a channel is added."""

    shift: Float[Tensor, " c"]

    def __init__(self, shift: Float[Tensor, " c"]) -> None:
        super().__init__()
        self.register_buffer("shift", shift)

    def forward(self, rows: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Shifted rows."""
        return rows + self.shift


Folded = tuple[nn.Module, nn.Module]
"""A layer and a normalisation as they are after folding."""


def _into_sparse(conv: SubmanifoldConv3d | SparseConv3d, norm: Any) -> Folded:
    """The scale goes into the weight (out, kz, ky, kx, in), the rest into a shift."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    twin = copy.copy(conv)
    twin._parameters = {"weight": nn.Parameter(conv.weight * scale[:, None, None, None, None])}
    return twin, Shift(norm.bias - norm.running_mean * scale)


FOLDS: dict[type[nn.Module], Callable[[Any, Any], Folded]] = {
    nn.Conv2d: lambda conv, norm: (fuse_conv_bn_eval(conv, norm), nn.Identity()),
    nn.Linear: lambda linear, norm: (fuse_linear_bn_eval(linear, norm), nn.Identity()),
    SubmanifoldConv3d: _into_sparse,
    SparseConv3d: _into_sparse,
}
"""Layer → what it and a normalisation directly after it become."""

NAMED = (("linear", "norm"), ("project", "norm"))
"""Names that a layer and the normalisation directly after it have in modules that are no sequence."""


def _folded(parent: nn.Module, children: dict[str, nn.Module | None]) -> dict[str, nn.Module | None]:
    """The modules of ``parent`` after folding: in a sequence neighbours, else those with the names of ``NAMED``."""
    found, names = dict(children), [*children]
    in_turn = isinstance(parent, nn.Sequential)
    for first, second in pairwise(names) if in_turn else NAMED:
        layer, norm = found.get(first), found.get(second)
        fold = next((rule for kind, rule in FOLDS.items() if isinstance(layer, kind)), None)
        if fold and isinstance(norm, _BatchNorm) and norm.affine and norm.running_mean is not None:
            found[first], found[second] = fold(layer, norm)
    return _clipped(found, names) if in_turn else found


def _clipped(found: dict[str, nn.Module | None], names: list[str]) -> dict[str, nn.Module | None]:
    """The modules of a sequence, in which 2-D convolutions take over the ReLU that follows them."""
    for number, name in enumerate(names):
        conv = found[name]
        if isinstance(conv, nn.Conv2d) and FusedConv2d.fits(conv):
            after = [other for other in names[number + 1 :] if not isinstance(found[other], nn.Identity)][:1]
            is_clipped = bool(after) and isinstance(found[after[0]], nn.ReLU)
            found[name] = FusedConv2d(conv, is_clipped=is_clipped)
            found.update(dict.fromkeys(after, nn.Identity()) if is_clipped else {})
    return found
