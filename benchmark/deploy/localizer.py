"""Where am I? A map that is built once or while driving, and is asked with one image or one cloud.

docs/robot.md shows it in use. All methods of a :class:`Localizer` may be called by several threads at once.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray

from benchmark.deploy.answers import LoopClosure, Place, Prior, answers, near
from benchmark.deploy.calibration import Calibration, calibrated
from benchmark.deploy.map_files import Calibrations, read_map, write_map
from benchmark.deploy.observation import observation
from benchmark.deploy.places import GrowingPlaces, Places, Snapshot, no_places
from benchmark.descriptors.encoding import encode_batch, encode_frames
from benchmark.evaluation.distances import distances_at
from benchmark.evaluation.nearest import nearest
from benchmark.evaluation.ranks import reranked
from benchmark.frames.preparing import find_protocol
from benchmark.protocol.ground_truth import relate, row_blocks
from datasets.base import Modality, Traversal
from datasets.errors import CrossplaceError, unknown
from datasets.prepared import PreparedDataset, frames_at
from datasets.transforms import is_rigid
from methods.base import Method
from methods.batch import collate
from methods.layers.inference import Precision, for_inference

SURE = 0.9
"""Probability from which a loop closure is reported."""
GAP_S = 30.0
"""Places at most this far apart in time are no loop closure: they follow each other."""


class Localizer:
    """A method, a map made with it, and what its distances mean."""

    def __init__(
        self,
        method: Method,
        drive: Traversal,
        modality: Modality = "cloud",
        *,
        places: Places | None = None,
        calibrations: Calibrations | None = None,
        precision: Precision = "float32",
    ) -> None:
        """An empty map, or one of ``places``.

        ``drive`` says which sensors the robot has and names the drive on which places are added. ``modality`` says what
        places are described by. ``calibrations`` may come from another map of such places. Observations are described
        by a faster copy of ``method`` as it is now, in this ``precision`` (:func:`for_inference`).
        """
        self.method, self.drive, self.modality = method.eval(), drive, modality
        self._describer = for_inference(method, precision)
        self.calibrations: dict[Modality, Calibration] = dict(calibrations or {})
        self._device = next((p.device for p in method.parameters()), torch.device("cpu"))
        self._encoding = threading.Lock()
        sizes = {spec.name: (spec.views(modality), spec.size) for spec in method.descriptors}
        main = self.method.descriptors[0]
        self._growing = GrowingPlaces(places or no_places(sizes), main.name, main.distance)

    @classmethod
    def build(
        cls,
        method: Method,
        dataset: PreparedDataset,
        traversals: Sequence[str],
        modality: Modality = "cloud",
        *,
        drive: Traversal | None = None,
        precision: Precision = "float32",
    ) -> "Localizer":
        """A map of all frames of some traversals; ``drive`` is by default the first of them."""
        rows = _rows_of(dataset, traversals, modality)
        if not len(rows):
            raise _nothing(dataset, traversals, f"its {modality}")
        places = _encoded(for_inference(method, precision), dataset, rows, modality)
        drive = drive or dataset.traversals[traversals[0]]
        return cls(method, drive, modality, places=places, precision=precision)

    @classmethod
    def load(cls, folder: Path, method: Method, *, precision: Precision = "float32") -> "Localizer":
        """The map that :meth:`save` wrote, for the method that made it.

        Raises:
            CrossplaceError: no map, a damaged one, or one that other weights or another method made.
        """
        record, places = read_map(folder, method)
        drive, modality, calibrations = record.drive, record.modality, record.calibrations
        return cls(method, drive, modality, places=places, calibrations=calibrations, precision=precision)

    def save(self, folder: Path) -> None:
        """Write the map as it is now: descriptors, poses, calibrations, and hashes of configuration and weights."""
        write_map(folder, self.method, self.places, self.modality, self.drive, self.calibrations)

    @property
    def places(self) -> Places:
        """The places of this moment, which do not change when further places are added."""
        return self._growing.now.places

    def __len__(self) -> int:
        return len(self.places)

    # --- asking ----------------------------------------------------------------------------------

    def query(
        self,
        *,
        image: UInt8[ndarray, "h w 3"] | None = None,
        cloud: Float[ndarray, "n c"] | None = None,
        top: int = 5,
        prior: Prior | None = None,
    ) -> list[Place]:
        """The ``top`` most alike places, best first, for one image (RGB) or for one cloud (metres, LiDAR axes).

        An empty map has no answers, and so has a prior that no place is near. A probability counts for the best place
        of a search without a prior: a prior makes right answers more probable than it says.

        Raises:
            CrossplaceError: no image and no cloud, or both; data that does not fit the drive's calibration.
        """
        if (image is None) == (cloud is None):
            raise CrossplaceError("a query is one image or one cloud; give exactly one of them")
        asks: Modality = "cloud" if image is None else "image"
        described, now = self._described(asks, image, cloud), self._growing.now
        allowed = None if prior is None else near(now.places, prior)[None]
        if not len(now.places) or top < 1:
            return []
        rows, distance = self._nearest(described, now, top, allowed)
        return answers(now.places, rows[0], distance[0], self.calibrations.get(asks))

    def loop_closures(
        self, *, of: Iterable[str] | None = None, min_gap_s: float = GAP_S, min_probability: float = SURE
    ) -> list[LoopClosure]:
        """Places that were seen more than ``min_gap_s`` seconds before, each with its best earlier place.

        ``of`` names the places that are asked for, such as the newest alone; by default all are.

        Raises:
            CrossplaceError: the localizer is not calibrated for its own modality, or a name is not in the map.
        """
        calibration, now = self._calibration(self.modality), self._growing.now
        places = now.places
        time_ns, rows = places.frames.timestamp_ns, _rows_called(places, of)
        found = []
        for block in row_blocks(len(rows), len(places)):
            asking = {name: array[rows[block]] for name, array in places.descriptors.items()}
            is_earlier = time_ns[rows[block]][:, None] - time_ns[None] > round(min_gap_s * 1e9)
            earlier, distance = self._nearest(asking, now, 1, is_earlier)
            for row, column, far in zip(rows[block].tolist(), earlier, distance, strict=True):
                found += [
                    LoopClosure(name=places.frames.frame_id[row], earlier=place, covariance=calibration.covariance)
                    for place in answers(places, column, far, calibration)
                    if place.probability is not None and place.probability >= min_probability
                ]
        return found

    # --- growing and calibrating -----------------------------------------------------------------

    def add(
        self,
        world_from_lidar: Float[ndarray, "4 4"],
        timestamp_ns: int,
        *,
        image: UInt8[ndarray, "h w 3"] | None = None,
        cloud: Float[ndarray, "n c"] | None = None,
        name: str = "",
        world: str = "map",
    ) -> str:
        """Add the place of one image or cloud, of the map's modality, and return its name.

        Without a ``name`` it is that of the drive with the time.

        Raises:
            CrossplaceError: a pose that is no rigid transform, data that does not fit, or a name that is taken.
        """
        if not is_rigid(np.asarray(world_from_lidar)):
            raise CrossplaceError(
                "the pose of a new place is no rigid 4×4 transform; give world_from_lidar, a "
                "rotation and a shift in metres"
            )
        if (image if self.modality == "image" else cloud) is None or (image is not None and cloud is not None):
            raise CrossplaceError(
                f"places of this map are described by one {self.modality}; give that and nothing else"
            )
        described = self._described(self.modality, image, cloud)
        name = name or f"{self.drive.name}-{timestamp_ns}"
        frames = frames_at(
            np.asarray(world_from_lidar, dtype=np.float64)[None],
            np.array([timestamp_ns], dtype=np.int64),
            traversal=self.drive.name,
            world=world,
            frame_id=[name],
            image=[""],
            cloud=[""],
        )
        self._growing.append(Places(frames=frames, descriptors=described))
        return name

    def calibrate(self, dataset: PreparedDataset, traversals: Sequence[str], protocol: str | None = None) -> None:
        """Measure what distances mean with the frames of other drives through the places of this map.

        Each modality of these frames is calibrated. ``protocol`` says which answers are right; it is by default that of
        the dataset.

        Raises:
            CrossplaceError: traversals that the map was made of, or none of whose frames find their place.
        """
        now = self._growing.now
        places = now.places
        own = sorted({*traversals} & {*places.frames.traversal_names()})
        if own:
            raise CrossplaceError(
                f"the map holds drive {own[0]!r} itself, which finds itself too easily; name another drive"
            )
        rule, _ = find_protocol(protocol, dataset)
        modalities: tuple[Modality, ...] = ("image", "cloud")
        rows = {asks: found for asks in modalities if len(found := _rows_of(dataset, traversals, asks))}
        if not rows:
            raise _nothing(dataset, traversals, "an image or a cloud")
        for asks, theirs in rows.items():
            asking = _encoded(self._describer, dataset, theirs, asks)
            relation = relate(asking.frames, places.frames, rule)
            found, distance = (each[:, 0] for each in self._nearest(asking.descriptors, now, 1, relation.is_candidate))
            is_right = (found >= 0) & relation.is_positive[np.arange(len(found)), found]
            self.calibrations[asks] = calibrated(
                found, distance, is_right, asking.frames, places.frames, protocol=rule.name
            )

    # --- within ----------------------------------------------------------------------------------

    def _described(
        self, asks: Modality, image: ndarray | None, cloud: ndarray | None
    ) -> dict[str, Float[ndarray, "1 views size"]]:
        """Descriptors of one observation by name. One thread at a time uses the network."""
        batch = collate([observation(self.drive, image, cloud)])
        with self._encoding, torch.inference_mode():
            found = encode_batch(self._describer, batch.to(self._device))[asks]
            return {name: tensor.cpu().numpy().astype(np.float64) for name, tensor in found.items()}

    def _nearest(
        self, asking: Mapping[str, ndarray], now: Snapshot, k: int, allowed: Bool[ndarray, "nq nd"] | None
    ) -> tuple[Int[ndarray, "nq k"], Float[ndarray, "nq k"]]:
        """Rows and main distances of the best ``k`` allowed places of each query; -1 and nan where there are fewer.

        Where the method has a second descriptor, it re-ranks the nearest places.
        """
        main, fusion = self.method.descriptors[0], self.method.fusion
        query = self._growing.space.side(asking[main.name])
        n = k if fusion is None else max(k, fusion.top)
        rows, distance = nearest(query, now.main, main.distance, n, allowed)
        if fusion is not None:
            head, second = rows[:, : fusion.top], np.full((len(rows), fusion.top), np.inf)
            number, place = np.nonzero(head >= 0)
            kind = next(spec.distance for spec in self.method.descriptors if spec.name == fusion.descriptor)
            theirs, ours = asking[fusion.descriptor], now.places.descriptors[fusion.descriptor]
            second[number, place] = distances_at(theirs, ours, kind, number, head[number, place])
            order = reranked(second)
            for each in (rows, distance):
                each[:, : fusion.top] = np.take_along_axis(each[:, : fusion.top], order, axis=1)
        return rows[:, :k], distance[:, :k]

    def _calibration(self, asks: Modality) -> Calibration:
        if asks not in self.calibrations:
            raise CrossplaceError(
                f"this localizer is not calibrated for queries by {asks}, so that no probability is known; call "
                "calibrate with another drive through the map, or give the calibrations of another map"
            )
        return self.calibrations[asks]


def _rows_of(dataset: PreparedDataset, traversals: Sequence[str], modality: Modality) -> Int[ndarray, " n"]:
    """Rows of the frames of some traversals that have this modality."""
    known = dataset.frames.traversal_names()
    for name in traversals:
        if name not in known:
            raise CrossplaceError(unknown("traversal", name, known))
    is_theirs = np.isin(dataset.frames.traversal, traversals)
    return np.flatnonzero(is_theirs & (dataset.frames.paths(modality) != ""))


def _nothing(dataset: PreparedDataset, traversals: Sequence[str], what: str) -> CrossplaceError:
    return CrossplaceError(
        f"{dataset.folder}: no frame of {', '.join(traversals) or 'no traversal'} has {what}; name one with such frames"
    )


def _encoded(method: Method, dataset: PreparedDataset, rows: Int[ndarray, " n"], modality: Modality) -> Places:
    """Frames of a dataset as places."""
    found = encode_frames(method, dataset, rows, (modality,), f"encode {modality}s")
    frames = dataset.frames.take(rows)
    return Places(frames=frames, descriptors={name: array.astype(np.float64) for (_, name), array in found.items()})


def _rows_called(places: Places, names: Iterable[str] | None) -> Int[ndarray, " n"]:
    if names is None:
        return np.arange(len(places))
    wanted = list(names)
    rows = [np.flatnonzero(places.frames.frame_id == name) for name in wanted]
    missing = next((name for name, found in zip(wanted, rows, strict=True) if not len(found)), None)
    if missing is not None:
        raise CrossplaceError(f"place {missing!r} is not in this map; ask for a name that add has returned")
    return np.concatenate([np.empty(0, dtype=np.int64), *rows])
