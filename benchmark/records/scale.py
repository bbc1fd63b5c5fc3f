"""Recall and latency against the places of a map, as they are stored and published. Needs no torch."""

from benchmark.records.sensitivity import CurveRecord, ForeignRecord, LeftOutRecord, RecallRecord
from benchmark.records.stored import Model
from datasets.base import Modality

SCALE = "scale.json"


class ScalePoint(Model):
    """Recall and time in a map of one size."""

    places: int
    """Places of the map: real, foreign and synthetic ones."""
    n_foreign: int
    """Foreign frames that were encoded, of other districts and datasets."""
    n_synthetic: int
    """Descriptors that were drawn: no place shows them."""
    directions: dict[str, RecallRecord]
    latency_ms: float
    """Median time of one query that searches the whole map, exactly."""
    n_timed: int
    count_s: float
    """Time of the count for all queries together."""
    n_bytes: int
    """Bytes of the map on disk."""


class LikenessRecord(Model):
    """How like the synthetic descriptors are to real ones."""

    n_fitted: int
    """Real descriptors that gave mean and covariance."""
    length: float | None
    """Length of every descriptor, if they have one."""
    n_compared: int
    """Foreign frames, and as many synthetic descriptors, that were compared; 0 where there is no foreign frame."""
    quantiles: list[float]
    """Shares of queries, at which distances to the nearest are given."""
    nearest_foreign: list[float]
    nearest_synthetic: list[float]
    recall_foreign: dict[str, float | None]
    """Recall@1 with the foreign frames alone as distractors, by direction."""
    recall_synthetic: dict[str, float | None]
    """Recall@1 with as many synthetic descriptors."""


class IndexPoint(Model):
    """An approximate index beside exact search of the same map."""

    index: str
    settings: str
    places: int
    n_queries: int
    agreement: dict[str, float]
    """Share of queries whose nearest place by the index is the nearest, by direction."""
    recall: dict[str, float]
    """Recall@1 of places by the index, over queries with a right answer."""
    recall_exact: dict[str, float]
    """Recall@1 of places by exact search of the same map and queries."""
    latency_ms: float
    build_s: float
    bytes_per_place: float


class PriorPoint(Model):
    """Exact search of those places alone that are near a position that is roughly known."""

    radius_m: float
    deviation_m: float
    """Standard deviation of the known position on each axis."""
    candidates: float
    """Frames that are searched, as a mean over queries."""
    directions: dict[str, RecallRecord]


class ScaleRecord(CurveRecord):
    """Recall of one method in maps of growing size: aggregates only."""

    file_name = SCALE
    command = "crossplace scale"
    modality: Modality
    """What the map is made of."""
    size: int
    """Values of a descriptor, in half precision."""
    n_queries: int
    """Different queries that were counted together."""
    foreign: list[ForeignRecord]
    synthetic: LikenessRecord
    points: list[ScalePoint]
    """Points by ascending size."""
    left_out: list[LeftOutRecord]
    """Sizes that have no point."""
    indexes: list[IndexPoint] = []
    indexes_left_out: list[str] = []
    """Sentences that say which index was not built, and why."""
    priors: list[PriorPoint] = []
    load: float | None = None
    """Processes that wanted a core while times were taken, for each core of the machine; none if it is not known."""
