"""What is there of a run, what is missing, and why a run cannot be prepared."""

from collections.abc import Callable

from datasets.errors import CrossplaceError
from datasets.oxford.camera import read_camera
from datasets.oxford.frames import Recipe
from datasets.oxford.layout import Run
from datasets.oxford.poses import PoseSource, read_trajectory
from datasets.oxford.runs import condition_of
from datasets.readers import image_size


def complete(run: Run, poses: PoseSource) -> bool:
    """Whether at least one file of each part of the run is there."""
    return bool(len(run.image_stamps) and len(run.sweep_stamps) and (run.gps / f"{poses}.csv").is_file())


def faults_of(run: Run, recipe: Recipe) -> list[str]:
    """Reasons why ``run`` cannot be prepared, one sentence each."""
    faults = []
    for part in (_images, _sweeps, _poses):
        try:
            part(run, recipe)
        except CrossplaceError as error:
            faults.append(str(error))
    return faults


def _images(run: Run, recipe: Recipe) -> None:
    if not len(run.image_stamps):
        raise CrossplaceError(f"{run.images}: no images (<microseconds>.png); unpack the stereo_centre archives")
    len(run.missing_images)  # this reads the list, and raises what is wrong with it
    first = run.image(int(run.image_stamps[0]))
    read_camera(recipe.models).check_size(image_size(first), first)


def _sweeps(run: Run, recipe: Recipe) -> None:
    if not len(run.sweep_stamps):
        raise CrossplaceError(f"{run.sweeps}: no sweeps (<microseconds>.bin); unpack the lms_front archives")
    len(run.missing_sweeps)  # this reads the list, and raises what is wrong with it


def _poses(run: Run, recipe: Recipe) -> None:
    path = run.gps / f"{recipe.poses}.csv"
    trajectory = recipe.trajectory(run)
    if len(run.image_stamps) and not trajectory.covers(run.image_stamps).any():
        raise CrossplaceError(f"{path}: no image of {run.name} was taken while there are poses; are both of one run?")


def describe(run: Run, recipe: Recipe) -> str:
    """A line of text: how many images, sweeps and poses are there, and how many there should be."""
    parts = [
        f"run {run.name} ({condition_of(run)})",
        _count(run, "images", lambda: (len(run.image_stamps), len(run.missing_images))),
        _count(run, "sweeps", lambda: (len(run.sweep_stamps), len(run.missing_sweeps))),
        *(_poses_in_words(run, kind) for kind in ("ins", "rtk") if kind == recipe.poses or _has(run, kind)),
    ]
    return ", ".join(parts)


def _has(run: Run, kind: PoseSource) -> bool:
    return (run.gps / f"{kind}.csv").is_file()


def _count(run: Run, what: str, found_and_missing: Callable[[], tuple[int, int]]) -> str:
    try:
        found, missing = found_and_missing()
    except CrossplaceError:
        return f"{what} listed in a broken file"
    return f"{found:,} of {found + missing:,} {what}"


def _poses_in_words(run: Run, kind: PoseSource) -> str:
    if not _has(run, kind):
        return f"no {kind}.csv"
    try:
        trajectory = read_trajectory(run.gps / f"{kind}.csv", kind)
    except CrossplaceError:
        return f"{kind}.csv is broken"
    n, seconds = len(trajectory.time_ns), (trajectory.time_ns[-1] - trajectory.time_ns[0]) / 1e9
    words = f"{n:,} poses of {kind.upper()} in {seconds:,.0f} s"
    bad = (~trajectory.is_good).mean()
    if bad:
        words += f" ({bad:.1%} of bad status, up to {trajectory.longest_bad_s():.1f} s long)"
    if len(run.image_stamps):
        words += f" with {trajectory.covers(run.image_stamps).mean():.2%} of the images"
    return words
