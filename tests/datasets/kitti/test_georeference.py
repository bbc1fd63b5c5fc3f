"""Mercator and UTM: by hand, against pyproj, as properties, and what they differ by on real packets."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import CrossplaceError
from datasets.kitti.georeference import EARTH_RADIUS_M, check_pyproj, mercator, mercator_scale, utm
from datasets.kitti.oxts import Oxts

LATITUDES = st.floats(48.5, 49.5)
LONGITUDES = st.floats(8.0, 9.0)


def columns(latitude: float, longitude: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([latitude]), np.array([longitude])


def test_mercator_by_hand() -> None:
    """At latitude 60° the scale is a half; ln tan 75° = 1.3169579."""
    assert mercator_scale(60.0) == pytest.approx(0.5)
    (east, north), *_ = mercator(*columns(60.0, 90.0), 0.5)
    assert east == pytest.approx(0.5 * EARTH_RADIUS_M * np.pi / 2)
    assert north == pytest.approx(0.5 * EARTH_RADIUS_M * 1.3169578969248166)


@given(LATITUDES, LONGITUDES, LATITUDES)
def test_mercator_equals_pyprojs(latitude: float, longitude: float, first: float) -> None:
    proj = pytest.importorskip("pyproj").Proj(f"+proj=merc +R=6378137 +k={mercator_scale(first):.17g}")
    found = mercator(*columns(latitude, longitude), mercator_scale(first))
    np.testing.assert_allclose(found[0], proj(longitude, latitude), atol=1e-6)


@given(LATITUDES, LONGITUDES)
def test_a_metre_on_the_map_is_a_metre_of_the_sphere_at_its_latitude(latitude: float, longitude: float) -> None:
    step_deg = 1e-4
    scale = mercator_scale(latitude)
    here, east, north = (
        mercator(*columns(latitude + dy, longitude + dx), scale)[0] for dy, dx in ((0, 0), (0, step_deg), (step_deg, 0))
    )
    metre = np.deg2rad(step_deg) * EARTH_RADIUS_M
    np.testing.assert_allclose(east - here, [metre * scale, 0], atol=1e-4)
    np.testing.assert_allclose(north - here, [0, metre], atol=1e-4)


@given(LATITUDES, LONGITUDES)
def test_convergence_is_how_far_true_north_turns_on_the_grid(latitude: float, longitude: float) -> None:
    """Adding it to an angle from true east gives the angle on the grid: checked by a step to the north."""
    pytest.importorskip("pyproj")
    (here,), (convergence,) = utm(*columns(latitude, longitude))
    ((ahead,), _) = utm(*columns(latitude + 1e-5, longitude))
    step = ahead - here
    assert np.arctan2(step[1], step[0]) == pytest.approx(np.pi / 2 + convergence, abs=1e-5)
    # First order of the series: (longitude - central meridian) · sin(latitude).
    assert convergence == pytest.approx(np.deg2rad(longitude - 9) * np.sin(np.deg2rad(latitude)), abs=2e-5)


def test_utm_of_the_central_meridian() -> None:
    """500 km east by definition; north is the meridian's arc times 0.9996 (WGS 84 to 49°: 5,429,228.6 m)."""
    pytest.importorskip("pyproj")
    ((east, north),), (convergence,) = utm(*columns(49.0, 9.0))
    assert (east, convergence) == (pytest.approx(500_000, abs=1e-6), pytest.approx(0, abs=1e-12))
    assert north == pytest.approx(0.9996 * meridian_arc_m(49.0), abs=1e-3)


def meridian_arc_m(latitude_deg: float) -> float:
    """From the equator along the WGS 84 ellipsoid, by summing up the radius of curvature."""
    eccentricity2, n = 0.00669437999014, 200_000
    latitude = np.deg2rad((np.arange(n) + 0.5) / n * latitude_deg)
    radius = 6_378_137 * (1 - eccentricity2) / (1 - eccentricity2 * np.sin(latitude) ** 2) ** 1.5
    return float(radius.sum() * np.deg2rad(latitude_deg) / n)


def test_without_pyproj_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "pyproj":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CrossplaceError, match=r"need pyproj, which is not installed: .*georef"):
        check_pyproj()


@pytest.mark.data
def test_what_utm_and_mercator_differ_by_on_a_real_drive(kitti_mini: Path) -> None:
    """Drive 0009, 332 m long: 2.1 m apart as they are, turned by 0.42°; the lengths differ by 0.07 %.

    East is 0.2 % shorter and north 0.1 % longer on the sphere's map than on the ellipsoid's, so that no rotation makes
    them one: up to 0.3 m remain here.
    """
    pytest.importorskip("pyproj")
    unit = Oxts(folder=kitti_mini / "raw_meta/2011_09_26/2011_09_26_drive_0009_sync/oxts")
    packets = np.arange(len(unit.packets))
    on_mercator, on_utm = unit.mercator_m(packets), unit.utm_from_imu(packets)[:, :2, 3]
    first_packet = np.cos(np.deg2rad(49.009347760599))
    assert unit.mercator_scale == pytest.approx(first_packet, abs=1e-12)
    on_mercator, on_utm = on_mercator - on_mercator[0], on_utm - on_utm[0]
    assert np.linalg.norm(np.diff(on_utm, axis=0), axis=1).sum() == pytest.approx(332.5, abs=0.5)
    assert np.linalg.norm(on_mercator - on_utm, axis=1).max() == pytest.approx(2.11, abs=0.02)
    complex_mercator, complex_utm = (xy @ [1, 1j] - (xy @ [1, 1j]).mean() for xy in (on_mercator, on_utm))
    turn = np.vdot(complex_mercator, complex_utm)
    turn /= abs(turn)
    assert np.rad2deg(np.angle(turn)) == pytest.approx(-0.46, abs=0.01)
    assert np.abs(turn * complex_mercator - complex_utm).max() == pytest.approx(0.28, abs=0.01)


@pytest.mark.data
def test_real_packets_lie_where_the_published_regions_do(kitti_mini: Path) -> None:
    """VXP's KITTI regions have centres such as (613180, 4116330): the same map, a few kilometres away."""
    unit = Oxts(folder=kitti_mini / "raw_meta/2011_09_26/2011_09_26_drive_0009_sync/oxts")
    (start,) = unit.mercator_m(np.array([0]))
    assert np.linalg.norm(start - [613_180, 4_116_330]) < 10_000
