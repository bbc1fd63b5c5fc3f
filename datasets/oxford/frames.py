"""From runs to frames: which images become places, and the work of making their files."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.files import npy, write_atomically
from datasets.oxford.calibration import CLOUD_FROM_INS, CLOUD_FROM_STEREO, INS_FROM_CLOUD, INS_FROM_LMS
from datasets.oxford.camera import read_camera
from datasets.oxford.layout import NS_PER_US, Run
from datasets.oxford.poses import CONVERGENCE_RAD, PoseSource, Trajectory, read_trajectory
from datasets.oxford.submap import Crop, accumulated, read_sweep, submap
from datasets.pixels import png, resize
from datasets.places import milestones

FRAMES_PER_JOB = 5

INS_TURNED = CLOUD_FROM_STEREO
"""``ins_from_body`` for a body at the INS with the axes x forward, y left, z up."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything, besides its run, that the files of a frame depend on."""

    models: Path
    poses: PoseSource
    bridge_bad_ins: bool
    as_published: bool
    spacing_m: float
    ahead_s: float
    crop: Crop
    image_size: tuple[int, int]
    seed: int

    @property
    def ahead_ns(self) -> int:
        """The time in nanoseconds between an image and the end of its submap."""
        return round(self.ahead_s * 1e9)

    def trajectory(self, run: Run) -> Trajectory:
        """The poses of ``run`` that are used."""
        convergence_rad = 0.0 if self.as_published else CONVERGENCE_RAD
        trajectory = read_trajectory(run.gps / f"{self.poses}.csv", self.poses, convergence_rad=convergence_rad)
        return trajectory.bridged() if self.bridge_bad_ins else trajectory

    def placed(
        self, trajectory: Trajectory, stamps_ns: Int[ndarray, " n"]
    ) -> tuple[Int[ndarray, " m"], Float[ndarray, "m 4 4"]]:
        """Times that the trajectory covers, and ``world_from_ins`` at these times.

        ``as_published``, a time has the last pose before the *next* time, and the last time has no pose. The reason is
        that VXP takes the earlier sample where it meant to interpolate, and its names are one behind its poses.
        """
        if not self.as_published:
            return stamps_ns, trajectory.at(stamps_ns)
        return stamps_ns[:-1], trajectory.latest(stamps_ns)[1:]


@dataclass(frozen=True, kw_only=True)
class Places:
    """The images of a run that are tried, with poses, and the counts of images that are not tried, by reason."""

    run: Run
    stamps_ns: Int[ndarray, " n"]
    world_from_body: Float[ndarray, "n 4 4"]
    """Poses of the cloud's axes; ``as_published``, poses of the INS turned to the same axes."""
    counts: Counter[str]


def find_places(run: Run, recipe: Recipe) -> Places:
    """Every image at which ``spacing_m`` of path has been driven since the image tried before, as published by VXP.

    The first image of a run is not tried. After an image that is rejected, another ``spacing_m`` has to be driven.
    """
    trajectory = recipe.trajectory(run)
    stamps = run.image_stamps
    covered = trajectory.covers(stamps)
    named, world_from_ins = recipe.placed(trajectory, stamps[covered])
    rows = milestones(np.hypot(*np.diff(world_from_ins[:, :2, 3], axis=0).T), recipe.spacing_m)
    body = INS_TURNED if recipe.as_published else INS_FROM_CLOUD
    counts = Counter(
        images_between_places=len(named) - len(rows),
        dropped_no_image=len(run.missing_images),
        dropped_outside_poses=int((~covered).sum()) + int(covered.sum()) - len(named),
        pose_rows_not_finite=trajectory.n_not_finite,
    )
    if trajectory.n_out_of_order:
        counts["pose_rows_out_of_order"] = trajectory.n_out_of_order
    return Places(run=run, stamps_ns=named[rows], world_from_body=world_from_ins[rows] @ body, counts=counts)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Some consecutive places of a run, and the sweeps that their submaps may be made of."""

    run: Run
    recipe: Recipe
    stamps_ns: list[int]
    sweeps_ns: Int[ndarray, " n"]
    destination: Path


def jobs_of(places: Places, recipe: Recipe, destination: Path) -> list[Job]:
    """The work on all ``places``, in their order."""
    stamps, sweeps = places.stamps_ns.tolist(), places.run.sweep_stamps
    parts = [stamps[i : i + FRAMES_PER_JOB] for i in range(0, len(stamps), FRAMES_PER_JOB)]
    return [
        Job(
            run=replace(places.run),  # a copy without the cached listings
            recipe=recipe,
            stamps_ns=part,
            sweeps_ns=_window(sweeps, part[0], part[-1] + recipe.ahead_ns),
            destination=destination,
        )
        for part in parts
    ]


def image_path(run: str, stamp_ns: int) -> str:
    """The path of a frame's image in the prepared folder."""
    return f"images/{run}/{stamp_ns // NS_PER_US}.png"


def cloud_path(run: str, stamp_ns: int) -> str:
    """The path of a frame's cloud in the prepared folder."""
    return f"clouds/{run}/{stamp_ns // NS_PER_US}.npy"


def make_frames(job: Job) -> dict[str, Any]:
    """Write image and cloud of every place that has a submap; returns their times, and counts the others by reason."""
    run, recipe = job.run, job.recipe
    camera = read_camera(recipe.models)
    kept, counts = [], Counter[str]()
    for stamp, (points, n_not_finite) in zip(job.stamps_ns, _clouds(job), strict=True):
        counts["points_not_finite"] += n_not_finite
        if isinstance(points, str):
            counts[f"dropped_{points}"] += 1
            continue
        image = resize(camera.undistorted(run.image(stamp)), *recipe.image_size)
        write_atomically(job.destination / image_path(run.name, stamp), png(image), durable=False)
        content = npy(points.astype(np.float32))
        write_atomically(job.destination / cloud_path(run.name, stamp), content, durable=False)
        kept.append(stamp)
    return {"kept": kept, "counts": dict(counts)}


def _clouds(job: Job) -> Iterator[tuple[Float[ndarray, "n 3"] | str, int]]:
    """For each place, the submap or the reason why there is none, and how many points were not finite."""
    recipe, run = job.recipe, job.run
    trajectory = _trajectory(run, recipe)
    for stamp in job.stamps_ns:
        near = _window(job.sweeps_ns, stamp, stamp + recipe.ahead_ns)
        if not len(near):
            yield "no_sweeps", 0
            continue
        covered, world_from_ins = recipe.placed(trajectory, near[trajectory.covers(near)])
        if not len(covered):
            yield "sweeps_outside_poses", 0
            continue
        (here,) = trajectory.latest(np.array([stamp])) if recipe.as_published else trajectory.at(np.array([stamp]))
        cloud_from_world = CLOUD_FROM_INS @ np.linalg.inv(here)
        read = [read_sweep(run.sweep(s)) for s in covered.tolist()]
        points = accumulated([xy for xy, _ in read], cloud_from_world @ world_from_ins @ INS_FROM_LMS)
        random = np.random.default_rng([recipe.seed, stamp])
        yield submap(points, recipe.crop, random), sum(n for _, n in read)


def _window(stamps_ns: Int[ndarray, " n"], first: int, last: int) -> Int[ndarray, " m"]:
    """The time stamps from ``first`` to ``last``, both included."""
    return stamps_ns[np.searchsorted(stamps_ns, first) : np.searchsorted(stamps_ns, last, side="right")]


@lru_cache(maxsize=1)
def _trajectory(run: Run, recipe: Recipe) -> Trajectory:
    """The poses of ``run``, which a process reads once for all consecutive jobs on that run."""
    return recipe.trajectory(run)
