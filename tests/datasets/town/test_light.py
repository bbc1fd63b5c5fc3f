import numpy as np
import pytest

from datasets.town.light import LIGHTS, Light, developed, seen_through_haze, shaded, sky

PLAIN = Light(
    sun_azimuth_deg=90.0,
    sun_elevation_deg=30.0,
    sun=(1.0, 0.5, 0.0),
    zenith=(0.0, 0.0, 1.0),
    horizon=(1.0, 1.0, 1.0),
    ambient=(0.3, 0.3, 0.3),
    exposure=1.0,
    haze_m=100.0,
    noise=0.0,
)


@pytest.mark.parametrize(
    ("normal", "expected"),
    [
        ((0, 1, 0), (np.cos(np.pi / 6) + 0.2, np.cos(np.pi / 6) / 2 + 0.2, 0.2)),  # a wall facing north, to the sun
        ((0, -1, 0), (0.2, 0.2, 0.2)),  # turned away: two thirds of the sky's light
        ((0, 0, 1), (0.8, 0.55, 0.3)),  # up: sine of 30° of the sun, all of the sky
        ((0, 0, -1), (0.1, 0.1, 0.1)),
    ],
)
def test_a_white_surface_returns_sun_by_lambert_and_sky_by_height(normal, expected):
    lit = shaded(np.ones((1, 3), np.float32), np.array([normal], np.float32), PLAIN)
    np.testing.assert_allclose(lit[0], expected, atol=1e-6)


def test_haze_turns_far_surfaces_into_the_horizon():
    seen = seen_through_haze(np.zeros((3, 3), np.float32), np.array([0.0, 100.0, 1e5], np.float32), PLAIN)
    np.testing.assert_allclose(seen[:, 0], [0, 1 - np.exp(-1), 1], atol=1e-6)


def test_the_sky_fades_from_the_horizon_into_the_zenith():
    colours = sky(np.array([[1, 0, 0], [0, 0, 1]], np.float32), PLAIN)
    np.testing.assert_allclose(colours, [PLAIN.horizon, PLAIN.zenith])


def test_development_is_gamma_and_saturates():
    radiance = np.array([[[0, 0.5, 3.0]]], np.float32)
    pixels = developed(radiance, PLAIN, np.random.default_rng(0))
    assert pixels.tolist() == [[[0, 186, 255]]]  # 255 · 0.5^(1 / 2.2) = 186.1


def test_evening_is_darker_than_day_and_dusk_darker_still():
    up = np.array([[0, 0, 1]], np.float32)
    level = {name: shaded(np.ones_like(up), up, light).mean() * light.exposure for name, light in LIGHTS.items()}
    assert level["evening"] < 0.5 * min(level["day"], level["overcast"])
    assert level["dusk"] < 0.5 * level["evening"]
