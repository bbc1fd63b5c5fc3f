"""Bounds of registration: the rough pose as it is, and the true pose."""

import torch
from jaxtyping import Float
from torch import Tensor

from methods.base import MethodConfig
from methods.card import MethodCard
from methods.registration import Registered, Registrar, RegistrationBatch, require_truth

KEPT_VARIANCE = (1.0, 1.0, 1.0, 0.01, 0.01, 0.01)
"""Variance of a rough pose: (1 m)² along and (0.1 rad)² about each axis, about that of CMRNet's largest range."""


def _card(name: str, title: str) -> MethodCard:
    return MethodCard(
        name=name,
        title=title,
        paper="none: a bound of this suite",
        venue="none",
        year=2026,
        code="this repository",
        code_licence="MIT",
        modalities="image, cloud",
        trained_on="nothing",
        pretrained="nothing",
        sources="none",
    )


class _Bound(Registrar):
    """A registrar with nothing to learn and nothing to choose."""

    presets = {"quick": MethodConfig()}
    is_trainable = False

    def __init__(self, config: MethodConfig | None = None) -> None:
        super().__init__()
        self.config = config or MethodConfig()


class Keep(_Bound):
    """The rough pose as it is: what registration must beat."""

    card = _card("keep", "Rough pose as it is")

    def register(self, batch: RegistrationBatch) -> Registered:
        """The rough poses. It never believes in them."""
        rough = batch.rough_map_from_camera
        return Registered(
            map_from_camera=rough.clone(),
            covariance=_diagonal(rough, KEPT_VARIANCE),
            belief=rough.new_zeros(len(rough)),
        )


class Oracle(_Bound):
    """The true pose: what registration can at best reach."""

    card = _card("oracle", "True pose")
    sees_truth = True

    def register(self, batch: RegistrationBatch) -> Registered:
        """The true poses. It is always sure."""
        truth = require_truth(batch)
        return Registered(
            map_from_camera=truth.clone(),
            covariance=_diagonal(truth, (0.0,) * 6),
            belief=truth.new_ones(len(truth)),
        )


def _diagonal(poses: Float[Tensor, "b 4 4"], variances: tuple[float, ...]) -> Float[Tensor, "b 6 6"]:
    """The same diagonal covariance for each pose."""
    return torch.diag(poses.new_tensor(variances)).repeat(len(poses), 1, 1)
