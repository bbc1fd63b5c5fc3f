"""Rays from a sensor into a scene, and what they meet: for any sensor that is a bundle of rays from one spot."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from datasets.town.scene import MISS, Hits, Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Echoes:
    """The first surface along each ray; where there is none, ``distance_m`` is inf and everything else 0."""

    distance_m: Float[ndarray, " n"]
    normal: Float[ndarray, "n 3"]
    """Of the surface, outward, in the world's axes."""
    cos_incidence: Float[ndarray, " n"]
    """Of the angle between ray and normal: 1 head-on, 0 grazing."""
    albedo: Float[ndarray, "n 3"]
    """Share of visible light reflected, linear RGB."""
    reflectivity: Float[ndarray, " n"]
    """The same for the near infrared of a LiDAR."""


def cast_from(scene: Scene, world_from_sensor: Float[ndarray, "4 4"], directions: Float[ndarray, "n 3"]) -> Echoes:
    """Cast rays that leave the sensor's origin along ``directions``: unit vectors in the sensor's frame."""
    origin = world_from_sensor[:3, 3]
    # No matrix product: its last bits depend on the number of threads.
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
