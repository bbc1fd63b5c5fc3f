"""A scene of triangles over flat ground, and rays that are cast into it."""

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from jaxtyping import Float, Int
from numpy import ndarray

from datasets.town.ground import PAVEMENT_M, GroundMap
from datasets.town.materials import GROUND, REFLECTIVITY, Material, looks
from datasets.town.solids import Triangles, normals

GROUND_REACH_M = 600.0
"""Width of the ground beyond the map."""
MISS = -1
GROUND_ALBEDO = {"road": (0.10, 0.10, 0.11), "pavement": (0.28, 0.27, 0.26), "grass": (0.12, 0.17, 0.06)}
"""Colours of the kinds of ground, from the middle of the road outwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Triangles with the colour and the look of their surface."""

    triangles_m: Triangles
    albedo: Float[ndarray, "n 3"]
    """Share of light that is reflected, linear RGB."""
    look: ndarray | None = None
    """A row of ``materials.LOOK`` per triangle; without looks, all triangles are plain."""

    def looks(self) -> ndarray:
        """``look``, or rows of plain looks if the mesh has no looks."""
        return looks(len(self.triangles_m), Material.PLAIN) if self.look is None else self.look

    @classmethod
    def joined(cls, parts: list["Mesh"]) -> "Mesh":
        """All ``parts`` as one mesh."""
        return cls(
            triangles_m=np.concatenate([part.triangles_m for part in parts]),
            albedo=np.concatenate([part.albedo for part in parts]),
            look=np.concatenate([part.looks() for part in parts]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """The first surface along each ray."""

    distance_m: Float[ndarray, " n"]
    """Distance in lengths of the ray's direction (metres for unit directions); inf if nothing is hit."""
    face: Int[ndarray, " n"]
    """Number of the scene's triangle that is hit; -1 if nothing is hit."""


class Scene:
    """Solids standing on flat ground, ready for casting.

    Each surface has a row in ``albedo``, ``normal``, ``look`` and ``reflectivity`` (near infrared). First come the
    three kinds of ground, then the triangles of the mesh. Rays are computed in single precision relative to the middle
    of the map, so large world coordinates do no harm.
    """

    def __init__(self, mesh: Mesh, ground: GroundMap, day: int = 0) -> None:
        """Build the acceleration structure (tens of milliseconds for tens of thousands of triangles).

        ``day`` is any number; it decides which windows are lit at night.
        """
        self.ground, self.day = ground, day
        self.albedo = np.concatenate([list(GROUND_ALBEDO.values()), mesh.albedo]).astype(np.float32)
        self.normal = np.concatenate([[(0, 0, 1)] * len(GROUND_ALBEDO), normals(mesh.triangles_m)]).astype(np.float32)
        self.look = np.concatenate([*(looks(1, material) for material in GROUND), mesh.looks()])
        self.reflectivity: Float[ndarray, " surfaces"] = REFLECTIVITY[self.look["material"]]
        self.lamps_m: Float[ndarray, "lamps 3"] = _lamps(mesh)
        self._middle_m = np.append(ground.south_west_m + ground.size_m / 2, 0.0)
        sheet = _sheet(ground.size_m.max() / 2 + GROUND_REACH_M)
        triangles = np.concatenate([sheet, mesh.triangles_m - self._middle_m]).astype(np.float32)
        self._ground_faces = len(sheet)
        self._embree = EmbreeScene()
        TriangleMesh(self._embree, triangles)

    def cast(self, origins_m: Float[ndarray, "n 3"] | Float[ndarray, "3"], directions: Float[ndarray, "n 3"]) -> Hits:
        """The first surface that each ray meets. Rays start in world coordinates, all at one spot or each at another.

        Distances up to 80 m are right to a few millimetres.
        """
        start = np.broadcast_to((origins_m - self._middle_m).astype(np.float32), directions.shape)
        found = self._embree.run(np.ascontiguousarray(start), np.ascontiguousarray(directions, np.float32), output=1)
        face = found["primID"]
        return Hits(distance_m=np.where(face == MISS, np.float32(np.inf), found["tfar"]), face=face)

    def surface(
        self, hits: Hits, origin_m: Float[ndarray, "3"], directions: Float[ndarray, "n 3"]
    ) -> Int[ndarray, " n"]:
        """Row of the surface that each ray from ``origin_m`` hit; every ray must have hit a surface."""
        surface = hits.face + (len(GROUND_ALBEDO) - self._ground_faces)
        on_ground = np.flatnonzero(hits.face < self._ground_faces)
        spots = origin_m[:2] + hits.distance_m[on_ground, None] * directions[on_ground, :2]
        surface[on_ground] = np.searchsorted([0.0, PAVEMENT_M], self.ground.at(spots), side="right")
        return surface


def _lamps(mesh: Mesh) -> Float[ndarray, "lamps 3"]:
    """Middles of the heads of the street lamps, which are boxes."""
    heads = mesh.triangles_m[mesh.looks()["material"] == Material.LAMP]
    return heads.reshape(-1, 12 * 3, 3).mean(axis=1)


def _sheet(reach_m: float) -> Triangles:
    corners = reach_m * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    return corners[[[0, 1, 2], [0, 2, 3]]]
