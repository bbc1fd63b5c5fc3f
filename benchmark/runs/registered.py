"""From registered poses to what is recorded of them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray

from benchmark.evaluation.registration import (
    CURVE_DEG,
    CURVE_M,
    PoseErrors,
    accuracy,
    by_initial_error,
    cumulative,
    improvement,
    pose_errors,
    recall_intervals,
)
from benchmark.evaluation.reranking import belief_kept, reranking
from benchmark.frames.starts import TRAINED, lies_within
from benchmark.records.registration import ErrorRecord, LocalMapRecord, PartRecord
from benchmark.runs.rough_poses import RoughPoses
from datasets.base import Frames

if TYPE_CHECKING:
    from benchmark.runs.registering import FoundPoses


def summary(starts: RoughPoses, found: "FoundPoses", frames: Frames, settings: dict[str, float]) -> dict[str, Any]:
    """The fields of a record that follow from poses; the first start of each query counts, unless it is re-ranked."""
    start, end = (_errors(poses, starts.truth) for poses in (starts.rough, found.pose))
    first, last = start.at((slice(None), 0)), end.at((slice(None), 0))
    is_within = lies_within_range(starts)
    world, position_m = frames.world[starts.query_row], starts.truth[:, :3, 3]
    n_starts = starts.rough.shape[1]
    is_empty = found.n_points == 0
    return {
        "maps": LocalMapRecord(
            settings=settings,
            median_points=float(np.nanmedian(found.n_points)),
            median_sweeps=float(np.nanmedian(found.n_sweeps)),
            n_empty=int(is_empty.sum()),
            least_gap_s=float(found.least_gap_s.min()) if np.isfinite(found.least_gap_s).any() else None,
        ),
        "all": _part(first, last, world, position_m),
        "within": _part(first.at(is_within), last.at(is_within), world[is_within], position_m[is_within]),
        "bands": by_initial_error(first, last),
        "believed": belief_kept(last, found.belief[:, 0]),
        "reranking": reranking(end, found.belief, starts.is_right) if n_starts > 1 else None,
        "register_ms": 1000 * float(np.nanmedian(found.register_s)),
        "map_ms": 1000 * float(np.nanmedian(found.map_s)),
    }


def lies_within_range(starts: RoughPoses) -> Bool[ndarray, " n"]:
    """Whether the first start of each query lies in the range that registrars are trained for."""
    rough = starts.rough[:, 0]
    is_known = np.isfinite(rough).all(axis=(1, 2))
    found = np.zeros(len(rough), dtype=bool)
    found[is_known] = lies_within(TRAINED, np.linalg.inv(starts.truth[is_known]) @ rough[is_known])
    return found


def _errors(poses: Float[ndarray, "n k 4 4"], truth: Float[ndarray, "n 4 4"]) -> PoseErrors:
    n, k = poses.shape[:2]
    found = pose_errors(poses.reshape(-1, 4, 4), np.repeat(truth, k, axis=0))
    return PoseErrors(translation_m=found.translation_m.reshape(n, k), rotation_deg=found.rotation_deg.reshape(n, k))


def _part(
    start: PoseErrors, end: PoseErrors, world: Shaped[ndarray, " n"], position_m: Float[ndarray, "n 3"]
) -> PartRecord | None:
    changed = improvement(start, end, world, position_m)
    if changed is None:
        return None
    return PartRecord(
        start=_error_record(start, world, position_m),
        end=_error_record(end, world, position_m),
        improvement=changed,
    )


def _error_record(errors: PoseErrors, world: Shaped[ndarray, " n"], position_m: Float[ndarray, "n 3"]) -> ErrorRecord:
    found = accuracy(errors)
    assert found is not None, "a part has queries"
    return ErrorRecord(
        accuracy=found,
        intervals=recall_intervals(errors, world, position_m),
        curve_m=cumulative(errors.translation_m, CURVE_M),
        curve_deg=cumulative(errors.rotation_deg, CURVE_DEG),
    )
