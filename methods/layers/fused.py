"""Convolutional towers for asking alone: graphs of convolutions that add and clip by themselves.

Torch sends a small single map past oneDNN to a slow convolution (``_slow_conv2d_forward``), and puts weights in the
order of oneDNN anew at every call. Here oneDNN computes all of them, from weights that are in its order.
"""

import copy
import operator
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from timm.layers import BatchNormAct2d
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from methods.layers.backbone import ImageBackbone, PooledBackbone


class FusedConv2d(nn.Module):
    """A convolution, then if wanted the sum with another map, then if wanted a ReLU: one call of oneDNN.

    Other devices, and builds of torch without oneDNN, compute the same one after the other.
    """

    def __init__(self, conv: nn.Conv2d, *, is_clipped: bool = False) -> None:
        super().__init__()
        self.conv, self.is_clipped = conv, is_clipped
        self.packed: dict[torch.dtype, tuple[Tensor, Tensor | None]] = {}
        """The weight in the order of oneDNN, and the bias, for each dtype of inputs. They fit inputs of any size."""

    @classmethod
    def fits(cls, conv: object) -> bool:
        """Whether it is a convolution that this class can stand for: padded with zeros, by fixed numbers."""
        return type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)

    def __getstate__(self) -> dict[str, Any]:
        """All but the weights in the order of oneDNN, which cannot be copied and are made again."""
        return {**self.__dict__, "packed": {}}

    def forward(self, maps: Float[Tensor, "b c h w"], other: Tensor | None = None) -> Float[Tensor, "b d h2 w2"]:
        """Maps in the dtype of the input; with channels last if the input has them."""
        if maps.device.type != "cpu" or not torch.backends.mkldnn.is_available():
            found = self.conv(maps) if other is None else self.conv(maps) + other
            return found.relu() if self.is_clipped else found
        conv, run = self.conv, torch.ops.mkldnn._convolution_pointwise
        geometry = (conv.padding, conv.stride, conv.dilation, conv.groups)
        if maps.dtype not in self.packed:
            weight, bias = (None if one is None else one.detach().to(maps.dtype) for one in (conv.weight, conv.bias))
            packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry, list(maps.shape))
            self.packed[maps.dtype] = packed, bias
        arguments = (*self.packed[maps.dtype], *geometry)
        if other is None:
            return run(maps, *arguments, "relu" if self.is_clipped else "none", [], "")
        return run.binary(maps, other, *arguments, "add", 1.0, "relu" if self.is_clipped else None, [], None)


# --- backbones -----------------------------------------------------------------------------------


class FusedBackbone(ImageBackbone):
    """The feature map of a convolutional backbone, by a graph without normalisations."""

    def __init__(self, plain: ImageBackbone, graph: nn.Module) -> None:
        nn.Module.__init__(self)
        self.block, self.channels, self.map_size = plain.block, plain.channels, plain.map_size
        self.encoder = graph

    def forward(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c h w"]:
        """Feature map of normalised images."""
        return _computed(self.encoder, pixels)


class FusedPooled(PooledBackbone):
    """A whole convolutional model without its classifier, by a graph without normalisations."""

    def __init__(self, plain: PooledBackbone, graph: nn.Module) -> None:
        nn.Module.__init__(self)
        self.channels, self.encoder = plain.channels, graph

    def forward(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c"]:
        """Features of normalised images."""
        return _computed(self.encoder, pixels)


def _computed(graph: nn.Module, pixels: Tensor) -> Tensor:
    """Channels last within the graph, contiguous outside."""
    found: Tensor = graph(pixels.contiguous(memory_format=torch.channels_last))
    return found.contiguous()


def fused_tower(plain: ImageBackbone | PooledBackbone, dtype: torch.dtype) -> nn.Module | None:
    """The backbone as a graph that computes in ``dtype``; None if it is a transformer or torch cannot follow it.

    ``plain`` does not change. Convolutions of single channels add up too few numbers to average out the rounding of
    bfloat16: backbones with such layers compute in float32.
    """
    called = _Called(copy.deepcopy(plain.encoder), getattr(plain, "block", None))
    if any(isinstance(module, nn.LayerNorm) for module in called.modules()):
        return None
    for name, module in [*called.named_modules()]:
        if isinstance(module, BatchNormAct2d):
            called.set_submodule(name, _split(module))
    try:
        graph = fx.GraphModule(called, _Tracer().trace(called))
    except Exception:  # many kinds, by what the code decides from the values of tensors
        return None
    for change in CHANGES:
        change(graph)
    is_grouped = any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in graph.modules())
    _set_precision(graph, torch.float32 if is_grouped else dtype)
    graph.graph.lint()
    graph.delete_all_unused_submodules()
    graph.recompile()
    return FusedPooled(plain, graph) if isinstance(plain, PooledBackbone) else FusedBackbone(plain, graph)


class _Called(nn.Module):
    """What a backbone calls of its encoder, in a form that can be traced."""

    def __init__(self, encoder: nn.Module, block: int | None) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.block = block
        self.eval()

    def forward(self, pixels: Any) -> Any:
        if self.block is None:
            return self.encoder(pixels)
        options = {"indices": [self.block], "norm": False, "stop_early": True, "intermediates_only": True}
        return self.encoder.forward_intermediates(pixels, **options)[-1]


class _Tracer(fx.Tracer):
    """Follows all code but that of convolutions, some of which pad by the size of their input."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


def _split(norm: BatchNormAct2d) -> nn.Sequential:
    """Timm's normalisation with activation as two modules."""
    plain = nn.BatchNorm2d(norm.num_features, eps=norm.eps)
    plain.load_state_dict(norm.state_dict())
    return nn.Sequential(plain.eval(), norm.act)


# --- changes of a graph --------------------------------------------------------------------------


def _module(graph: fx.GraphModule, node: object) -> nn.Module | None:
    """The module that a node calls, if it calls one."""
    is_call = isinstance(node, fx.Node) and node.op == "call_module"
    return graph.get_submodule(str(node.target)) if is_call else None  # type: ignore[attr-defined]


def _sole_source(graph: fx.GraphModule, node: fx.Node) -> tuple[fx.Node | None, nn.Module | None]:
    """The node whose output this node alone uses, and the module that it calls."""
    before = node.args[0] if node.args else None
    if not isinstance(before, fx.Node) or len(before.users) != 1:
        return None, None
    return before, _module(graph, before)


def _replace(graph: fx.GraphModule, node: fx.Node, by: fx.Node) -> None:
    node.replace_all_uses_with(by)
    graph.graph.erase_node(node)


def _drop_identities(graph: fx.GraphModule) -> None:
    """What does nothing in evaluation mode is left out."""
    for node in [*graph.graph.nodes]:
        if isinstance(_module(graph, node), nn.Identity | nn.Dropout):
            _replace(graph, node, node.args[0])


def _fold_norms(graph: fx.GraphModule) -> None:
    """Normalisations go into the convolution that they alone follow."""
    for node in [*graph.graph.nodes]:
        norm, (before, conv) = _module(graph, node), _sole_source(graph, node)
        if before and isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d):
            graph.set_submodule(str(before.target), fuse_conv_bn_eval(conv, norm))
            _replace(graph, node, before)


def _fuse_convolutions(graph: fx.GraphModule) -> None:
    """Convolutions become those of oneDNN."""
    for node in graph.graph.nodes:
        conv = _module(graph, node)
        if isinstance(conv, nn.Conv2d) and FusedConv2d.fits(conv):
            graph.set_submodule(str(node.target), FusedConv2d(conv))


def _add_within(graph: fx.GraphModule) -> None:
    """A sum of a convolution and what was computed before it goes into the convolution."""
    order = {node: place for place, node in enumerate(graph.graph.nodes)}
    for node in [*graph.graph.nodes]:
        if node.target not in (operator.add, operator.iadd) or not all(isinstance(a, fx.Node) for a in node.args):
            continue
        other, last = sorted(node.args, key=order.__getitem__)
        if isinstance(_module(graph, last), FusedConv2d) and len(last.users) == 1 and len(last.args) == 1:
            last.args = (*last.args, other)
            _replace(graph, node, last)


def _clip_within(graph: fx.GraphModule) -> None:
    """A ReLU goes into the convolution that it alone follows."""
    for node in [*graph.graph.nodes]:
        before, conv = _sole_source(graph, node)
        if before and isinstance(_module(graph, node), nn.ReLU) and isinstance(conv, FusedConv2d):
            conv.is_clipped = True
            _replace(graph, node, before)


CHANGES: tuple[Callable[[fx.GraphModule], None], ...] = (
    _drop_identities,
    _fold_norms,
    _fuse_convolutions,
    _add_within,
    _clip_within,
)
"""What is done to the graph of a tower, in this order."""


def _set_precision(graph: fx.GraphModule, dtype: torch.dtype) -> None:
    """What follows the first convolution, up to the last, computes in ``dtype``; all else in float32.

    The first sees the input, of which bfloat16 would leave eight bits.
    """
    nodes = [*graph.graph.nodes]
    places = [place for place, node in enumerate(nodes) if isinstance(_module(graph, node), FusedConv2d | nn.Conv2d)]
    first, last = places[0], places[-1]
    for node in nodes[first + 1 : last + 1]:
        if module := _module(graph, node):
            module.to(dtype)
    for node, wanted in ((nodes[first], dtype), (nodes[last], torch.float32)):
        with graph.graph.inserting_after(node):
            changed = graph.graph.call_method("to", (node, wanted))
        node.replace_all_uses_with(changed, delete_user_cb=lambda user, changed=changed: user is not changed)
