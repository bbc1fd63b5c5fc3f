"""The doctor at work: a dataset is looked at once, faults stop, doubts are said, files are there before work begins."""

import glob
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from benchmark.keys import key_of
from datasets.doctor.examination import Examination
from datasets.doctor.examine import FRAMES_IN_ALL, VERSION, examine
from datasets.doctor.rules import RULES
from datasets.errors import CrossplaceError, unknown
from datasets.files import read_as, write_atomically
from datasets.prepared import PreparedDataset

log = logging.getLogger(__name__)


def examined(dataset: PreparedDataset, store: Path) -> Examination:
    """The examination of ``dataset``, kept in the folder ``store`` under the dataset's fingerprint and place.

    What names a missing or damaged file is not kept: the file may be mended without a new fingerprint.
    """
    path = store / f"{dataset.name}-{key_of(VERSION, dataset.fingerprint, str(dataset.folder.resolve()))}.json"
    if path.is_file():
        try:
            return read_as(path, Examination, "delete it")
        except CrossplaceError as error:
            log.warning("%s; looking at the data again", error)
    log.info("looking at %s: about %d frames", dataset.folder, min(FRAMES_IN_ALL, len(dataset.frames)))
    found = examine(dataset)
    if not found.unreadable and not any(found.facts.get("missing-files", {}).values()):
        try:
            write_atomically(path, found.as_json())
        except CrossplaceError as error:  # a store that others keep: looking again takes seconds
            log.debug("%s", error)
    return found


def remembered(name: str, fingerprint: str, store: Path) -> Examination | None:
    """What was found in the dataset of this name and fingerprint, if it was looked at before; nothing is read anew."""
    for path in sorted(store.glob(f"{glob.escape(name)}-*.json")):
        try:
            found = read_as(path, Examination, "delete it")
        except CrossplaceError as error:
            log.debug("%s", error)
            continue
        if (found.version, found.fingerprint) == (VERSION, fingerprint):
            return found
    return None


def check_accepted(rules: Iterable[str]) -> None:
    """Refuse a name that is no rule; can be asked before any data is prepared."""
    for rule in rules:
        if rule not in RULES:
            raise CrossplaceError(unknown("rule about data", rule, list(RULES)))


def doubts_of(dataset: PreparedDataset, found: Examination, accepted: Sequence[str] = ()) -> list[str]:
    """What a reader of results on ``dataset`` must be told; ``accepted`` are rules that a person has looked into.

    Raises:
        CrossplaceError: the data has a fault, so that no number on it would mean anything.
    """
    if faults := found.faults():
        inert = [v.rule for v in found.verdicts() if v.severity == "fault" and v.rule in accepted]
        no_way = [f"{', '.join(inert)} cannot be accepted: it is no doubt but a fault"] if inert else []
        raise CrossplaceError(
            f"{dataset.folder}: this data does not mean what it says: {'; '.join([*faults, *no_way])}. "
            f"{''.join(f'{convention} ' for convention in found.conventions('fault'))}"
            f"All facts: crossplace data check {dataset.folder}"
        )
    return [
        *([dataset.origin.note] if dataset.origin else []),
        *(
            f"{'accepted doubt' if rule in accepted else 'doubt'} ({rule}): {sentence}"
            for rule, sentence in found.doubts().items()
        ),
    ]


def check_files(dataset: PreparedDataset, rows: Int[ndarray, " n"]) -> None:
    """Raise :class:`CrossplaceError` if a file of the frames at ``rows`` is not there, before hours are spent."""
    frames = dataset.frames.take(np.unique(rows))
    paths = [path for path in (*frames.image.tolist(), *frames.cloud.tolist()) if path]
    missing = [path for path in paths if not dataset.has_file(path)]
    if missing:
        has_other = dataset.has_file(missing[0].replace("\\", "/"))
        cure = (
            "write paths with / instead of \\" if has_other else "copy them there, or empty their cells in frames.csv"
        )
        raise CrossplaceError(
            f"{dataset.root / missing[0]}: no such file, or an empty one; {len(missing):,} of the {len(paths):,} files "
            f"that the protocol needs are missing: {cure}"
        )
