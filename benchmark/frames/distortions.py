"""What perturbations do: sample, how much (in the perturbation's unit) and random numbers in, changed sample out.

Samples must have the modality that is changed; the one that comes in stays as it is.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from datasets.base import Frame
from datasets.errors import CrossplaceError
from datasets.transforms import angle_rad

if TYPE_CHECKING:
    from torch import Tensor

    from methods.batch import Sample


def _tensor(array: ndarray) -> "Tensor":
    import torch  # here, so that the table of perturbations can be read without it

    return torch.from_numpy(array)


# --- clouds --------------------------------------------------------------------------------------


def _points(sample: "Sample") -> Float[ndarray, "n 3"]:
    assert sample.points is not None
    return sample.points.double().numpy()


def _with_points(sample: "Sample", points: Float[ndarray, "n 3"]) -> "Sample":
    return replace(sample, points=_tensor(points).float())


def turn(sample: "Sample", angle_deg: float, rng: np.random.Generator) -> "Sample":
    """The cloud turned about the LiDAR's z axis, to a random side."""
    from scipy.spatial.transform import Rotation  # here: a plan needs none of it

    signed_deg = angle_deg * rng.choice([-1, 1])
    rotation = Rotation.from_euler("z", signed_deg, degrees=True).as_matrix()
    return _with_points(sample, _points(sample) @ rotation.T)


def thin_beams(sample: "Sample", step: float, rng: np.random.Generator) -> "Sample":
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
    share = (np.rad2deg(angle_rad(z, np.hypot(x, y))) - low) / max(high - low, 1e-9)
    beam = np.clip(np.rint(share * (lidar.beams - 1)), 0, lidar.beams - 1).astype(int)
    return _keep(sample, (beam - lidar.beams // 2) % int(step) == 0)


def shake_ranges(sample: "Sample", sigma_m: float, rng: np.random.Generator) -> "Sample":
    """Gaussian noise along each ray; no point passes the sensor."""
    points = _points(sample)
    range_m = np.linalg.norm(points, axis=1, keepdims=True)
    noisy_m = np.maximum(range_m + sigma_m * rng.standard_normal(range_m.shape), 0)
    return _with_points(sample, points * np.divide(noisy_m, range_m, out=np.ones_like(range_m), where=range_m > 0))


def drop_points(sample: "Sample", share: float, rng: np.random.Generator) -> "Sample":
    """Exactly this share (rounded) of the points removed."""
    n = len(_points(sample))
    kept = np.ones(n, dtype=bool)
    kept[rng.permutation(n)[: round(share * n)]] = False
    return _keep(sample, kept)


def occlude(sample: "Sample", width_deg: float, rng: np.random.Generator) -> "Sample":
    """No points in a sector of azimuth whose middle is anywhere in the camera's view (anywhere, without a camera)."""
    column, anywhere_rad = rng.random(), rng.uniform(-math.pi, math.pi)
    middle_rad = anywhere_rad
    if sample.intrinsics is not None and sample.camera_from_lidar is not None:
        forward_x, forward_y, _ = sample.camera_from_lidar[2, :3].tolist()  # the optical axis in the LiDAR frame
        fx, _, cx, _ = sample.intrinsics.tolist()
        middle_rad = math.atan2(forward_y, forward_x) + math.atan((cx - column) / fx)
    x, y, _ = _points(sample).T
    offset_rad = np.remainder(angle_rad(y, x) - middle_rad + math.pi, 2 * math.pi) - math.pi
    return _keep(sample, np.abs(offset_rad) >= math.radians(width_deg) / 2)


def _keep(sample: "Sample", kept: Bool[ndarray, " n"]) -> "Sample":
    return _with_points(sample, _points(sample)[kept])


# --- calibration ---------------------------------------------------------------------------------


def unit_vector(rng: np.random.Generator) -> list[float]:
    """Uniform over the sphere."""
    vector = rng.standard_normal(3)
    return (vector / np.linalg.norm(vector)).tolist()


def shift_camera(sample: "Sample", offset_m: float, rng: np.random.Generator) -> "Sample":
    """The camera believed this far from where it is, in a random direction of the camera's frame."""
    error = np.eye(4)
    error[:3, 3] = offset_m * np.array(unit_vector(rng))
    return _miscalibrated(sample, error)


def tilt_camera(sample: "Sample", angle_deg: float, rng: np.random.Generator) -> "Sample":
    """The camera believed turned about its centre, around a random axis of its frame."""
    from scipy.spatial.transform import Rotation  # here: a plan needs none of it

    error = np.eye(4)
    error[:3, :3] = Rotation.from_rotvec(angle_deg * np.array(unit_vector(rng)), degrees=True).as_matrix()
    return _miscalibrated(sample, error)


def _miscalibrated(sample: "Sample", error: Float[ndarray, "4 4"]) -> "Sample":
    if sample.camera_from_lidar is None:
        raise _lacking(sample.frame, "camera_from_lidar, but there is none in dataset.json")
    matrix = _tensor(error @ sample.camera_from_lidar.double().numpy())
    return replace(sample, camera_from_lidar=matrix.float())


# --- images --------------------------------------------------------------------------------------


def _pixels(sample: "Sample") -> Float[ndarray, "3 h w"]:
    assert sample.image is not None
    return sample.image.numpy().astype(np.float32)


def _with_pixels(sample: "Sample", pixels: Float[ndarray, "3 h w"]) -> "Sample":
    return replace(sample, image=_tensor(np.rint(pixels).clip(0, 255).astype(np.uint8)))


def blur(sample: "Sample", share_of_width: float, rng: np.random.Generator) -> "Sample":
    """Gaussian blur of the stored values; its sigma is given as a share of the image width."""
    from scipy.ndimage import gaussian_filter  # here: a plan needs none of it

    pixels = _pixels(sample)
    sigma = share_of_width * pixels.shape[2]
    return _with_pixels(sample, gaussian_filter(pixels, sigma=(0, sigma, sigma)))


def darken(sample: "Sample", stops: float, rng: np.random.Generator) -> "Sample":
    """Exposed ``2 ** stops`` times shorter, in linear light (sRGB), and stored in 8 bits again: dark detail is lost."""
    stored = _pixels(sample) / 255
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4) * 2.0**-stops
    return _with_pixels(
        sample, 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    )


def add_noise(sample: "Sample", sigma: float, rng: np.random.Generator) -> "Sample":
    """Gaussian noise per value: half of white's variance is read noise, the other half grows with the value (shot)."""
    pixels = _pixels(sample)
    return _with_pixels(sample, pixels + sigma * np.sqrt((1 + pixels / 255) / 2) * rng.standard_normal(pixels.shape))


def _lacking(frame: Frame, needed: str) -> CrossplaceError:
    return CrossplaceError(
        f"frame {frame.frame_id} of traversal {frame.traversal!r}: this perturbation needs {needed}; "
        "choose another (crossplace list perturbations)"
    )
