"""What is there of a run, and why it cannot be prepared."""

from collections.abc import Callable
from typing import Any

from datasets.boreas.choosing import Recording, Rules, check_stance, choose
from datasets.boreas.layout import CAMERA, CONDITIONS, LIDAR, POSES, SUFFIX
from datasets.errors import CrossplaceError
from datasets.readers import image_size


def faults_of(recording: Recording, rules: Rules) -> list[str]:
    """Reasons why the run cannot be prepared, one sentence each; frames are looked for where all else is right."""
    faults: list[str] = []
    for part in (_texts, _lidar_poses, _camera_poses, _images, _sweeps):
        faults += _fault_of(part, recording)
    return faults or _fault_of(check_stance, recording) or _fault_of(_frames, recording, rules)


def _fault_of(look: Callable[..., None], *arguments: Any) -> list[str]:
    try:
        look(*arguments)
    except CrossplaceError as error:
        return [str(error)]
    return []


def describe(recording: Recording) -> str:
    """A line of text: how many images and sweeps are there, and how many the pose tables name."""
    parts = [f"run {recording.name} ({CONDITIONS[recording.name]})"]
    for what, found, table in (("images", recording.images_us, CAMERA), ("sweeps", recording.sweeps_us, LIDAR)):
        try:
            named = len((recording.camera if table == CAMERA else recording.lidar).time_us)
            parts.append(f"{len(found):,} of {named:,} {what}")
        except CrossplaceError:
            parts.append(f"{len(found):,} {what}")
    return ", ".join(parts)


def _texts(recording: Recording) -> None:
    missing = [path for path in recording.texts() if not path.is_file()]
    if missing:
        names = ", ".join(path.relative_to(recording.folder).as_posix() for path in missing)
        raise CrossplaceError(f"{recording.folder}: no {names}; fetch the run's folders applanix and calib")


def _lidar_poses(recording: Recording) -> None:
    if (recording.folder / POSES[LIDAR]).is_file():
        len(recording.lidar.time_us)  # this reads the table, and raises what is wrong with it


def _camera_poses(recording: Recording) -> None:
    if (recording.folder / POSES[CAMERA]).is_file():
        len(recording.camera.time_us)


def _images(recording: Recording) -> None:
    if not len(recording.images_us):
        raise CrossplaceError(
            f"{recording.folder / CAMERA}: no images (<microseconds>{SUFFIX[CAMERA]}); fetch those of this run"
        )
    if all(path.is_file() for path in recording.texts()):
        recording.calibration.intrinsics(image_size(recording.image(int(recording.images_us[0]))))


def _sweeps(recording: Recording) -> None:
    if not len(recording.sweeps_us):
        raise CrossplaceError(
            f"{recording.folder / LIDAR}: no sweeps (<microseconds>{SUFFIX[LIDAR]}); fetch those of this run"
        )


def _frames(recording: Recording, rules: Rules) -> None:
    chosen = choose(recording, rules)
    if not len(chosen.lidar_us):
        dropped = ", ".join(f"{reason.replace('_', ' ')} {n:,}" for reason, n in chosen.counts.items() if n)
        raise CrossplaceError(
            f"{recording.folder}: no frame is left of {len(recording.sweeps_us):,} sweeps ({dropped}); are images, "
            "sweeps and tables of one run? If so, allow more with image_within_ms"
        )
