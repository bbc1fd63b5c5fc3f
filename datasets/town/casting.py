"""Rays from a sensor into a scene, and the surfaces they meet, for every sensor whose rays start at one spot."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.scene import MISS, Hits, Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Echoes:
    """The first surface along each ray; without a surface, ``distance_m`` is inf and everything else is 0."""

    distance_m: Float[ndarray, " n"]
    normal: Float[ndarray, "n 3"]
    """Unit normal of the surface, outward, in the world's axes."""
    cos_incidence: Float[ndarray, " n"]
    """Cosine of the angle between ray and normal: 1 head-on, 0 grazing."""
    albedo: Float[ndarray, "n 3"]
    """Share of visible light that is reflected, linear RGB."""
    reflectivity: Float[ndarray, " n"]
    """Share of a LiDAR's near infrared light that is reflected."""


def cast_from(scene: Scene, world_from_sensor: Float[ndarray, "4 4"], directions: Float[ndarray, "n 3"]) -> Echoes:
    """Cast rays that leave the sensor's origin along ``directions``, which are unit vectors in the sensor's axes."""
    origin = world_from_sensor[:3, 3]
    # The last bits of a matrix product depend on the number of threads; those of einsum do not.
    rays = np.einsum("ij,nj->ni", world_from_sensor[:3, :3].astype(np.float32), directions)
    hits = scene.cast(origin, rays)
    hit = np.flatnonzero(hits.face != MISS)
    met = Hits(distance_m=hits.distance_m[hit], face=hits.face[hit])
    surface = scene.surface(met, origin, rays[hit])
    normal, albedo = np.zeros((2, len(rays), 3), dtype=np.float32)
    cos, reflectivity = np.zeros((2, len(rays)), dtype=np.float32)
    normal[hit], albedo[hit] = scene.normal[surface], scene.albedo[surface]
    cos[hit] = np.abs(np.einsum("ni,ni->n", normal[hit], rays[hit]))
    reflectivity[hit] = scene.reflectivity[surface]
    return Echoes(
        distance_m=hits.distance_m, normal=normal, cos_incidence=cos, albedo=albedo, reflectivity=reflectivity
    )
