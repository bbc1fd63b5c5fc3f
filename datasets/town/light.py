"""Lights: what the sky and the sun look like, how much of them surfaces return, and what the sensor makes of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """One condition. Colours are linear RGB; a white surface under light 1 at exposure 1 saturates."""

    sun_azimuth_deg: float
    """Where the sun stands, counter-clockwise from east."""
    sun_elevation_deg: float
    sun: Rgb
    zenith: Rgb
    horizon: Rgb
    ambient: Rgb
    """Light from the sky on a surface that faces up; one that faces down gets a third of it."""
    exposure: float
    haze_m: float
    """Distance at which 63 % of a surface's light is replaced by the horizon's."""
    noise: float
    """Standard deviation of the sensor's noise, in grey levels of 255."""

    def towards_sun(self) -> Float[ndarray, "3"]:
        """Unit vector from the ground to the sun."""
        azimuth, elevation = np.deg2rad([self.sun_azimuth_deg, self.sun_elevation_deg])
        return np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])


LIGHTS = {
    "day": Light(
        sun_azimuth_deg=-60.0,
        sun_elevation_deg=50.0,
        sun=(1.05, 1.0, 0.92),
        zenith=(0.2, 0.38, 0.75),
        horizon=(0.62, 0.72, 0.82),
        ambient=(0.42, 0.48, 0.58),
        exposure=1.0,
        haze_m=500.0,
        noise=1.0,
    ),
    "overcast": Light(
        sun_azimuth_deg=-20.0,
        sun_elevation_deg=70.0,
        sun=(0.1, 0.1, 0.1),
        zenith=(0.6, 0.62, 0.64),
        horizon=(0.7, 0.71, 0.72),
        ambient=(0.85, 0.87, 0.9),
        exposure=1.0,
        haze_m=250.0,
        noise=1.5,
    ),
    "evening": Light(
        sun_azimuth_deg=165.0,
        sun_elevation_deg=12.0,
        sun=(0.95, 0.52, 0.22),
        zenith=(0.12, 0.18, 0.36),
        horizon=(0.62, 0.4, 0.24),
        ambient=(0.2, 0.22, 0.3),
        exposure=0.8,
        haze_m=350.0,
        noise=2.5,
    ),
    "dusk": Light(
        sun_azimuth_deg=190.0,
        sun_elevation_deg=5.0,
        sun=(0.05, 0.03, 0.03),
        zenith=(0.03, 0.05, 0.11),
        horizon=(0.14, 0.14, 0.2),
        ambient=(0.1, 0.12, 0.18),
        exposure=0.9,
        haze_m=250.0,
        noise=5.0,
    ),
}


def shaded(albedo: Float[ndarray, "n 3"], normal: Float[ndarray, "n 3"], light: Light) -> Float[ndarray, "n 3"]:
    """Light that surfaces return: Lambert's law for the sun plus a hemisphere of sky, without cast shadows."""
    towards_sun = np.einsum("ni,i->n", normal, light.towards_sun().astype(np.float32))
    from_sun = np.maximum(towards_sun, 0)[:, None] * _colour(light.sun)
    from_sky = (2 / 3 + normal[:, 2:] / 3) * _colour(light.ambient)
    return albedo * (from_sun + from_sky)


def sky(direction: Float[ndarray, "n 3"], light: Light) -> Float[ndarray, "n 3"]:
    """Colour of the sky along unit directions: the horizon's, fading into the zenith's."""
    height = np.sqrt(np.clip(direction[:, 2:], 0, 1))
    return (1 - height) * _colour(light.horizon) + height * _colour(light.zenith)


def seen_through_haze(
    colour: Float[ndarray, "n 3"], distance_m: Float[ndarray, " n"], light: Light
) -> Float[ndarray, "n 3"]:
    """``colour`` after ``distance_m`` of hazy air."""
    kept = np.exp(-distance_m / np.float32(light.haze_m))[:, None]
    return kept * colour + (1 - kept) * _colour(light.horizon)


def developed(radiance: Float[ndarray, "h w 3"], light: Light, random: np.random.Generator) -> UInt8[ndarray, "h w 3"]:
    """The stored image: exposure, saturation, gamma 2.2 and sensor noise."""
    linear = np.clip(radiance * np.float32(light.exposure), 0, 1)
    noise = random.standard_normal(radiance.shape, dtype=np.float32) * np.float32(light.noise)
    return np.clip(255 * linear ** np.float32(1 / 2.2) + noise + 0.5, 0, 255).astype(np.uint8)


def _colour(rgb: Rgb) -> Float[ndarray, "3"]:
    return np.array(rgb, dtype=np.float32)
