"""The registration of all queries: a local map around each rough pose, then the registrar.

Every so many queries, what was found is stored, so that a run that was interrupted continues there.
"""

import io
import logging
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from benchmark.console import track
from benchmark.frames.local_maps import LocalMap, LocalMaps
from benchmark.protocol.map_sweeps import MapSweeps
from benchmark.runs.rough_poses import RoughPoses
from datasets.files import write_atomically
from datasets.prepared import PreparedDataset
from methods.batch import load_sample
from methods.registration import Registered, Registrar, RegistrationBatch

log = logging.getLogger(__name__)

STORED_PARTS = "part-*.npz"
"""Names of the files of parts, which are removed once all poses are stored."""
PART = 25
"""Queries whose poses are stored together while a run goes on."""


@dataclass(frozen=True, kw_only=True)
class FoundPoses:
    """What a registrar made of n queries with up to k starts each; nan where there was no start or no pose."""

    pose: Float[ndarray, "n k 4 4"]
    """``world_from_camera``."""
    covariance: Float[ndarray, "n k 6 6"]
    belief: Float[ndarray, "n k"]
    register_s: Float[ndarray, " n"]
    """Time of the registrar for each start of a query."""
    map_s: Float[ndarray, " n"]
    """Time that the local map of each start took."""
    n_points: Float[ndarray, "n k"]
    """Points of the local map."""
    n_sweeps: Float[ndarray, "n k"]
    least_gap_s: Float[ndarray, "n k"]
    """Least time between the query and a sweep of the map; infinite if the map is empty."""

    def store(self, folder: Path, number: int) -> None:
        """Write the part with this number."""
        some, buffer = slice(number * PART, (number + 1) * PART), io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{f.name: getattr(self, f.name)[some] for f in fields(self)})
        write_atomically(part_path(folder, number), buffer.getvalue())

    def restore(self, folder: Path) -> int:
        """Read the parts that are there, up to the first that is missing or damaged; returns their number."""
        for number in range(-(-len(self.belief) // PART)):
            try:
                with np.load(part_path(folder, number), allow_pickle=False) as stored:
                    for f in fields(self):
                        getattr(self, f.name)[number * PART : (number + 1) * PART] = stored[f.name]
            except Exception:  # many kinds; whatever it is, the part can be computed again
                return number
        return -(-len(self.belief) // PART)


def part_path(folder: Path, number: int) -> Path:
    """Where the part with this number is, while the whole is not done."""
    return folder / STORED_PARTS.replace("*", f"{number:04d}")


@torch.no_grad()
def register_all(
    registrar: Registrar,
    dataset: PreparedDataset,
    starts: RoughPoses,
    maps: LocalMaps,
    sweeps: MapSweeps,
    folder: Path,
) -> FoundPoses:
    """Register every start of every query, all starts of a query as one batch; every map is checked for leaks.

    Parts are stored in ``folder``, and those that are there are not computed again.
    """
    n, k = starts.rough.shape[:2]
    found = FoundPoses(
        pose=np.full((n, k, 4, 4), np.nan),
        covariance=np.full((n, k, 6, 6), np.nan),
        belief=np.full((n, k), np.nan),
        register_s=np.full(n, np.nan),
        map_s=np.full(n, np.nan),
        n_points=np.full((n, k), np.nan),
        n_sweeps=np.full((n, k), np.nan),
        least_gap_s=np.full((n, k), np.inf),
    )
    registrar.eval()
    if n_parts := found.restore(folder):
        log.info("%d of %d queries were registered before", min(n_parts * PART, n), n)
    left = range(n_parts * PART, n)
    for number in track(left, f"register by {registrar.card.name}", len(left)):
        known = np.flatnonzero(np.isfinite(starts.rough[number]).all(axis=(1, 2)))
        if len(known):
            _register(registrar, dataset, starts, maps, sweeps, number, known, found)
        if (number + 1) % PART == 0 or number + 1 == n:
            found.store(folder, number // PART)
    return found


def _register(
    registrar: Registrar,
    dataset: PreparedDataset,
    starts: RoughPoses,
    maps: LocalMaps,
    sweeps: MapSweeps,
    number: int,
    known: ndarray,
    found: FoundPoses,
) -> None:
    row, frames = int(starts.query_row[number]), dataset.frames
    allowed, began = sweeps.of(row), time.perf_counter()
    around = [maps.around(starts.rough[number, place, :3, 3], allowed) for place in known]
    found.map_s[number] = (time.perf_counter() - began) / len(known)
    for place, local in zip(known, around, strict=True):
        sweeps.check(row, local.sweeps)
        found.n_points[number, place], found.n_sweeps[number, place] = len(local.points_m), len(local.sweeps)
        gaps_ns = np.abs(frames.timestamp_ns[local.sweeps] - frames.timestamp_ns[row])
        found.least_gap_s[number, place] = gaps_ns.min() / 1e9 if len(gaps_ns) else np.inf
    batch = batch_of(dataset, row, around, starts.rough[number, known], starts.truth[number])
    batch = (batch if registrar.sees_truth else batch.without_truth()).to(_device(registrar))
    began = time.perf_counter()
    made = registrar.register(batch)
    poses = made.map_from_camera.double().cpu().numpy()  # waits for the device
    found.register_s[number] = (time.perf_counter() - began) / len(known)
    _keep(found, number, known, made, poses + _shifts(around))


def _keep(found: FoundPoses, number: int, known: ndarray, made: Registered, poses: ndarray) -> None:
    found.pose[number, known] = poses
    found.covariance[number, known] = made.covariance.double().cpu().numpy()
    is_there = np.isfinite(poses).all(axis=(1, 2))  # who has no pose cannot believe in it
    found.belief[number, known] = np.where(is_there, made.belief.double().cpu().numpy(), 0.0)


def batch_of(
    dataset: PreparedDataset,
    row: int,
    around: list[LocalMap],
    rough: Float[ndarray, "k 4 4"],
    truth: Float[ndarray, "4 4"],
) -> RegistrationBatch:
    """One query with several starts, each in the frame of its own local map; poses are ``world_from_camera``."""
    sample, shifts = load_sample(dataset, dataset.frame(row), ("image",)), _shifts(around)
    assert sample.image is not None, "only queries with an image are registered"
    assert sample.intrinsics is not None, "only calibrated queries are registered"
    k = len(around)
    return RegistrationBatch(
        frames=(sample.frame,) * k,
        images=[sample.image] * k,
        intrinsics=sample.intrinsics.expand(k, 4),
        points=[torch.from_numpy(local.points_m) for local in around],
        rough_map_from_camera=torch.from_numpy(rough - shifts).float(),
        true_map_from_camera=torch.from_numpy(truth - shifts).float(),
    )


def _shifts(around: list[LocalMap]) -> Float[ndarray, "k 4 4"]:
    """What is added to poses in the frames of local maps to have them in the world: the frames are not turned."""
    shifts = np.zeros((len(around), 4, 4))
    for shift, local in zip(shifts, around, strict=True):
        shift[:3, 3] = local.origin_m
    return shifts


def _device(registrar: Registrar) -> torch.device:
    return next((tensor.device for tensor in registrar.state_dict().values()), torch.device("cpu"))
