"""The words of the project as types: frame, traversal, dataset, protocol.

Frames of reference: world is east-north-up in metres with yaw counter-clockwise from east; LiDAR is
x forward, y left, z up; camera is x right, y down, z forward. Transforms are named ``target_from_source``.
A frame's pose is that of its LiDAR unless the dataset's card says otherwise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from pydantic import Field, PositiveFloat

from datasets.transforms import RigidTransform

Modality = Literal["image", "cloud"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
Count = Annotated[int, Field(gt=0, lt=2**31)]
"""How many of something there are: pixels, beams."""
DistanceKind = Literal["l2", "cosine", "dot"]
"""How two descriptors compare: Euclidean distance, 1 − cosine, or minus the inner product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intrinsics:
    """Pinhole camera of a stored, undistorted image, in pixels.

    Coordinates are continuous with 0 at the left (upper) *edge* of the image, so pixel ``i`` covers
    ``[i, i + 1)``. Readers of calibrations that put 0 at the centre of the first pixel add one half.
    """

    fx: PositiveFloat
    fy: PositiveFloat
    cx: float
    cy: float
    width: Count
    height: Count

    def fractions(self) -> Float[ndarray, "4"]:
        """``(fx, fy, cx, cy)`` in units of image width (x) and height (y): unchanged by any resize."""
        w, h = self.width, self.height
        return np.array([self.fx / w, self.fy / h, self.cx / w, self.cy / h])

    def resized(self, width: int, height: int) -> "Intrinsics":
        """Intrinsics of the same image after a resize, which maps edges to edges."""
        x, y = width / self.width, height / self.height
        return Intrinsics(fx=self.fx * x, fy=self.fy * y, cx=self.cx * x, cy=self.cy * y, width=width, height=height)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lidar:
    """What kind of sensor made the clouds."""

    beams: Count
    vertical_fov_deg: tuple[float, float]
    """Elevation of the lowest and of the highest beam, in degrees above the horizon."""
    max_range_m: PositiveFloat
    form: Literal["scan", "submap"]
    """What one cloud is: one revolution of the sensor, or several sweeps accumulated with poses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BinLayout:
    """How ``.bin`` files store points: one after the other, each as so many little-endian numbers, x, y, z first."""

    columns: Annotated[int, Field(ge=3, le=1000)] = 4
    dtype: Literal["float32", "float64"] = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One image and one cloud taken together (either path may be empty), with pose, calibration and time."""

    frame_id: str
    traversal: str
    world: str
    """The map that the pose belongs to; places in different worlds are never the same."""
    timestamp_ns: int
    position_m: tuple[float, float, float]
    """Position of the LiDAR: east, north, up."""
    yaw_rad: float
    image: str
    cloud: str
    intrinsics: Intrinsics | None
    camera_from_lidar: RigidTransform | None
    lidar: Lidar | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traversal:
    """What all frames of one drive share."""

    name: str
    condition: str
    """Light and weather in a word or two, for example day, night or snow."""
    georeferenced: bool
    """Whether east and north of the traversal's world are those of the earth.

    It does not say which traversals share a map: ``Frame.world`` does.
    """
    intrinsics: Intrinsics | None
    camera_from_lidar: RigidTransform | None
    lidar: Lidar | None
    mercator_scale: PositiveFloat | None = None
    """Scale of the Mercator map of ``Frames.mercator_m``: the cosine of the latitude at which its metres are true."""
    bin_layout: BinLayout | None = None
    """Layout of the ``.bin`` files among the clouds; without one they hold x, y, z, intensity as float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Many frames as columns, ordered by traversal and time. Row ``i`` of every column is one frame."""

    frame_id: ndarray
    traversal: ndarray
    world: ndarray
    timestamp_ns: Int[ndarray, " n"]
    position_m: Float[ndarray, "n 3"]
    """Positions of the LiDAR: east, north, up."""
    quaternion_wxyz: Float[ndarray, "n 4"]
    """Rotations ``world_from_lidar`` as quaternions, scalar first."""
    yaw_rad: Float[ndarray, " n"]
    image: ndarray
    cloud: ndarray
    mercator_m: Float[ndarray, "n 2"] | None = None
    """East and north on the traversal's Mercator map (``Traversal.mercator_scale``); nan where they are not known.

    The published regions of KITTI are given on this map. The value is None if no frame has such a position.
    """

    def __len__(self) -> int:
        return len(self.frame_id)

    def take(self, rows: Int[ndarray, " m"] | Bool[ndarray, " n"]) -> "Frames":
        """The frames at ``rows`` (indices or mask), in that order."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{name: column[rows] for name, column in columns.items() if column is not None})

    @classmethod
    def concatenate(cls, parts: Sequence["Frames"]) -> "Frames":
        """The frames of all ``parts``, one part after the other."""
        columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(cls)}
        if all(column is None for column in columns["mercator_m"]):
            del columns["mercator_m"]
        else:
            unknown = [np.full((len(part), 2), np.nan) for part in parts]
            columns["mercator_m"] = [u if m is None else m for m, u in zip(columns["mercator_m"], unknown, strict=True)]
        return cls(**{name: np.concatenate(column) for name, column in columns.items()})

    def paths(self, modality: Modality) -> ndarray:
        """The column of paths of ``modality``; an empty path says that a frame lacks it."""
        return self.image if modality == "image" else self.cloud

    def traversal_names(self) -> list[str]:
        """Names of the traversals, in the order in which they first appear."""
        return list(dict.fromkeys(self.traversal.tolist()))


# --- protocols -----------------------------------------------------------------------------------

ADDED = {"added": True}
"""Metadata of a field that protocols got later: while the field has its default, keys of cached work do not change."""
Axis = Literal["east", "north", "up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A square on the map: all points less than ``half_side_m`` from the centre, in east and also in north."""

    east_m: float
    north_m: float
    half_side_m: float
    frame: Literal["world", "mercator"] = field(default="world", metadata=ADDED)
    """Which map the square is on: ``world`` is that of ``Frames.position_m``, ``mercator`` that of ``mercator_m``."""
    half_north_m: float | None = field(default=None, metadata=ADDED)
    """The limit in north, for a rectangle; without a value it is that in east, ``half_side_m``."""

    @classmethod
    def between(cls, east_m: tuple[float, float], north_m: tuple[float, float]) -> "Region":
        """The rectangle of the world between two easts and two norths, without its edges."""
        (west, east), (south, north) = east_m, north_m
        return cls(
            east_m=(west + east) / 2,
            north_m=(south + north) / 2,
            half_side_m=(east - west) / 2,
            half_north_m=(north - south) / 2,
        )

    def half_sides_m(self) -> tuple[float, float]:
        """The limits in east and in north."""
        return self.half_side_m, self.half_side_m if self.half_north_m is None else self.half_north_m

    def grown(self, by_m: float) -> "Region":
        """The region with each edge this much further out."""
        east, north = self.half_sides_m()
        return replace(self, half_side_m=east + by_m, half_north_m=north + by_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which frames take part."""

    traversals: tuple[str, ...] = ("*",)
    """Shell patterns of the names of traversals; without any pattern no frame takes part.

    A pattern with a leading ``!`` takes its matches away: from those of the other patterns, or from all traversals if
    every pattern begins with ``!``.
    """
    regions: tuple[Region, ...] = ()
    """Keep only frames inside at least one of these squares; without squares, frames anywhere."""
    outside: tuple[Region, ...] = ()
    """Keep only frames that are inside none of these squares."""
    spacing_m: float | None = None
    """Keep a frame once this much path has been driven since the last kept one; without a value, keep all frames."""
    count: int | None = None
    """Keep about this many frames per traversal, evenly by row; without a value, keep all frames."""
    rows: tuple[int, int | None] = field(default=(0, None), metadata=ADDED)
    """Keep the frames of each traversal from the first number up to, but not including, the second, in order of time.

    Without a second number, frames are kept to the end of the traversal.
    """
    middle_share: float = field(default=1.0, metadata=ADDED)
    """Keep this share of the frames of each world: those in a square around its middle, after all other rules."""
    also: tuple["Selection", ...] = field(default=(), metadata=ADDED)
    """Further selections, each with its own rules: a frame takes part if any selection keeps it."""

    def alternatives(self) -> Iterator["Selection"]:
        """The selection itself, then all further ones; each is to be used with its own rules alone."""
        yield self
        for other in self.also:
            yield from other.alternatives()

    def includes(self, traversal: str) -> bool:
        """Whether frames of the traversal called ``traversal`` may take part."""
        return any(part.names(traversal) for part in self.alternatives())

    def names(self, traversal: str) -> bool:
        """Whether the patterns of this selection, without the further ones, take the traversal called ``traversal``."""
        without = [p[1:] for p in self.traversals if p.startswith("!")]
        within = [p for p in self.traversals if not p.startswith("!")] or (["*"] if without else [])
        return any(fnmatchcase(traversal, p) for p in within) and not any(fnmatchcase(traversal, p) for p in without)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Frames for training and model selection, and what counts as the same place while training."""

    train: Selection
    """Frames that networks are trained on."""
    validation: Selection
    """Frames that decide which epoch's weights are kept."""
    positive_m: float = 10.0
    """Two training frames at most this far apart, within the heading limit, show the same place."""
    negative_m: float = 25.0
    """Two training frames further apart than this show different places."""
    heading_limit_rad: float | None = 0.5
    """Two training frames show the same place only if their headings differ by less; without a value, always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePercent:
    """How recall@1% counts: ``max(round(share · N), 1)`` with Python's rounding (half to even)."""

    share: float = 0.01
    cap: int | None = None
    """Largest depth that counts as one percent, where a published evaluator had such a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """Every choice that a recall number depends on, under one name and version."""

    name: str
    version: int
    title: str
    dataset: str
    split: Split
    query: Selection
    database: Selection
    pairs: Literal["across", "within"] | tuple[tuple[str, str], ...]
    """Which traversals are searched by which: the listed (query, database) pairs, or a rule.

    ``across`` stands for all ordered pairs of different traversals, ``within`` for each traversal with itself.
    """
    radius_m: float
    """A database frame within this distance (inclusive, over ``distance_axes``) shows the query's place."""
    heading_limit_rad: float | None = None
    """A database frame shows the query's place only if their headings, wrapped, differ by less than this.

    Without a value, any difference of headings is allowed.
    """
    min_gap_s: float | None = None
    """Only database frames more than this many seconds apart from the query are searched."""
    earlier_only: bool = False
    """Only database frames earlier than the query are searched."""
    own_frame: Literal["keep", "drop"] = "drop"
    """Whether a query may find the very frame it came from."""
    no_positive: Literal["skip", "miss"] = "skip"
    """A query without any positive is left out (and counted), or counts as a failure."""
    one_percent: OnePercent = field(default_factory=OnePercent)
    averaging: Literal["pairs", "queries"] = "pairs"
    """How the headline number is averaged: over traversal pairs without weights, or over all queries pooled."""
    smoke: bool = False
    """Whether the data cannot carry a claim about recall; tables mark the results as a smoke run."""
    distance_axes: tuple[Axis, ...] = field(default=("east", "north"), metadata=ADDED)
    """Components of the position over which ``radius_m`` is measured."""
    search_depth: int | None = field(default=None, metadata=ADDED)
    """Only this many nearest database frames are looked at, *before* those that a query may not find are taken away.

    Published evaluators had this limit. If all positives of a query lie beyond the limit, it counts as a miss.
    """
    is_ranked: bool = field(default=True, metadata=ADDED)
    """Whether methods may be ranked by this protocol; tables say so if its queries are too few."""
    travel: Literal["same", "opposite"] = field(default="same", metadata=ADDED)
    """Whether a place is looked for in its own direction of travel, or on a map that was driven the other way.

    ``opposite`` needs a heading limit. Headings then count as differing from the reversed one. Frames with the heading
    of the query are not searched, because a map that was driven the other way has none.
    """
    absent: tuple[str, ...] = field(default=(), metadata=ADDED)
    """Test traversals that the data lacks; if there are any, tables mark the results as partial."""


# --- datasets ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetCard:
    """What a reader must know before trusting a number on this dataset."""

    name: str
    title: str
    paper: str
    year: int
    licence: str
    modalities: str
    is_real: bool
    """Whether the data was recorded; committed results of recorded data hold aggregates only."""
    source: str
    """Where the raw data comes from and what must be asked for."""
    layout: str
    """The files that are expected below ``--source``; empty for generated data."""
    pose_of: str = "LiDAR"
    """The sensor whose pose is the pose of a frame."""
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of ``crossplace data check``."""

    ok: bool
    what: str


class Dataset:
    """One source of data: how to check a download and how to bring it into the prepared form.

    Subclasses are frozen dataclasses whose fields are the options of ``prepare``.
    """

    card: ClassVar[DatasetCard]
    version: ClassVar[int]
    """A number that is raised whenever the same options and source would give other files."""
    default_protocol: ClassVar[str]
    resumable: ClassVar[bool] = False
    """Whether ``prepare`` goes on from what an interrupted run left in its destination."""

    def options(self) -> dict[str, Any]:
        """The values of the options as plain data, which are a part of the fingerprint."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    def check(self, source: Path | None) -> Sequence[Finding]:
        """Everything that is found or missing at ``source``, at once; ``prepare`` works if every finding is ok."""
        raise NotImplementedError

    def fingerprint(self, source: Path | None) -> str:
        """Hash of version, options and source listing: equal fingerprints mean equal prepared data."""
        raise NotImplementedError

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Write the prepared form into ``destination``; yields (frames done, frames in all).

        The folder exists. It is empty unless the dataset is ``resumable``. ``workers`` is the number of processes, by
        default one per processor and at most 16; it changes no file.
        """
        raise NotImplementedError
