"""The light that arrives along a camera's rays: textured surfaces, cast shadows, lamps, mirror images and haze."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.town import light as lights
from datasets.town.light import LAMP_REACH_M, Light
from datasets.town.noise import clouds
from datasets.town.scene import MISS, Hits, Scene
from datasets.town.seeding import generator_for
from datasets.town.textures import Spots, paint

OFF_SURFACE_M = 0.015
"""Distance from the surface at which secondary rays start, so that they do not meet the surface again."""
HEADLIGHTS_BELOW_CAMERA_M = 0.9
CORNER_SHADE = 0.35
"""Share of the sky's light that is missing at the foot of walls."""
RIPPLE = 0.03
"""How far wet asphalt tilts the rays of a mirror image."""
SHADOWING = 0.05
"""A lamp casts no shadow where its light, times the strength of lamps, is weaker than this."""
LAMP_SHADOWS_WITHIN_M = 45.0
"""Distance from the camera up to which lamps cast shadows."""
MIRROR_REACH_M = 60.0

_STRAY = generator_for(0, "soft shadows").uniform(-1, 1, size=(1 << 14, 3)).astype(np.float32)


def seen(
    scene: Scene,
    origin_m: Float[ndarray, "3"],
    rays: Float[ndarray, "n 3"],
    light: Light,
    forward: Float[ndarray, "3"] | None = None,
) -> Float[ndarray, "n 3"]:
    """Radiance along unit vectors ``rays`` from ``origin_m``, linear RGB.

    The headlights of the vehicle shine along ``forward``; without ``forward`` they are off.
    """
    hits = scene.cast(origin_m, rays)
    is_hit = hits.face != MISS
    hit, missed = np.flatnonzero(is_hit), np.flatnonzero(~is_hit)
    radiance = np.empty_like(rays)
    radiance[missed] = lights.sky(rays[missed], light)
    if len(hit):
        surface = scene.surface(Hits(distance_m=hits.distance_m[hit], face=hits.face[hit]), origin_m, rays[hit])
        order = np.argsort(scene.look["material"][surface], kind="stable")
        hit, surface = hit[order], surface[order]
        towards = rays[hit]
        spots = _spots(scene, surface, origin_m, towards, hits.distance_m[hit])
        shape = spots.normal.copy()  # the normal of the solid, because textures tilt the normal of a spot
        paint(spots, scene.ground, scene.day, light.snow, light.wet)
        lit = _lit(scene, spots, shape, light)
        if forward is not None and light.headlights:
            lit += spots.albedo * _headlights(scene.reflectivity[surface], spots, origin_m, forward, light)
        _add_mirrored(lit, scene, spots, towards, light)
        radiance[hit] = lights.seen_through_haze(lit, spots.distance_m, light)
    return radiance


def _spots(
    scene: Scene, surface: Int[ndarray, " n"], origin_m: Float[ndarray, "3"], rays: ndarray, distance_m: ndarray
) -> Spots:
    return Spots(
        position_m=distance_m[:, None] * rays + origin_m.astype(np.float32),
        distance_m=distance_m,
        look=scene.look[surface],
        albedo=scene.albedo[surface],
        normal=scene.normal[surface],
        glow=np.zeros_like(rays),
        mirror=np.zeros(len(rays), np.float32),
    )


def _lit(scene: Scene, spots: Spots, shape: ndarray, light: Light) -> Float[ndarray, "n 3"]:
    """Light that the spots return and give off."""
    sunlit = _sunlit(scene, spots, shape, light) if max(light.sun) > 0 else 0.0
    lit = lights.shaded(spots.albedo, spots.normal, light, sunlit)
    is_wall = np.abs(shape[:, 2]) < 0.5
    lit *= (1 - CORNER_SHADE * is_wall * np.exp(-spots.position_m[:, 2] / np.float32(0.8)))[:, None]
    if light.lamps:
        strength = np.float32(light.lamps) * np.array(lights.LAMP_COLOUR, np.float32)
        lit += spots.albedo * _lamplight(scene, spots, shape, light)[:, None] * strength
    if light.lamps or light.windows:
        is_window = spots.mirror > 0.2
        lit += spots.glow * np.where(is_window, np.float32(light.windows), np.float32(light.lamps))[:, None]
    return lit


def _sunlit(scene: Scene, spots: Spots, shape: ndarray, light: Light) -> Float[ndarray, " n"]:
    """1 for spots that the sun reaches, 0 in shadow; for a spread sun, one direction per spot is tried."""
    sun = light.towards_sun().astype(np.float32)
    if light.sun_spread:
        towards = sun + np.float32(light.sun_spread) * _stray(len(shape))
        towards[:, 2] = np.maximum(towards[:, 2], np.float32(0.08))
        facing = np.flatnonzero(np.einsum("ni,ni->n", shape, towards) > 0)
        towards = towards[facing]
    else:
        facing = np.flatnonzero(np.einsum("ni,i->n", shape, sun) > 0)
        towards = np.broadcast_to(sun, (len(facing), 3))
    sunlit = np.zeros(len(shape), np.float32)
    sunlit[facing] = _reaches(scene, spots.position_m[facing], shape[facing], towards)
    return sunlit


def _stray(count: int) -> Float[ndarray, "count 3"]:
    """Random offsets of directions, equal for equal ``count``."""
    return np.resize(_STRAY, (count, 3))


def _reaches(
    scene: Scene, position_m: ndarray, shape: ndarray, towards: ndarray, within: float = np.inf
) -> Float[ndarray, " n"]:
    """1 for spots from which nothing stands along ``towards``, nearer than ``within`` times its length; else 0."""
    start = (position_m + np.float32(OFF_SURFACE_M) * shape).astype(np.float64)
    free: ndarray = (scene.cast(start, towards).distance_m >= within).astype(np.float32)
    return free


def _lamplight(scene: Scene, spots: Spots, shape: ndarray, light: Light) -> Float[ndarray, " n"]:
    """Light of the street lamps; at each spot, only the brightest lamp casts shadows."""
    total, most = np.zeros(len(shape), np.float32), np.zeros(len(shape), np.float32)
    brightest = np.zeros(len(shape), np.int32)
    x, y = np.ascontiguousarray(spots.position_m[:, :2].T)
    low, high = (x.min() - LAMP_REACH_M, y.min() - LAMP_REACH_M), (x.max() + LAMP_REACH_M, y.max() + LAMP_REACH_M)
    for number in np.flatnonzero(((scene.lamps_m[:, :2] > low) & (scene.lamps_m[:, :2] < high)).all(1)):
        east, north, _ = scene.lamps_m[number].astype(np.float32)
        rows = np.flatnonzero((x - east) ** 2 + (y - north) ** 2 < LAMP_REACH_M**2)
        if len(rows):
            one = lights.from_lamp(spots.position_m[rows], spots.normal[rows], scene.lamps_m[number])
            total[rows] += one
            brighter = one > most[rows]
            most[rows[brighter]], brightest[rows[brighter]] = one[brighter], number
    casts_shadow = (most * np.float32(light.lamps) > SHADOWING) & (spots.distance_m < LAMP_SHADOWS_WITHIN_M)
    strong = np.flatnonzero(casts_shadow)
    if len(strong):
        towards = (scene.lamps_m[brightest[strong]] - spots.position_m[strong]).astype(np.float32)
        free = _reaches(scene, spots.position_m[strong], shape[strong], towards, within=0.9)
        total[strong] -= (1 - free) * most[strong]
    return total


def _headlights(
    reflectivity: ndarray, spots: Spots, origin_m: ndarray, forward: ndarray, light: Light
) -> Float[ndarray, "n 3"]:
    """Light of the headlights of the vehicle itself; retroreflectors send it back to the vehicle."""
    lamp = origin_m - np.array([0.0, 0.0, HEADLIGHTS_BELOW_CAMERA_M])
    level = forward * (1.0, 1.0, 0.0)
    beam = lights.from_headlights(spots.position_m, spots.normal, lamp, level / np.linalg.norm(level))
    beam *= np.float32(light.headlights) * np.where(reflectivity > 1, 8 * reflectivity, 1)
    lit: ndarray = beam[:, None] * np.array(lights.HEADLIGHT_COLOUR, np.float32)
    return lit


def _add_mirrored(lit: Float[ndarray, "n 3"], scene: Scene, spots: Spots, rays: ndarray, light: Light) -> None:
    """Add the light that glass and wet roads mirror: the sky, and on wet roads also the solids around."""
    shiny = np.flatnonzero(spots.mirror > 0)
    normal, ray = spots.normal[shiny], rays[shiny]
    incidence = -np.einsum("ni,ni->n", ray, normal)
    towards = ray + 2 * incidence[:, None] * normal
    is_ground = normal[:, 2] > 0.9
    share = spots.mirror[shiny] * np.where(is_ground, 0.04 + 0.8 * (1 - np.clip(incidence, 0, 1)) ** 4, 1)
    above = np.where(is_ground, 1, np.clip((towards[:, 2] - 0.02) * 4, 0.1, 1))  # low rays meet solids, not the sky
    mirrored = lights.sky(towards, light) * above[:, None]
    road = np.flatnonzero(is_ground & (spots.distance_m[shiny] < MIRROR_REACH_M))
    if light.wet and len(road):
        mirrored[road] = _on_wet_road(scene, spots.position_m[shiny[road]], towards[road], light)
    lit[shiny] += share[:, None] * mirrored


def _on_wet_road(scene: Scene, position_m: ndarray, towards: ndarray, light: Light) -> Float[ndarray, "n 3"]:
    """The plain colour of the surfaces that a wet road mirrors, blurred by ripples."""
    x, y = position_m[:, 0], position_m[:, 1]
    stray = _stray(len(x)) + (clouds(9 * x, 9 * y) - np.float32(0.5))[:, None]
    rippled = towards + np.float32(RIPPLE) * stray
    rippled[:, 2] = np.maximum(rippled[:, 2], 0.01)
    rippled /= np.linalg.norm(rippled, axis=1, keepdims=True)
    start = (position_m + np.array([0, 0, OFF_SURFACE_M])).astype(np.float64)
    hits = scene.cast(start, rippled.astype(np.float32))
    image = lights.sky(rippled, light)
    met = np.flatnonzero(hits.face != MISS)
    solid = Hits(distance_m=hits.distance_m[met], face=hits.face[met])
    surface = scene.surface(solid, start[0], rippled[met])  # mirrored rays rise: none of them meets the ground
    image[met] = lights.shaded(0.8 * scene.albedo[surface], scene.normal[surface], light, 0.5)
    return image
