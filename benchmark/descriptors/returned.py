"""Whether a method returns what it declares: asked of every batch before its descriptors become files."""

import logging
from collections.abc import Mapping, Sequence
from typing import get_args

import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from datasets.base import MODALITIES, DistanceKind, Frame, Modality
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.batch import Batch, collate, load_sample

log = logging.getLogger(__name__)


def check_returned(method: Method, modality: Modality, returned: object, frames: Sequence[Frame]) -> None:
    """Refuse what ``encode_images`` or ``encode_clouds`` returned for ``frames`` unless it is as declared, and finite.

    Raises:
        CrossplaceError: it is no dict, or has other names, other shapes than (frames, views, size), or values that are
            not finite. The sentence names method, encoder and, for such values, the first frame.
    """
    if fault := fault_of(method, modality, returned, frames):
        raise CrossplaceError(
            f"method {method.card.name}: encode_{modality}s returned {fault}; mend the method "
            f"(crossplace check-method {method.card.name} says all that is wrong with it)"
        )


def fault_of(method: Method, modality: Modality, returned: object, frames: Sequence[Frame]) -> str:
    """What is wrong with ``returned``, in words that follow "returned"; empty if nothing is."""
    specs = {spec.name: spec for spec in method.descriptors}
    if not isinstance(returned, Mapping):
        return f"a {type(returned).__name__}, expected a dict of tensors by name: {', '.join(specs)}"
    if returned.keys() != specs.keys():
        return f"the descriptors {sorted(map(str, returned))}, expected those that it declares: {sorted(specs)}"
    for name, spec in specs.items():
        found: Tensor = returned[name]
        expected = (len(frames), spec.views(modality), spec.size)
        if tuple(found.shape) != expected:
            return f"{name!r} of shape {tuple(found.shape)}, expected {expected}: frames, views, numbers"
        finite = found.isfinite().flatten(1).all(1)
        if not finite.all():
            return f"{name!r} that is not finite for frame {frames[int(finite.long().argmin())].frame_id}"
    return ""


def check_method(method: Method, dataset: PreparedDataset, rows: Int[ndarray, " n"]) -> None:
    """Refuse a method that declares or returns something else than it should, asked of one frame before training.

    The first frame of ``rows`` with an image is encoded, and the first with a cloud. Where the method breaks with an
    error of its own, training or encoding will show it.

    Raises:
        CrossplaceError: a declared distance that there is not, or anything that :func:`check_returned` refuses.
    """
    for spec in method.descriptors:
        if spec.distance not in get_args(DistanceKind):
            raise CrossplaceError(
                f"method {method.card.name}: descriptor {spec.name!r} declares the distance {spec.distance!r}; "
                f"declare one of {', '.join(get_args(DistanceKind))}"
            )
    for modality in MODALITIES:
        having = rows[getattr(dataset.frames, modality)[rows] != ""]
        if not len(having):
            continue
        frame = dataset.frame(int(having[0]))
        batch = collate([load_sample(dataset, frame, (modality,))])
        try:
            with torch.inference_mode():
                returned = _encoded(method.eval(), modality, batch)
        except Exception:
            log.debug("%s cannot encode the %s of %s", method.card.name, modality, frame.frame_id, exc_info=True)
            continue
        check_returned(method, modality, returned, [frame])


def _encoded(method: Method, modality: Modality, batch: Batch) -> object:
    """What the encoder returns, whatever it is: ``encode_batch`` would promise a dict."""
    if modality == "image":
        return method.encode_images(method.image_inputs(batch))
    return method.encode_clouds(method.cloud_inputs(batch))
