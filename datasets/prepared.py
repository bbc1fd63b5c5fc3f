"""The prepared form: the one shape in which the harness sees any dataset.

It is a folder with two tables. ``dataset.json`` says what the data is, with calibration per traversal, counts and the
fingerprint; ``frames.csv`` has one line a frame. Images are undistorted PNG or JPEG files. Clouds are float32 ``.npy``
arrays of shape (n, ≥3), or files of the other formats of ``datasets.readers``. Paths are relative to ``root``.
docs/prepared-form.md describes every column and key for people who bring their own data.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from pydantic import BaseModel, BeforeValidator

from datasets.base import Frame, Frames, Traversal
from datasets.errors import CrossplaceError, made_anew
from datasets.files import STRICT, FolderName, check_name, name_fault, read_as, sha256_of, write_atomically
from datasets.origin import Origin, listing_of, origin_of
from datasets.readers import is_return, read_image, read_points
from datasets.table import COLUMNS, MERCATOR_COLUMNS, POSITION, ROTATION, read_frames
from datasets.transforms import angle_rad

SCHEMA = 1
DRIVES = "traversals"
"""The option in which a folder that was made of a person's drives records how each was made."""
INTERRUPTED = "if a command from-trajectory was interrupted, give it again"


def _named(traversals: Any) -> Any:
    """The described traversals, with their keys as their names."""
    if not isinstance(traversals, dict):
        return traversals
    for key, described in traversals.items():
        if fault := name_fault(key):
            raise ValueError(f"{fault}; rename the traversal here and in frames.csv")
        if isinstance(described, dict) and "name" in described:
            raise ValueError(f"{key}.name: not permitted, the key is the name")
    return {k: {**v, "name": k} if isinstance(v, dict) else v for k, v in traversals.items()}


class _DatasetFile(BaseModel):
    model_config = STRICT

    schema_version: int
    name: FolderName
    version: int
    options: dict[str, Any]
    root: str
    fingerprint: str
    traversals: Annotated[dict[str, Traversal], BeforeValidator(_named)]
    counts: dict[str, int]
    frames_sha256: str | None = None
    """The SHA-256 of ``frames.csv``; missing in a folder that a person wrote."""
    origin: Origin | None = None
    """Where the raw data comes from, if its folder states that."""


@dataclass(frozen=True, kw_only=True)
class PreparedDataset:
    """A dataset in the prepared form, opened for reading."""

    name: str
    version: int
    options: dict[str, Any]
    folder: Path
    root: Path
    """The folder that image and cloud paths are relative to."""
    fingerprint: str
    traversals: dict[str, Traversal]
    counts: dict[str, int]
    """How many frames were kept, and how many were dropped for each reason."""
    frames: Frames
    origin: Origin | None = None
    """Where the raw data comes from, if that is stated: generated, or fetched in part."""

    @classmethod
    def read(cls, folder: Path) -> "PreparedDataset":
        """Open ``folder``; raises :class:`CrossplaceError` naming the file and the fault."""
        described = _read_description(folder / "dataset.json")
        root = folder / described.root
        if not root.is_dir():
            raise CrossplaceError(
                f"{folder / 'dataset.json'}: root: {root}: no such folder; state where images and clouds are, relative "
                "to this file or absolute"
            )
        frames, lines = read_frames(folder / "frames.csv")
        dataset = cls(
            name=described.name,
            version=described.version,
            options=described.options,
            folder=folder,
            root=root,
            fingerprint=described.fingerprint,
            traversals=described.traversals,
            counts=described.counts,
            frames=frames,
            origin=described.origin,
        )
        _check_frames(frames, lines, list(dataset.traversals), folder / "frames.csv")
        if described.frames_sha256 not in (None, sha256_of(folder / "frames.csv")):
            raise CrossplaceError(
                f"{folder / 'frames.csv'}: not the file that dataset.json was written with (frames_sha256); take "
                f"frames_sha256 out of dataset.json if you changed the table on purpose; if not: {dataset.made_anew()}"
            )
        return dataset

    def frame(self, row: int) -> Frame:
        """The frame at ``row`` with the calibration of its traversal."""
        columns, traversal = self.frames, self.traversals[self.frames.traversal[row]]
        east, north, up = columns.position_m[row].tolist()
        return Frame(
            frame_id=columns.frame_id[row],
            traversal=traversal.name,
            world=columns.world[row],
            timestamp_ns=int(columns.timestamp_ns[row]),
            position_m=(east, north, up),
            yaw_rad=float(columns.yaw_rad[row]),
            image=columns.image[row],
            cloud=columns.cloud[row],
            intrinsics=traversal.intrinsics,
            camera_from_lidar=traversal.camera_from_lidar,
            lidar=traversal.lidar,
        )

    def made_anew(self) -> str:
        """The cure for a wrong table. A folder of drives may hold a person's own images, so it must stay."""
        if DRIVES not in self.options:
            return made_anew(self.folder)
        return (
            f"{INTERRUPTED}; else delete dataset.json and frames.csv in {self.folder}, nothing else, and give the "
            "command of each drive again"
        )

    def _corrected(self) -> str:
        """The cure for a wrong image or cloud; those of a person's drives are never written by the suite."""
        return "correct that file" if DRIVES in self.options else made_anew(self.folder)

    def has_file(self, path: str) -> bool:
        """Whether the image or cloud at ``path``, as the table names it, is there and not empty."""
        found = self.root / path
        return found.is_file() and found.stat().st_size > 0

    def load_image(self, frame: Frame) -> UInt8[ndarray, "h w 3"]:
        """The image of ``frame`` as RGB; its size must be that of the frame's intrinsics."""
        path = self.root / frame.image
        pixels, k = read_image(path), frame.intrinsics
        if k is not None and pixels.shape[:2] != (k.height, k.width):
            raise CrossplaceError(
                f"{path}: expected {k.width}×{k.height} pixels as in dataset.json for traversal "
                f"{frame.traversal!r}, found {pixels.shape[1]}×{pixels.shape[0]}; state there the size of the stored "
                f"images, with fx, fy, cx, cy for it; if the file is wrong, {self._corrected()}"
            )
        return pixels

    def load_cloud(self, frame: Frame) -> Float[ndarray, "n 3"]:
        """The returns of ``frame`` in metres, in the axes of its LiDAR; points that are not finite are an error.

        Points at the origin are left out: they are no returns (:func:`datasets.readers.is_return`).
        """
        points = self.stored_cloud(frame)
        return np.ascontiguousarray(points[is_return(points)], dtype=np.float32)

    def stored_cloud(self, frame: Frame) -> Float[ndarray, "m 3"]:
        """All points of the file, those at the origin too, as numbers of the file's type."""
        path = self.root / frame.cloud
        points = read_points(path, self.traversals[frame.traversal].bin_layout)[:, :3]
        if not np.isfinite(points).all():
            layout = "state bin_layout in dataset.json if they are stored otherwise; " if path.suffix == ".bin" else ""
            raise CrossplaceError(
                f"{path}: {int((~np.isfinite(points)).any(1).sum())} of {len(points)} points are not finite; {layout}"
                f"if they are no returns, leave them out: {self._corrected()}"
            )
        return points


def write_prepared(
    folder: Path,
    *,
    name: str,
    version: int,
    options: dict[str, Any],
    fingerprint: str,
    traversals: list[Traversal],
    frames: Frames,
    counts: dict[str, int],
    root: Path = Path(),
    source: Path | None = None,
) -> None:
    """Write ``frames.csv`` and, last, ``dataset.json``: a folder that has ``dataset.json`` is complete.

    ``source`` is the raw folder, whose origin is handed on.

    Raises:
        CrossplaceError: the name of the dataset or of a traversal cannot be the name of a folder.
    """
    for called in (name, *(t.name for t in traversals)):
        check_name(called, f"{folder}", "give it another name")
    write_atomically(folder / "frames.csv", table_of(frames).encode())
    described = _DatasetFile(
        schema_version=SCHEMA,
        name=name,
        version=version,
        options=json.loads(json.dumps(options)),
        root=str(root),
        fingerprint=fingerprint,
        traversals={t.name: t for t in traversals},
        counts=counts,
        frames_sha256=sha256_of(folder / "frames.csv"),
        origin=origin_of(source),
    )
    unstated = {t.name: {"name"} | ({"bin_layout"} if t.bin_layout is None else set()) for t in traversals}
    without: dict[str, Any] = {"traversals": unstated} | ({"origin": True} if described.origin is None else {})
    content = described.model_dump_json(indent=1, exclude=without)
    write_atomically(folder / "dataset.json", content.encode())


def table_of(frames: Frames) -> str:
    """The text of ``frames.csv``."""
    import pandas as pd  # here: it takes long to import, and only preparing needs it

    table = pd.DataFrame(
        {
            "frame_id": frames.frame_id,
            "traversal": frames.traversal,
            "world": frames.world,
            "timestamp_ns": frames.timestamp_ns,
            **dict(zip(POSITION, frames.position_m.T, strict=True)),
            **dict(zip(ROTATION, frames.quaternion_wxyz.T, strict=True)),
            "yaw_rad": frames.yaw_rad,
            "image": frames.image,
            "cloud": frames.cloud,
        }
    )
    columns = COLUMNS
    if frames.mercator_m is not None:
        table[MERCATOR_COLUMNS] = frames.mercator_m
        columns = COLUMNS + MERCATOR_COLUMNS
    text: str = table[columns].to_csv(index=False)
    return text


def make_fingerprint(
    name: str, version: int, options: dict[str, Any], listing: list[str], source: Path | None = None
) -> str:
    """Hash of the preparer, its options, the listing of its source (one string a file), and the origin stated there."""
    text = json.dumps([name, version, options, [*listing, *listing_of(source)]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def quaternion_wxyz(world_from_lidar: Float[ndarray, "n 3 3"]) -> Float[ndarray, "n 4"]:
    """Rotation matrices as scalar-first quaternions with a non-negative scalar part."""
    from scipy.spatial.transform import Rotation  # here: a plan needs none of it

    return Rotation.from_matrix(world_from_lidar).as_quat(canonical=True)[:, [3, 0, 1, 2]]


def world_from_lidar(frames: Frames) -> Float[ndarray, "n 4 4"]:
    """The poses of all frames as matrices."""
    from scipy.spatial.transform import Rotation  # here: a plan needs none of it

    poses = np.tile(np.eye(4), (len(frames), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(frames.quaternion_wxyz[:, [1, 2, 3, 0]]).as_matrix()
    poses[:, :3, 3] = frames.position_m
    return poses


def frames_at(
    world_from_lidar: Float[ndarray, "n 4 4"],
    timestamp_ns: Int[ndarray, " n"],
    *,
    traversal: str,
    world: str,
    frame_id: list[str],
    image: list[str],
    cloud: list[str],
    mercator_m: Float[ndarray, "n 2"] | None = None,
) -> Frames:
    """The frames of one traversal as columns; poses, times, names and paths are given in the same order."""

    def column(values: list[str]) -> ndarray:
        return np.array(values, dtype=object)

    return Frames(
        frame_id=column(frame_id),
        traversal=column([traversal] * len(frame_id)),
        world=column([world] * len(frame_id)),
        timestamp_ns=timestamp_ns,
        position_m=world_from_lidar[:, :3, 3],
        quaternion_wxyz=quaternion_wxyz(world_from_lidar[:, :3, :3]),
        yaw_rad=angle_rad(world_from_lidar[:, 1, 0], world_from_lidar[:, 0, 0]),
        image=column(image),
        cloud=column(cloud),
        mercator_m=mercator_m,
    )


def _read_description(path: Path) -> _DatasetFile:
    if not path.is_file():
        raise CrossplaceError(f"{path.parent}: no dataset.json here, so this is no (completely) prepared dataset")

    def other_schema(content: Any) -> str:
        found = content.get("schema_version") if isinstance(content, dict) else None
        return "" if found == SCHEMA else f"expected schema_version {SCHEMA}, found {found!r}"

    return read_as(path, _DatasetFile, f"see docs/prepared-form.md: {made_anew(path)}", other_schema)


def _check_frames(frames: Frames, lines: Int[ndarray, " n"], described: list[str], path: Path) -> None:
    """Check that traversals are those described, rotations are unit quaternions, and time runs forward in a traversal.

    Thinning along the path relies on the order in time.
    """
    present = frames.traversal_names()
    for name in sorted({*present, *described}):
        if name not in described:
            raise CrossplaceError(
                f"{path}: traversal {name!r} is not described in dataset.json; describe it there or take its frames "
                f"out; {INTERRUPTED}"
            )
        if name not in present:
            raise CrossplaceError(
                f"{path}: no frame of traversal {name!r}, which dataset.json describes; add its frames or take it out"
            )
    crooked = np.flatnonzero(np.abs(np.linalg.norm(frames.quaternion_wxyz, axis=1) - 1) > 1e-3)
    if len(crooked):
        raise CrossplaceError(f"{path}: line {lines[crooked[0]]}: qw, qx, qy, qz is no unit quaternion")
    for name in present:
        rows = np.flatnonzero(frames.traversal == name)
        steps = np.diff(frames.timestamp_ns[rows])
        wrong = np.flatnonzero(steps <= 0)
        if len(wrong):
            line, same = lines[rows[wrong[0] + 1]], steps[wrong[0]] == 0
            fault = "the same time as" if same else "earlier than"
            raise CrossplaceError(
                f"{path}: line {line}: {fault} the frame before in traversal {name!r}; expected each traversal in the "
                "order of its timestamps, each of them once: sort the lines, remove repeated ones"
            )
