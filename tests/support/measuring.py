"""Numbers of tables on a page of docs/, measured: cells, data, and recall by the suite's own evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.descriptors.encoding import encode
from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.evaluate import PairEvaluation, Scorer, evaluate, from_descriptors, from_ranker
from benchmark.evaluation.metrics import Recall, mean_over_pairs, pooled
from benchmark.protocol.directions import Direction
from benchmark.registry import METHODS
from benchmark.training.checkpoint import load_weights
from datasets.base import Frames, Protocol
from datasets.prepared import PreparedDataset
from methods.base import Method

IMAGE_TO_CLOUD, CLOUD_TO_CLOUD = Direction.IMAGE_TO_CLOUD, Direction.CLOUD_TO_CLOUD
METHOD_NAMES = {"skyline histogram": "height_histogram", "VXP quick": "vxp"}
"""Names of the page, and of the registry."""

# --- cells -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number of a table, and how far it may be off on another CPU."""

    value: float
    digits: int = 1
    slack: float = 0.0

    def __str__(self) -> str:
        return f"{self.value:,.{self.digits}f}"


Cell = str | Number
Rows = list[list[Cell]]


def percent(share: float | None, n_queries: int = 0) -> Number:
    """A share in percent; with a number of queries, two of them may end differently on another CPU."""
    assert share is not None
    return Number(value=100 * share, slack=200 / n_queries if n_queries else 0.0)


# --- scoring ---------------------------------------------------------------------------------------


def given(frames: Frames, looks: Float[ndarray, "n size"]) -> Descriptors:
    """One descriptor a frame, the same for its image and its cloud."""
    rows = {frame_id: row for row, frame_id in enumerate(frames.frame_id.tolist())}
    arrays = dict.fromkeys(("image", "cloud"), looks[:, None])
    return Descriptors(rows=dict.fromkeys(arrays, rows), arrays=arrays, distance="l2", method="given")


def evaluated(
    frames: Frames, protocol: Protocol, direction: Direction, given_by: Mapping[str, Descriptors | str]
) -> dict[str, list[PairEvaluation]]:
    """The pairs of each row, by name: from descriptors, or from a ranker by its name."""
    scorers: dict[str, Scorer] = {
        name: replace(from_ranker(source, 0), directions=(direction,))
        if isinstance(source, str)
        else from_descriptors(source, frames, directions=[direction])
        for name, source in given_by.items()
    }
    return evaluate(frames, protocol, scorers)


def headline(pairs: Sequence[PairEvaluation], protocol: Protocol) -> Recall:
    average = mean_over_pairs if protocol.averaging == "pairs" else pooled
    return average([pair.recall for pair in pairs])


def recalls(
    frames: Frames, protocol: Protocol, direction: Direction, given_by: Mapping[str, Descriptors | str]
) -> dict[str, Recall]:
    found = evaluated(frames, protocol, direction, given_by)
    return {name: headline(pairs, protocol) for name, pairs in found.items()}


def words(direction: Direction) -> str:
    return direction.label.replace("->", "→")


# --- data ------------------------------------------------------------------------------------------


def shipped(name: str) -> Method:
    """A method of the suite in its quick preset; VXP with the weights that come with it."""
    kind = METHODS.get(name)
    method = kind(kind.presets["quick"])
    if method.is_trainable:
        (weights,) = method.shipped
        load_weights(method, weights.file)
    return method.eval()


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A dataset and the descriptors of both methods, by their names on the page."""

    dataset: PreparedDataset
    descriptors: dict[str, Descriptors]

    @classmethod
    def of(cls, dataset: PreparedDataset, traversals: Sequence[str], folder: Path) -> "Encoded":
        rows = np.flatnonzero(np.isin(dataset.frames.traversal.astype(str), traversals))
        for name in METHOD_NAMES.values():
            encode(shipped(name), dataset, rows, folder / name, {"method": name})
        found = {title: Descriptors.read(folder / name) for title, name in METHOD_NAMES.items()}
        return cls(dataset=dataset, descriptors=found)

    @property
    def frames(self) -> Frames:
        return self.dataset.frames
