"""Whether files of depth hold the metres that they promise: a look at a few of them before anything is trained.

Where a frame has a cloud and calibration, its LiDAR is the ruler. Depth of another unit, inverse depth and turned depth
cannot pass it.
"""

from collections.abc import Callable, Sequence
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
TURNS: dict[str, Callable[[ndarray], ndarray]] = {
    "depth": lambda depth_m: depth_m,
    "depth[:, ::-1]": lambda depth_m: depth_m[:, ::-1],
    "depth[::-1]": lambda depth_m: depth_m[::-1],
    "depth[::-1, ::-1]": lambda depth_m: depth_m[::-1, ::-1],
    "depth.T": lambda depth_m: depth_m.T,
}
"""Depth as it is, and as it may have to be turned, by the code that does it."""
BETTER, AGREES = 0.02, 0.3
"""A turn is proposed if its rank correlation with the LiDAR is this much larger than without it, and this large."""
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
    turned_m: Float[ndarray, "t n"]
    """Depths at the pixels of the LiDAR's points, in each of the ``TURNS``; 0 where unknown."""
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
    turned_m, lidar_m = np.empty((len(TURNS), 0)), np.empty(0)
    k, camera_from_lidar = frame.intrinsics, frame.camera_from_lidar
    if frame.cloud and k is not None and camera_from_lidar is not None:
        pixels, lidar_m = project(dataset.load_cloud(frame).astype(np.float64), k, camera_from_lidar)
        column, line = (pixels / (k.width, k.height) * (width, height)).astype(np.int64).T
        fitting = [turn(depth_m) if turn(depth_m).shape == depth_m.shape else 0 * depth_m for turn in TURNS.values()]
        turned_m = np.stack([one[line, column] for one in fitting]).astype(np.float64)
    return DepthLook(
        path=path,
        size=(width, height),
        image_size=(image_width, image_height),
        known_m=depth_m[depth_m > 0],
        turned_m=turned_m,
        lidar_m=lidar_m,
    )


def _against_lidar(looks: Sequence[DepthLook], folder: Path) -> list[str]:
    turned_m = np.concatenate([look.turned_m for look in looks] or [np.empty((len(TURNS), 0))], axis=1)
    lidar_m = np.concatenate([look.lidar_m for look in looks] or [np.empty(0)])
    is_known = turned_m[0] > 0
    if is_known.sum() < FEWEST_POINTS:
        return []
    seen = f"at {is_known.sum():,} points of the LiDAR on {len(looks)} images"
    both = [is_known & (one > 0) for one in turned_m]
    agreements = [_rank_correlation(one[k], lidar_m[k]) for one, k in zip(turned_m, both, strict=True)]
    best, agreement = int(np.argmax(agreements)), agreements[0]
    if agreements[best] > max(agreement + BETTER, AGREES):
        return [
            f"{folder}: {seen}, depth is turned: its rank correlation with the LiDAR's is {agreement:.2f}, and "
            f"{agreements[best]:.2f} after a turn: save {[*TURNS][best]}"
        ]
    if agreement <= 0:
        return [
            f"{folder}: {seen}, depth does not rise with the LiDAR's (rank correlation {agreement:.2f}); expected "
            "metres along the optical axis of these images: for inverse depth (disparity), store its reciprocal"
        ]
    ratio = float(np.median(turned_m[0][is_known] / lidar_m[is_known]))
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
    """Spearman's correlation; 0 if either is constant, or if there are too few numbers."""
    if len(one) < FEWEST_POINTS:
        return 0.0
    ranks = np.stack([rankdata(one), rankdata(other)])
    return 0.0 if (np.ptp(ranks, axis=1) == 0).any() else float(np.corrcoef(ranks)[0, 1])
