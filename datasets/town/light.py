"""Lights: the look of sky and sun, the light that surfaces return, and the image that a sensor makes of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from datasets.town.noise import clouds

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """One condition. Colours are linear RGB; a white surface under light 1 at exposure 1 saturates."""

    sun_azimuth_deg: float
    """Direction of the sun, counter-clockwise from east."""
    sun_elevation_deg: float
    sun: Rgb
    zenith: Rgb
    horizon: Rgb
    ambient: Rgb
    """Light from the sky on a surface that faces up; a surface that faces down gets a third of it."""
    exposure: float
    haze_m: float
    """Distance at which the light of the horizon replaces 63 % of the light of a surface."""
    noise: float
    """Standard deviation of the sensor's noise, in grey levels of 255."""
    sun_spread: float = 0.0
    """Radius of the sun's disc at distance 1: light strays this far from the sun's direction, so shadows are soft."""
    clouds: float = 0.0
    """Share of the sky that is covered, 0 to 1."""
    lamps: float = 0.0
    """Strength of street lamps, shop signs and cars' lamps; 0 is off."""
    windows: float = 0.0
    """Strength of the light in windows."""
    headlights: float = 0.0
    """Strength of the headlights of the vehicle with the sensors."""
    snow: float = 0.0
    wet: float = 0.0
    is_leafless: bool = False

    def towards_sun(self) -> Float[ndarray, "3"]:
        """Unit vector from the ground to the sun."""
        azimuth, elevation = np.deg2rad([self.sun_azimuth_deg, self.sun_elevation_deg])
        return np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])


LIGHTS = {
    "day": Light(
        sun_azimuth_deg=-60.0, sun_elevation_deg=42.0, sun=(1.15, 1.05, 0.92), zenith=(0.12, 0.27, 0.66),
        horizon=(0.58, 0.70, 0.82), ambient=(0.30, 0.36, 0.46), exposure=1.15, haze_m=700.0, noise=1.0, clouds=0.35,
    ),
    "overcast": Light(
        sun_azimuth_deg=-20.0, sun_elevation_deg=80.0, sun=(0.52, 0.53, 0.54), zenith=(0.50, 0.53, 0.57),
        horizon=(0.70, 0.71, 0.72), ambient=(0.50, 0.52, 0.55), exposure=1.1, haze_m=450.0, noise=1.5,
        sun_spread=0.6, clouds=1.0,
    ),
    "evening": Light(
        sun_azimuth_deg=165.0, sun_elevation_deg=14.0, sun=(1.15, 0.62, 0.26), zenith=(0.10, 0.16, 0.34),
        horizon=(0.70, 0.42, 0.22), ambient=(0.22, 0.21, 0.27), exposure=0.9, haze_m=400.0, noise=2.5, clouds=0.3,
    ),
    "dusk": Light(
        sun_azimuth_deg=190.0, sun_elevation_deg=70.0, sun=(0.035, 0.04, 0.06), zenith=(0.02, 0.035, 0.09),
        horizon=(0.12, 0.10, 0.14), ambient=(0.075, 0.085, 0.13), exposure=0.95, haze_m=300.0, noise=4.0,
        sun_spread=0.6, clouds=0.3, lamps=0.4, windows=0.35, headlights=0.2,
    ),
    "night": Light(
        sun_azimuth_deg=190.0, sun_elevation_deg=70.0, sun=(0.0, 0.0, 0.0), zenith=(0.004, 0.006, 0.012),
        horizon=(0.022, 0.018, 0.020), ambient=(0.017, 0.019, 0.028), exposure=2.6, haze_m=500.0, noise=4.5,
        lamps=1.0, windows=0.5, headlights=1.0,
    ),
    "wet": Light(
        sun_azimuth_deg=30.0, sun_elevation_deg=80.0, sun=(0.32, 0.33, 0.35), zenith=(0.36, 0.39, 0.44),
        horizon=(0.52, 0.54, 0.57), ambient=(0.36, 0.38, 0.42), exposure=1.1, haze_m=220.0, noise=2.0,
        sun_spread=0.6, clouds=1.0, windows=0.12, wet=1.0,
    ),
    "winter": Light(
        sun_azimuth_deg=-110.0, sun_elevation_deg=17.0, sun=(0.80, 0.68, 0.54), zenith=(0.28, 0.38, 0.56),
        horizon=(0.66, 0.68, 0.72), ambient=(0.36, 0.40, 0.50), exposure=0.95, haze_m=260.0, noise=1.5, clouds=0.5,
        snow=1.0, is_leafless=True,
    ),
}  # fmt: skip
"""The lights by the name of their condition."""

VIGNETTE = np.float32(0.2)
"""Share of the light that is lost in the corners of an image."""
LAMP_COLOUR: Rgb = (1.0, 0.72, 0.38)
LAMP_POWER = 42.0
"""Light on a surface that faces a street lamp 1 m away."""
LAMP_REACH_M = 24.0
HEADLIGHT_COLOUR: Rgb = (0.95, 0.95, 0.9)
HEADLIGHT_POWER = 110.0
HEADLIGHT_WIDTH = 0.45
"""Tangent of the angle to their axis at which headlights have lost 63 % of their strength."""


def shaded(
    albedo: Float[ndarray, "n 3"],
    normal: Float[ndarray, "n 3"],
    light: Light,
    sunlit: Float[ndarray, " n"] | float = 1.0,
) -> Float[ndarray, "n 3"]:
    """Light that surfaces return: Lambert's law for the sun on ``sunlit`` surfaces, and a hemisphere of sky."""
    received = (2 / 3 + normal[:, 2:] / 3) * _colour(light.ambient)
    if max(light.sun) > 0:
        towards_sun = np.einsum("ni,i->n", normal, light.towards_sun().astype(np.float32))
        received += (np.maximum(towards_sun, 0) * sunlit)[:, None] * _colour(light.sun)
    return albedo * received


def from_lamp(
    position_m: Float[ndarray, "n 3"], normal: Float[ndarray, "n 3"], lamp_m: Float[ndarray, "3"]
) -> Float[ndarray, " n"]:
    """Light from one street lamp on surfaces; the lamp shines down and sideways, not up."""
    x, y, z = (lamp_m.astype(np.float32) - position_m).T
    square = x * x + y * y + z * z + np.float32(0.3)
    facing = np.maximum(x * normal[:, 0] + y * normal[:, 1] + z * normal[:, 2], 0)
    downwards = np.clip(z + 1, 0, 1)
    lit: ndarray = np.float32(LAMP_POWER) * facing * downwards / (square * np.sqrt(square))
    return lit


def from_headlights(
    position_m: Float[ndarray, "n 3"],
    normal: Float[ndarray, "n 3"],
    origin_m: Float[ndarray, "3"],
    forward: Float[ndarray, "3"],
) -> Float[ndarray, " n"]:
    """Light of the vehicle's headlights at ``origin_m`` on surfaces; their cone is cut off above the horizon."""
    away: ndarray = position_m - origin_m.astype(np.float32)
    square = np.einsum("ni,ni->n", away, away) + np.float32(1)
    ahead = np.einsum("ni,i->n", away, forward.astype(np.float32))
    off_axis = np.maximum(square - ahead * ahead, 0) / np.maximum(ahead, 0.1) ** 2
    beam = np.exp(-off_axis / np.float32(HEADLIGHT_WIDTH**2)) * (ahead > 0)
    beam *= np.clip(1 - 5 * away[:, 2] / np.maximum(ahead, 1), 0.06, 1)
    facing = np.maximum(-np.einsum("ni,ni->n", away, normal), 0)
    lit: ndarray = np.float32(HEADLIGHT_POWER) * beam * facing / (square * np.sqrt(square))
    return lit


def sky(direction: Float[ndarray, "n 3"], light: Light) -> Float[ndarray, "n 3"]:
    """Colour of the sky along unit directions: from the colour of the horizon to that of the zenith, with clouds."""
    rise = np.clip(direction[:, 2], 0, 1)
    height = np.sqrt(rise)[:, None]
    clear = (1 - height) * _colour(light.horizon) + height * _colour(light.zenith)
    if not light.clouds:
        return clear
    x, y = (direction[:, :2] / (rise[:, None] + np.float32(0.12))).T
    cover = np.clip((clouds(60 * x, 60 * y) - 1 + np.float32(light.clouds)) * 2.5, 0, 1) * np.clip(rise * 8, 0, 1)
    brightness = np.float32(1.15 if light.clouds < 1 else 1.0) - 0.35 * clouds(45 * x + 80, 45 * y)
    cloud = brightness[:, None] * (_colour(light.horizon) + 0.25 * _colour(light.sun))
    mixed: ndarray = clear + (0.85 * cover)[:, None] * (cloud - clear)
    return mixed


def seen_through_haze(
    colour: Float[ndarray, "n 3"], distance_m: Float[ndarray, " n"], light: Light
) -> Float[ndarray, "n 3"]:
    """``colour`` after ``distance_m`` of hazy air."""
    kept = np.exp(-distance_m / np.float32(light.haze_m))[:, None]
    return kept * colour + (1 - kept) * _colour(light.horizon)


def developed(radiance: Float[ndarray, "h w 3"], light: Light, random: np.random.Generator) -> UInt8[ndarray, "h w 3"]:
    """The stored image: exposure, vignetting, saturation, gamma 2.2 and sensor noise."""
    height, width, _ = radiance.shape
    y, x = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) * 2 / size - 1 for size in (height, width))
    vignette = 1 - VIGNETTE / 2 * (x[None, :] ** 2 + y[:, None] ** 2)
    linear = np.clip(radiance * (np.float32(light.exposure) * vignette)[:, :, None], 0, 1)
    noise = random.standard_normal(radiance.shape, dtype=np.float32) * np.float32(light.noise)
    return np.clip(255 * linear ** np.float32(1 / 2.2) + noise + 0.5, 0, 255).astype(np.uint8)


def _colour(rgb: Rgb) -> Float[ndarray, "3"]:
    return np.array(rgb, dtype=np.float32)
