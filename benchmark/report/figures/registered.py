"""Before and after registration, in one picture: the map on the image from the start, as found, and from the truth.

Three queries are drawn: a quarter, a half and three quarters of those with a pose are nearer to the truth. Nobody
chose them.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmark.evaluation.registration import PoseErrors, pose_errors
from benchmark.frames.local_maps import LocalMaps
from benchmark.protocol.map_sweeps import MapSweeps
from benchmark.records.registration import POSES
from benchmark.report.figures.local_map import Panel, sheet_of
from benchmark.report.figures.saving import save
from benchmark.report.figures.strip import DPI
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

QUANTILES = (0.25, 0.5, 0.75)
"""Shares of the queries that are nearer to the truth than the one that is drawn."""


def draw(folder: Path, name: str, dataset: PreparedDataset, sweeps: MapSweeps, maps: LocalMaps, path: Path) -> None:
    """Write the picture of a finished registration to ``path``, as PNG or JPEG by its suffix.

    ``folder`` holds its poses, ``name`` is that of the registrar, and ``sweeps`` and ``maps`` made its local maps.
    """
    poses = _first_poses(folder / POSES)
    errors = {of: pose_errors(poses[of], poses["truth"]) for of in ("rough", "pose")}
    lines = []
    for number in _drawn(errors["pose"].translation_m):
        row = int(poses["query_row"][number])
        local = maps.around(poses["rough"][number, :3, 3], sweeps.of(row))
        sweeps.check(row, local.sweeps)
        shift = np.zeros((4, 4))
        shift[:3, 3] = local.origin_m
        captions = {
            "rough": f"start: {_words(errors['rough'], number)}",
            "pose": f"{name}: {_words(errors['pose'], number)}",
            "truth": "truth",
        }
        frame = dataset.frame(row)
        lines.append([Panel(caption, frame, local, poses[of][number] - shift) for of, caption in captions.items()])
    save(sheet_of(dataset, lines), path, DPI)


def _first_poses(path: Path) -> dict[str, ndarray]:
    """The first start of each query with its pose; queries without a pose are left out."""
    if not path.is_file():
        raise CrossplaceError(f"{path}: no such file; take {path.parent} away and run crossplace register again")
    with np.load(path, allow_pickle=False) as stored:
        rough, pose = stored["rough"][:, 0], stored["pose"][:, 0]
        known = np.isfinite(pose).all(axis=(1, 2))
        found = {"query_row": stored["query_row"], "truth": stored["truth"], "rough": rough, "pose": pose}
    if not known.any():
        raise CrossplaceError(f"{path}: no query has a pose, so there is nothing to draw; leave --picture out")
    return {name: values[known] for name, values in found.items()}


def _drawn(error_m: Float[ndarray, " n"]) -> list[int]:
    """Numbers of the queries at the quantiles, each once."""
    order = np.argsort(error_m, kind="stable").tolist()
    return [order[place] for place in sorted({round(share * (len(order) - 1)) for share in QUANTILES})]


def _words(errors: PoseErrors, number: int) -> str:
    return f"{errors.translation_m[number]:.2f} m, {errors.rotation_deg[number]:.2f}°"
