"""Named perturbations of the frames that are evaluated, in five severities.

Each belongs to one modality (calibration to the cloud, which is projected with it); which side of a search it then
changes is said by ``Direction.perturbed_side``. What is random depends on seed, perturbation and frame (or traversal)
alone: not on severity, so that a worse one continues a milder one, and not on the batch. docs/robustness.md says what
the severities stand for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from benchmark.evaluation import Direction
from benchmark.registry import unknown
from benchmark.request import DEFAULT_SEVERITY, Request
from benchmark.result import PerturbationRecord
from benchmark.trivial import generator
from datasets.base import Frame, Modality
from datasets.errors import CrossplaceError
from methods.base import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """One line of the table."""

    title: str
    modality: Modality
    unit: str
    values: tuple[float, float, float, float, float]
    """Of severity 1 to 5, ascending."""
    change: Callable[[Sample, float, np.random.Generator], Sample]
    """A sample that has the modality, changed by this much."""
    by_traversal: bool = False
    """One random unit vector a traversal, instead of what each frame draws for itself."""
    version: int = 1
    """Raised whenever the same value, seed and frame would be changed in another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturber:
    """A perturbation at one severity, with its seed."""

    name: str
    severity: int
    seed: int

    @classmethod
    def of(cls, request: Request) -> "Perturber | None":
        """What ``request`` asks for; none if nothing is to be changed."""
        name, severity = request.perturb, request.severity
        if name is None:
            if severity != DEFAULT_SEVERITY:
                raise CrossplaceError(f"severity {severity} of what? Name a perturbation with --perturb")
            return None
        if name not in PERTURBATIONS:
            raise CrossplaceError(unknown("perturbation", name, list(PERTURBATIONS)))
        return cls(name=name, severity=severity, seed=request.seed) if severity else None

    @property
    def kind(self) -> Perturbation:
        """Its line of the table."""
        return PERTURBATIONS[self.name]

    @property
    def value(self) -> float:
        """How much is changed, in the perturbation's unit."""
        return self.kind.values[self.severity - 1]

    @property
    def identity(self) -> dict[str, Any]:
        """What perturbed descriptors depend on beside those of the clean frames."""
        return {"name": self.name, "version": self.kind.version, "value": self.value, "seed": self.seed}

    def __call__(self, sample: Sample) -> Sample:
        """The perturbed sample; one without the modality stays as it is."""
        if (sample.image if self.kind.modality == "image" else sample.points) is None:
            return sample
        frame = sample.frame
        rng = generator(self.seed, self.name, frame.traversal if self.kind.by_traversal else frame.frame_id)
        return self.kind.change(sample, self.value, rng)

    def record(self, traversals: Sequence[str]) -> PerturbationRecord:
        """What a result says about it."""
        kind = self.kind
        drawn = traversals if kind.by_traversal else ()
        return PerturbationRecord(
            name=self.name,
            version=kind.version,
            severity=self.severity,
            value=self.value,
            unit=kind.unit,
            modality=kind.modality,
            sides={d.label: side for d in Direction if (side := d.perturbed_side(kind.modality))},
            drawn={name: _unit_vector(generator(self.seed, self.name, name)) for name in drawn},
        )


# --- clouds --------------------------------------------------------------------------------------


def _points(sample: Sample) -> Float[ndarray, "n 3"]:
    assert sample.points is not None
    return sample.points.double().numpy()


def _with_points(sample: Sample, points: Float[ndarray, "n 3"]) -> Sample:
    return replace(sample, points=torch.from_numpy(points).float())


def _turn(sample: Sample, angle_deg: float, rng: np.random.Generator) -> Sample:
    """The cloud turned about the LiDAR's z axis, to a random side."""
    signed_deg = angle_deg * rng.choice([-1, 1])
    rotation = Rotation.from_euler("z", signed_deg, degrees=True).as_matrix()
    return _with_points(sample, _points(sample) @ rotation.T)


def _thin_beams(sample: Sample, step: float, rng: np.random.Generator) -> Sample:
    """Every ``step``-th beam, counted from the middle one.

    The beam of a point is that of the nearest elevation if the sensor's beams are evenly spaced over its field of
    view; where they are not (HDL-64E), these are bands of elevation that hold about as many points.
    """
    lidar = sample.frame.lidar
    if lidar is None or lidar.form != "scan":
        found = "does not describe the sensor" if lidar is None else "holds submaps of several sweeps"
        raise _lacking(sample.frame, f"single scans of a known LiDAR, but its dataset.json {found}")
    x, y, z = _points(sample).T
    low, high = lidar.vertical_fov_deg
    share = (np.rad2deg(np.arctan2(z, np.hypot(x, y))) - low) / max(high - low, 1e-9)
    beam = np.clip(np.rint(share * (lidar.beams - 1)), 0, lidar.beams - 1).astype(int)
    return _keep(sample, (beam - lidar.beams // 2) % int(step) == 0)


def _shake_ranges(sample: Sample, sigma_m: float, rng: np.random.Generator) -> Sample:
    """Gaussian noise along each ray; no point passes the sensor."""
    points = _points(sample)
    range_m = np.linalg.norm(points, axis=1, keepdims=True)
    noisy_m = np.maximum(range_m + sigma_m * rng.standard_normal(range_m.shape), 0)
    return _with_points(sample, points * np.divide(noisy_m, range_m, out=np.ones_like(range_m), where=range_m > 0))


def _drop_points(sample: Sample, share: float, rng: np.random.Generator) -> Sample:
    """Exactly this share (rounded) of the points removed."""
    n = len(_points(sample))
    kept = np.ones(n, dtype=bool)
    kept[rng.permutation(n)[: round(share * n)]] = False
    return _keep(sample, kept)


def _occlude(sample: Sample, width_deg: float, rng: np.random.Generator) -> Sample:
    """No points in a sector of azimuth whose middle is anywhere in the camera's view (anywhere, without a camera)."""
    column, anywhere_rad = rng.random(), rng.uniform(-math.pi, math.pi)
    middle_rad = anywhere_rad
    if sample.intrinsics is not None and sample.camera_from_lidar is not None:
        forward_x, forward_y, _ = sample.camera_from_lidar[2, :3].tolist()  # the optical axis in the LiDAR frame
        fx, _, cx, _ = sample.intrinsics.tolist()
        middle_rad = math.atan2(forward_y, forward_x) + math.atan((cx - column) / fx)
    x, y, _ = _points(sample).T
    offset_rad = np.remainder(np.arctan2(y, x) - middle_rad + math.pi, 2 * math.pi) - math.pi
    return _keep(sample, np.abs(offset_rad) >= math.radians(width_deg) / 2)


def _keep(sample: Sample, kept: Bool[ndarray, " n"]) -> Sample:
    return _with_points(sample, _points(sample)[kept])


# --- calibration ---------------------------------------------------------------------------------


def _unit_vector(rng: np.random.Generator) -> list[float]:
    """Uniform over the sphere."""
    vector = rng.standard_normal(3)
    return (vector / np.linalg.norm(vector)).tolist()


def _shift_camera(sample: Sample, offset_m: float, rng: np.random.Generator) -> Sample:
    """The camera believed this far from where it is, in a random direction of the camera's frame."""
    error = np.eye(4)
    error[:3, 3] = offset_m * np.array(_unit_vector(rng))
    return _miscalibrated(sample, error)


def _tilt_camera(sample: Sample, angle_deg: float, rng: np.random.Generator) -> Sample:
    """The camera believed turned about its centre, around a random axis of its frame."""
    error = np.eye(4)
    error[:3, :3] = Rotation.from_rotvec(angle_deg * np.array(_unit_vector(rng)), degrees=True).as_matrix()
    return _miscalibrated(sample, error)


def _miscalibrated(sample: Sample, error: Float[ndarray, "4 4"]) -> Sample:
    if sample.camera_from_lidar is None:
        raise _lacking(sample.frame, "camera_from_lidar, but there is none in dataset.json")
    matrix = torch.from_numpy(error @ sample.camera_from_lidar.double().numpy())
    return replace(sample, camera_from_lidar=matrix.float())


# --- images --------------------------------------------------------------------------------------


def _pixels(sample: Sample) -> Float[ndarray, "3 h w"]:
    assert sample.image is not None
    return sample.image.numpy().astype(np.float32)


def _with_pixels(sample: Sample, pixels: Float[ndarray, "3 h w"]) -> Sample:
    return replace(sample, image=torch.from_numpy(np.rint(pixels).clip(0, 255).astype(np.uint8)))


def _blur(sample: Sample, share_of_width: float, rng: np.random.Generator) -> Sample:
    """Gaussian blur of the stored values; its sigma is given as a share of the image width."""
    pixels = _pixels(sample)
    sigma = share_of_width * pixels.shape[2]
    return _with_pixels(sample, gaussian_filter(pixels, sigma=(0, sigma, sigma)))


def _darken(sample: Sample, stops: float, rng: np.random.Generator) -> Sample:
    """Exposed ``2 ** stops`` times shorter, in linear light (sRGB), and stored in 8 bits again: dark detail is lost."""
    stored = _pixels(sample) / 255
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4) * 2.0**-stops
    return _with_pixels(
        sample, 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    )


def _add_noise(sample: Sample, sigma: float, rng: np.random.Generator) -> Sample:
    """Gaussian noise per value: half of white's variance is read noise, the other half grows with the value (shot)."""
    pixels = _pixels(sample)
    return _with_pixels(sample, pixels + sigma * np.sqrt((1 + pixels / 255) / 2) * rng.standard_normal(pixels.shape))


def _lacking(frame: Frame, needed: str) -> CrossplaceError:
    return CrossplaceError(
        f"frame {frame.frame_id} of traversal {frame.traversal!r}: this perturbation needs {needed}; "
        "choose another (crossplace list perturbations)"
    )


# --- the table -----------------------------------------------------------------------------------

PERTURBATIONS: dict[str, Perturbation] = {
    "yaw-offset": Perturbation(
        title="The vehicle stands turned about the vertical",
        modality="cloud",
        unit="°",
        values=(5.0, 10.0, 20.0, 45.0, 90.0),
        change=_turn,
    ),
    "fewer-beams": Perturbation(
        title="A LiDAR with fewer beams",
        modality="cloud",
        unit="beams to one kept",
        values=(2.0, 3.0, 4.0, 6.0, 8.0),
        change=_thin_beams,
    ),
    "range-noise": Perturbation(
        title="Noise of the measured ranges (standard deviation)",
        modality="cloud",
        unit="m",
        values=(0.02, 0.05, 0.1, 0.2, 0.5),
        change=_shake_ranges,
    ),
    "point-dropout": Perturbation(
        title="Points lost at random",
        modality="cloud",
        unit="of the points",
        values=(0.1, 0.25, 0.5, 0.75, 0.9),
        change=_drop_points,
    ),
    "occluded-sector": Perturbation(
        title="A sector of azimuth without points, centred within the camera's view",
        modality="cloud",
        unit="°",
        values=(10.0, 20.0, 40.0, 60.0, 80.0),
        change=_occlude,
    ),
    "calibration-translation": Perturbation(
        title="The camera stands elsewhere than calibrated",
        modality="cloud",
        unit="m",
        values=(0.05, 0.1, 0.2, 0.5, 1.0),
        change=_shift_camera,
        by_traversal=True,
    ),
    "calibration-rotation": Perturbation(
        title="The camera looks elsewhere than calibrated",
        modality="cloud",
        unit="°",
        values=(0.5, 1.0, 2.0, 5.0, 10.0),
        change=_tilt_camera,
        by_traversal=True,
    ),
    "image-blur": Perturbation(
        title="Gaussian blur (standard deviation)",
        modality="image",
        unit="of the width",
        values=(0.004, 0.008, 0.012, 0.02, 0.03),
        change=_blur,
    ),
    "image-darkness": Perturbation(
        title="Underexposure in linear light, stored in 8 bits",
        modality="image",
        unit="stops",
        values=(1.0, 2.0, 4.0, 6.0, 8.0),
        change=_darken,
    ),
    "image-noise": Perturbation(
        title="Read and shot noise (standard deviation at white)",
        modality="image",
        unit="of 255",
        values=(5.0, 10.0, 20.0, 40.0, 80.0),
        change=_add_noise,
    ),
}
