"""Curves of recall from cached descriptors: what is missing is encoded, everything else is counting."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.evaluate import check_answerable
from benchmark.evaluation.sensitivity import AXES, Axis, Setting, Tried, evaluate_settings, ground_of, tried_on
from benchmark.frames.preparing import doubts_about
from benchmark.keys import key_of
from benchmark.records.sensitivity import (
    SENSITIVITY,
    AxisRecord,
    ForeignRecord,
    LeftOutRecord,
    PointRecord,
    RecallRecord,
    SensitivityRecord,
    recall_records,
)
from benchmark.request import Request
from benchmark.runs.distractors import foreign_of, other_dataset, sources_of
from benchmark.runs.plan import Plan
from datasets.base import Protocol
from datasets.errors import CrossplaceError, unknown
from datasets.prepared import PreparedDataset

log = logging.getLogger(__name__)

DISTRACTORS = "distractors"
"""The axis that needs foreign frames."""


def run_sensitivity(
    request: Request, axes: Sequence[str] = (), distractors: str | None = None
) -> tuple[SensitivityRecord, Path]:
    """Recall of a method against each of ``axes`` (default: all); returns the stored record and its file.

    ``distractors`` names a prepared dataset whose frames are put into the map too. A second call finds the record, and
    a call after ``bench`` encodes at most foreign frames.

    Raises:
        CrossplaceError: an unknown axis, or distractors that cannot be had or would change nothing.
    """
    for name in axes:
        if name not in AXES:
            raise CrossplaceError(unknown("axis", name, list(AXES)))
    names = [name for name in AXES if name in (axes or AXES)]
    if distractors and DISTRACTORS not in names:
        raise CrossplaceError(
            f"--distractors {distractors} changes nothing without its axis; add {DISTRACTORS} to --axes, or leave "
            "--distractors out"
        )
    plan = Plan(request, measured=False)
    other = other_dataset(plan, distractors) if distractors else None
    doubts = doubts_about(other, request.data.accept) if other else []
    warnings = [*plan.warnings, *(f"distractors: {doubt}" for doubt in doubts)]
    for warning in warnings:
        log.warning(warning)
    asked = [(name, AXES[name].values) for name in names]
    others = [other.fingerprint] if other else []
    key = key_of(plan.encodings[0].key, plan.protocol, asked, others, sorted(set(request.data.accept)))
    folder = plan.sensitivity_folder(key)
    record = SensitivityRecord.found(folder, key)
    if record and plan.is_of(record.method.weights_sha256):
        log.info("nothing to do: %s is up to date", folder)
    else:
        record = _computed(plan, names, other, key, warnings)
        record.write(folder / SENSITIVITY)
    return record, folder / SENSITIVITY


def _computed(
    plan: Plan, names: Sequence[str], other: PreparedDataset | None, key: str, warnings: Sequence[str]
) -> SensitivityRecord:
    from benchmark.runs.run import FramesToEncode, encoded, origin_of, say_blind

    check_answerable(plan.selected)
    plan.check_data()
    blind = say_blind(plan)
    own = FramesToEncode(encoding=plan.encodings[0], dataset=plan.dataset, rows=plan.rows)
    (descriptors,) = encoded(plan, [own])
    axes, foreign = _axes(plan, names, other, descriptors)
    return SensitivityRecord(
        **origin_of(plan, key, [*warnings, *blind]),
        foreign=foreign,
        axes=axes,
    )


def _axes(
    plan: Plan, names: Sequence[str], other: PreparedDataset | None, descriptors: Descriptors
) -> tuple[dict[str, AxisRecord], list[ForeignRecord]]:
    """Every axis with its points, and where foreign frames came from."""
    why_not = why_no_foreign(plan.protocol, descriptors)
    sources = sources_of(plan, other) if DISTRACTORS in names and not why_not else []
    n_available = sum(len(source.rows) for source in sources)
    ground = ground_of(plan.selected, n_foreign=n_available, why_no_foreign=why_not)
    tried = {name: tried_on(AXES[name], ground) for name in names}
    settings = dict.fromkeys(each.setting for values in tried.values() for each in values if not each.why_not)
    n_foreign = max(setting.n_foreign for setting in settings)
    foreign, records = foreign_of(plan, sources, n_foreign, descriptors) if n_foreign else (None, [])
    evaluations = evaluate_settings(plan.dataset.frames, plan.protocol, descriptors, settings, foreign)
    recalls = {
        setting: recall_records(found, plan.dataset, setting.protocol, setting.n_foreign)
        for setting, found in evaluations.items()
    }
    return {name: _axis_record(AXES[name], values, recalls) for name, values in tried.items()}, records


def why_no_foreign(protocol: Protocol, descriptors: Descriptors) -> str:
    """Why foreign frames cannot be counted into the rank; empty if they can."""
    if descriptors.second is not None:
        return (
            "the method re-ranks what it finds first, so that a foreign frame changes the places of others; choose a "
            "variant without re-ranking (crossplace list variants)"
        )
    if protocol.search_depth is not None:
        return (
            f"the protocol looks at the nearest {protocol.search_depth} frames alone; choose one that searches the "
            "whole map (crossplace list protocols)"
        )
    return ""


def _axis_record(axis: Axis, values: Sequence[Tried], recalls: Mapping[Setting, dict[str, RecallRecord]]) -> AxisRecord:
    """The points of an axis; a value that no query has a right answer at is left out too."""
    points, left_out = [], []
    for tried in values:
        directions = {} if tried.why_not else recalls[tried.setting]
        reason = tried.why_not
        if not reason and not any(recall.n_counted for recall in directions.values()):
            reason = "no query has a right answer"
        if reason:
            left_out.append(LeftOutRecord(value=tried.value, reason=reason))
        else:
            points.append(PointRecord(value=tried.value, is_own=tried.is_own, directions=directions))
    return AxisRecord(title=axis.title, unit=axis.unit, points=points, left_out=left_out)
