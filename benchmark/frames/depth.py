"""Whether files of depth hold the metres that they promise: a look at a few of them before anything is trained.

Where a frame has a cloud and calibration, its LiDAR is the ruler. Depth of another unit, inverse depth and depth of
another picture cannot pass it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.stats import rankdata

from datasets.errors import CrossplaceError
from datasets.files import read_npy
from datasets.prepared import PreparedDataset
from datasets.projection import project
from datasets.readers import image_size
from methods.base import MethodConfig
from methods.batch import collate, load_sample
from methods.depth import DepthFiles
from methods.layers.depth.files import DESCRIPTION, Description, FileDepth

SAMPLE, SEED = 16, 0
"""How many frames are looked at, and the seed that chooses them."""
RANGE_M = (0.5, 300.0)
"""Medians of depth outside of this are no street's: nearer than any car's bonnet, or beyond any LiDAR's range."""
RATIO = (0.5, 2.0)
"""Limits of the median of depth by the LiDAR's depth at the same pixels."""
ASPECT = 0.02
"""Largest relative difference between the aspect ratios of depth and image, for sizes that were rounded."""
FEWEST_POINTS = 50
"""With fewer points on known pixels, the LiDAR says nothing about depth."""


@dataclass(frozen=True, kw_only=True)
class DepthLook:
    """What one file of depth holds, beside the image and the cloud of its frame."""

    path: Path
    size: tuple[int, int]
    """Width and height in pixels."""
    image_size: tuple[int, int]
    """Width and height of the frame's image in pixels."""
    known_m: Float[ndarray, " p"]
    """All depths that are known."""
    depth_m: Float[ndarray, " n"]
    """Known depths at the pixels of the LiDAR's points."""
    lidar_m: Float[ndarray, " n"]
    """Depths of those points."""

    def fault(self) -> str:
        """What is wrong with this file by itself, as a sentence; empty if nothing is."""
        (width, height), (image_width, image_height) = self.size, self.image_size
        aspect = image_width / image_height
        if abs(width / height / aspect - 1) > ASPECT:
            looks = abs(height / width / aspect - 1) <= ASPECT
            cure = "this looks transposed: save depth.T" if looks else "write the depth of the whole image again, uncut"
            return (
                f"{self.path}: {width}×{height} pixels of depth are of another aspect ratio than the image's "
                f"{image_width}×{image_height}; {cure}"
            )
        if not len(self.known_m):
            return f"{self.path}: no pixel is known; 0, negative and non-finite numbers mean unknown: write it again"
        return ""


def check_depth(dataset: PreparedDataset, config: MethodConfig, rows: Int[ndarray, " n"]) -> None:
    """Refuse files of depth that cannot be right for the frames at ``rows``; other sources of depth pass."""
    if config.depth is None or not isinstance(config.depth.source, DepthFiles):
        return
    if faults := depth_faults(dataset, Path(config.depth.source.folder).expanduser(), rows):
        raise CrossplaceError(f"{'; '.join(faults)} (docs/depth.md)")


def depth_faults(dataset: PreparedDataset, folder: Path, rows: Int[ndarray, " n"]) -> list[str]:
    """What is wrong with the depth in ``folder``, seen on a seeded sample of the frames at ``rows``; one fault a kind.

    Raises:
        CrossplaceError: a file is missing or damaged.
    """
    rows = rows[dataset.frames.image[rows] != ""]
    chosen = np.random.default_rng(SEED).permutation(rows)[:SAMPLE]
    looks = [_look(dataset, folder, int(row)) for row in np.sort(chosen)]
    if alone := [fault for look in looks if (fault := look.fault())]:
        return [f"{alone[0]} ({len(alone)} of {len(looks)} files looked at have such a fault)"]
    return _against_lidar(looks, folder) or _out_of_range(looks, folder)


def _look(dataset: PreparedDataset, folder: Path, row: int) -> DepthLook:
    frame, kind = dataset.frame(row), Description.read(folder).format
    path = folder / f"{frame.frame_id}.{kind}"
    batch = collate([load_sample(dataset, frame, ("image",))])
    FileDepth(folder, 1, 1)(batch)  # says what is missing or damaged
    width, height = image_size(path) if kind == "png" else read_npy(path).shape[::-1]
    depth_m = FileDepth(folder, height, width)(batch)[0, 0].numpy()
    image_height, image_width = batch.require_images()[0].shape[1:]
    found, lidar_m = np.empty(0, np.float32), np.empty(0)
    k, camera_from_lidar = frame.intrinsics, frame.camera_from_lidar
    if frame.cloud and k is not None and camera_from_lidar is not None:
        pixels, lidar_m = project(dataset.load_cloud(frame).astype(np.float64), k, camera_from_lidar)
        column, line = (pixels / (k.width, k.height) * (width, height)).astype(np.int64).T
        found = depth_m[line, column]
    return DepthLook(
        path=path,
        size=(width, height),
        image_size=(image_width, image_height),
        known_m=depth_m[depth_m > 0],
        depth_m=found[found > 0],
        lidar_m=lidar_m[found > 0],
    )


def _against_lidar(looks: Sequence[DepthLook], folder: Path) -> list[str]:
    depth_m = np.concatenate([look.depth_m for look in looks] or [np.empty(0)])
    lidar_m = np.concatenate([look.lidar_m for look in looks] or [np.empty(0)])
    if len(depth_m) < FEWEST_POINTS:
        return []
    seen = f"at {len(depth_m):,} points of the LiDAR on {len(looks)} images"
    agreement = _rank_correlation(depth_m, lidar_m)
    if agreement <= 0:
        return [
            f"{folder}: {seen}, depth does not rise with the LiDAR's (rank correlation {agreement:.2f}); expected "
            "metres along the optical axis of these images: for inverse depth (disparity), store its reciprocal"
        ]
    ratio = float(np.median(depth_m / lidar_m))
    if RATIO[0] <= ratio <= RATIO[1]:
        return []
    unit_m = Description.read(folder).unit_m
    return [
        f"{folder}: {seen}, depth is {ratio:.3g} times the LiDAR's (median); expected {RATIO[0]} to {RATIO[1]:g} "
        f"times: unit_m in {DESCRIPTION} is {unit_m:g}, and {unit_m / ratio:.3g} would fit"
    ]


def _out_of_range(looks: Sequence[DepthLook], folder: Path) -> list[str]:
    if not looks:
        return []
    median_m = float(np.median([np.median(look.known_m) for look in looks]))
    if RANGE_M[0] <= median_m <= RANGE_M[1]:
        return []
    return [
        f"{folder}: the median depth of {len(looks)} images is {median_m:.4g} m; expected {RANGE_M[0]} to "
        f"{RANGE_M[1]:g} m: correct unit_m in {DESCRIPTION}, which is {Description.read(folder).unit_m:g}"
    ]


def _rank_correlation(one: Float[ndarray, " n"], other: Float[ndarray, " n"]) -> float:
    """Spearman's correlation; 0 if either is constant."""
    ranks = np.stack([rankdata(one), rankdata(other)])
    return 0.0 if (np.ptp(ranks, axis=1) == 0).any() else float(np.corrcoef(ranks)[0, 1])
