"""Weights that the authors' code saved, under our names. Three kinds of file, told apart by the names in them.

As published: bare state dicts; sparse kernels (out, kz, ky, kx, in) as in spconv 2.
"""

import logging
import pickle
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from datasets.errors import CrossplaceError
from methods.base import FROM_SCRATCH
from methods.vxp import Vxp
from methods.vxp.config import PRESETS, VxpConfig

log = logging.getLogger(__name__)

_ENCODER = {
    "vfe.": "cloud_branch.feature_encoder.",
    "middle.conv_input.": "cloud_branch.encoder.0.",
    "middle.encoder_layers.encoder_layer1.0.": "cloud_branch.encoder.1.",
    "middle.encoder_layers.encoder_layer2.0.": "cloud_branch.encoder.2.",
    "middle.encoder_layers.encoder_layer2.1.": "cloud_branch.encoder.3.",
    "middle.encoder_layers.encoder_layer2.2.": "cloud_branch.encoder.4.",
    "middle.encoder_layers.encoder_layer3.0.": "cloud_branch.encoder.5.",
    "middle.encoder_layers.encoder_layer3.1.": "cloud_branch.encoder.6.",
    "middle.encoder_layers.encoder_layer3.2.": "cloud_branch.encoder.7.",
    "middle.conv_out.": "cloud_branch.encoder.8.",
}
PREFIXES: dict[str, dict[str, str]] = {
    "local student": _ENCODER,
    "student": {f"voxel_feat_ext.{official}": ours for official, ours in _ENCODER.items()}
    | {"gem.p": "cloud_branch.pool.p", "gem.dense_head.": "cloud_branch.head."},
    "teacher": {
        "backbone.encoder.": "image_branch.backbone.encoder.",
        "pooling.p": "image_branch.pool.p",
        "pooling.dense_head.": "image_branch.head.",
    },
}
"""Kind of file → how names begin in it → how they begin here; what follows is the same."""

UNUSED = frozenset({"backbone.encoder.norm.weight", "backbone.encoder.norm.bias"})
"""DINO's last normalisation: in the teacher's file, but the network leaves it out (as published)."""


def convert(file: Path, teacher: Path | None = None) -> dict[str, Tensor]:
    """One or two official files as the weights of :class:`Vxp` under any of the presets ``published-*``.

    Either file may be of any kind; two must complement each other. Names and shapes must fit exactly; kernels in
    the layout of spconv 1 or mmcv (kz, ky, kx, in, out) are turned. What was found, and what the whole method still
    lacks, is logged.
    """
    expected = _expected()
    tensors: dict[str, Tensor] = {}
    for path in [file, *([teacher] if teacher else [])]:
        found = _read(path)
        kind = _kind(path, found)
        names = _names(kind, expected)
        _check_names(path, kind, found, names)
        if twice := sorted(tensors.keys() & names.values()):
            raise CrossplaceError(
                f"{path}: {twice[0]} is in both files; expected one file of a student, one of a teacher"
            )
        for official, ours in names.items():
            tensors[ours] = _fitting(path, official, found[official], expected[ours])
        log.info("%s: %s, %d tensors", path, kind, len(names))
    if missing := sorted(expected.keys() - tensors.keys()):
        log.warning(
            "incomplete: %d tensors such as %s are in none of the files; bench needs the final student's file and, "
            "with --teacher, the image teacher's",
            len(missing),
            missing[0],
        )
    return tensors


@cache
def _expected() -> dict[str, Tensor]:
    """Names, shapes and types of the method's tensors; nothing is in them."""
    config = PRESETS["published-oxford"]
    assert isinstance(config, VxpConfig)
    state = Vxp(replace(config, weights=FROM_SCRATCH)).state_dict()
    return {name: tensor.to("meta") for name, tensor in state.items()}


def _read(path: Path) -> dict[str, Tensor]:
    """A bare state dict; nothing in the file is executed."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch says the same whether the bytes are no pickle at all or a pickle that asks for more than tensors.
        raise CrossplaceError(
            f"{path}: no file of tensors alone; it is damaged, no torch file, or holds code that is not run here; "
            "save it again as torch.save(model.state_dict(), file)"
        ) from error
    except Exception as error:  # many kinds, by what the bytes look like
        raise CrossplaceError(
            f"{path}: no readable torch file ({type(error).__name__}); fetch or save it again"
        ) from error
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise CrossplaceError(
            f"{path}: expected a bare state dict, name → tensor; take it out of what is around it and save it alone"
        )
    return dict(found)


def _kind(path: Path, found: dict[str, Tensor]) -> str:
    """Which of the three kinds has most names in common with the file."""
    in_common = {kind: sum(name.startswith(tuple(table)) for name in found) for kind, table in PREFIXES.items()}
    best = max(in_common, key=lambda kind: in_common[kind])
    if not in_common[best]:
        example = f"such as {min(found)!r} " if found else ""
        raise CrossplaceError(
            f"{path}: none of its {len(found)} names {example}is one of VXP's; expected names that begin with "
            "vfe. and middle. (local student), voxel_feat_ext. and gem. (student) or backbone.encoder. and pooling. "
            "(teacher)"
        )
    return best


def _names(kind: str, expected: dict[str, Tensor]) -> dict[str, str]:
    """Official name → ours, for every tensor that a file of this kind must hold."""
    return {
        official + name.removeprefix(ours): name
        for official, ours in PREFIXES[kind].items()
        for name in expected
        if name.startswith(ours)
    }


def _check_names(path: Path, kind: str, found: dict[str, Tensor], names: dict[str, str]) -> None:
    for problem, wrong in (("lacks", names.keys() - found), ("has surplus", found.keys() - names.keys() - UNUSED)):
        if wrong:
            listed = ", ".join(sorted(wrong)[:3]) + (" …" if len(wrong) > 3 else "")
            raise CrossplaceError(
                f"{path}: {problem} {listed} ({len(wrong)} of {len(names)}); expected the whole state dict of a VXP "
                f"{kind} with the published layers"
            )


def _fitting(path: Path, official: str, tensor: Tensor, expected: Tensor) -> Tensor:
    """The tensor in the shape and type that is needed."""
    if tensor.ndim == 5 and tensor.shape != expected.shape:
        tensor = tensor.permute(4, 0, 1, 2, 3)
        if tensor.shape == expected.shape:
            log.info("%s: %s turned from (kz, ky, kx, in, out), the layout of spconv 1 and mmcv", path, official)
    if tensor.shape == expected.shape:
        return tensor.to(expected.dtype).contiguous()
    raise CrossplaceError(
        f"{path}: {official} has shape {tuple(tensor.shape)}, expected {tuple(expected.shape)} as in the published "
        "network; weights of another architecture cannot be converted"
    )
