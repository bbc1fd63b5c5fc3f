"""What a method can see of the data, asked before it is trained."""

import logging
from dataclasses import replace

import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from datasets.prepared import PreparedDataset
from datasets.summary import spread
from methods.base import Method
from methods.batch import Sample, collate, load_sample

log = logging.getLogger(__name__)

LOOKED_AT = 16
"""So many frames are encoded, evenly chosen."""


def blind_to(method: Method, dataset: PreparedDataset, rows: Int[ndarray, " n"]) -> list[str]:
    """A sentence if the clouds of some frames at ``rows`` give the descriptor of a cloud without points, or nothing.

    The method need not be trained, because it is asked for equality alone. Where one network sees nothing, neither
    will another of the same configuration.
    """
    with_cloud = rows[dataset.frames.cloud[rows] != ""]
    samples = [load_sample(dataset, dataset.frame(int(row)), ("cloud",)) for row in spread(with_cloud, LOOKED_AT)]
    n_blind = sum(_is_blind(method.eval(), sample) for sample in samples)
    if not n_blind:
        return []
    return [
        f"{method.card.name} sees no point of the cloud of {n_blind} of {len(samples)} frames that were looked at: all "
        f"points lie outside of its range or view; look at its preset (crossplace list methods {method.card.name}) and "
        f"at the data (crossplace data check {dataset.folder})"
    ]


@torch.no_grad()
def _is_blind(method: Method, sample: Sample) -> bool:
    assert sample.points is not None
    seen, nothing = _encoded(method, sample), _encoded(method, replace(sample, points=sample.points[:0]))
    return seen is not None and nothing is not None and all(torch.equal(seen[name], nothing[name]) for name in seen)


def _encoded(method: Method, sample: Sample) -> dict[str, Tensor] | None:
    """Descriptors of the cloud of ``sample``; None where the method breaks, which ``check-method`` tells."""
    try:
        return method.encode_clouds(method.cloud_inputs(collate([sample])))
    except Exception:
        log.debug("%s cannot encode the cloud of %s", method.card.name, sample.frame.frame_id, exc_info=True)
        return None
