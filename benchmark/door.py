"""The Python door: what the command line does, as five functions. See docs/python.md."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmark.frames import preparing
from benchmark.frames.preparing import find_protocol, locate
from benchmark.keys import code_behind, key_of
from benchmark.protocol.selection import Selected
from benchmark.records.schema import Result
from benchmark.request import DataOptions, Request
from benchmark.runs.plan import Plan
from benchmark.runs.rows import score_on
from datasets.prepared import PreparedDataset

if TYPE_CHECKING:
    from methods.base import Method

RUNS = Path("runs")
"""Folder of descriptors and results, if no other is named."""


def prepare(dataset: str = DataOptions.dataset, source: Path | str | None = None, **options: Any) -> PreparedDataset:
    """A dataset in the prepared form, prepared now if it has not been before.

    ``dataset`` is a registered name or a folder in the prepared form, ``source`` the folder of the raw download, and
    ``options`` are those of the dataset: ``prepare("town", preset="tiny")``.

    Raises:
        CrossplaceError: unknown name or option, or raw data that is missing or broken.
    """
    texts = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in options.items()]
    return preparing.prepare(locate(dataset, None if source is None else Path(source), texts))


def load_method(name: str, **options: Any) -> "Method":
    """A method with its weights, in evaluation mode: trained (now or before), shipped, given, or as initialised.

    ``options`` are those of ``crossplace train``, as keywords: ``preset``, ``seed``, ``dataset``, ``checkpoint``,
    ``untrained``, ``device``, ``runs`` and so on. The dataset (default: the town) is what it is trained on.

    Raises:
        CrossplaceError: no such method, preset or option value.
    """
    plan = Plan(Request.of(method=name, **options))
    from benchmark.runs.run import train

    return train(plan).eval()


def encode(
    method: "Method", dataset: PreparedDataset, folder: Path | str | None = None, *, protocol: str | None = None
) -> Path:
    """Write the descriptors of the frames that a protocol needs; returns their folder.

    What is there already, from the same code, configuration, weights and frames, is kept. ``protocol`` is the dataset's
    own by default. ``folder`` is named by method, dataset and a key of these below ``runs/descriptors``.
    A class without a file of its own is asked anew each time.
    """
    from benchmark.descriptors.encoding import encode as encode_rows
    from benchmark.training.checkpoint import checksum_of
    from benchmark.training.configuring import without_path

    found, _ = find_protocol(protocol, dataset)
    manifest = {
        "method": method.card.name,
        "code": code_behind(method) or uuid4().hex,
        "config": key_of(without_path(method.config)),
        "weights": checksum_of(method),
        "dataset": dataset.fingerprint,
    }
    name = f"{method.card.name}-{dataset.name}-{key_of(manifest)}"
    folder = Path(folder or RUNS / "descriptors" / name)
    encode_rows(method, dataset, Selected(frames=dataset.frames, protocol=found).needed, folder, manifest)
    return folder


def evaluate(
    descriptors: Path | str,
    dataset: PreparedDataset,
    *,
    protocol: str | None = None,
    runs: Path | str = RUNS,
    accept: Sequence[str] = (),
) -> Result:
    """The result of descriptors, whoever made them (docs/descriptors.md), under a protocol (default: the dataset's).

    ``result.headline("image->cloud").values["R@1"]`` is the share of images whose nearest cloud shows their place.
    The result is also written below ``runs/results``, for :func:`read_result` and ``crossplace compare``. ``accept``
    names doubts about the data that a person has looked into (docs/doctor.md).

    Raises:
        CrossplaceError: descriptors that are missing or broken, a protocol for other data, or data with a fault.
    """
    result, *_ = score_on(Path(descriptors), dataset, protocol, Path(runs), accept)
    return result


def read_result(folder: Path | str) -> Result:
    """A result that a run or an evaluation has written, or a published one.

    Raises:
        CrossplaceError: no result, or a damaged one.
    """
    return Result.read(Path(folder))
