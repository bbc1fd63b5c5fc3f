"""What each deviation of the published evaluators can be worth, on data made to show it."""

from dataclasses import replace

import numpy as np
import pytest
from rankings import ranking_of

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.evaluate import evaluate, from_descriptors
from benchmark.evaluation.metrics import Recall, summarise
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import relations
from benchmark.protocol.selection import select
from datasets.base import Frames, Protocol, Selection
from datasets.protocols import PROTOCOLS


def frames_of(position_m: np.ndarray, time_s: np.ndarray, traversal: str = "00") -> Frames:
    n = len(position_m)

    def column(value: str) -> np.ndarray:
        return np.full(n, value, dtype=object)

    return Frames(
        frame_id=np.array([f"{traversal}/{i}" for i in range(n)], dtype=object),
        traversal=column(traversal),
        world=column("w"),
        timestamp_ns=np.round(np.asarray(time_s) * 1e9).astype(np.int64),
        position_m=np.asarray(position_m, dtype=float),
        quaternion_wxyz=np.tile([1.0, 0, 0, 0], (n, 1)),
        yaw_rad=np.zeros(n),
        image=column("image"),
        cloud=column("cloud"),
    )


def recall(frames: Frames, protocol: Protocol, value: np.ndarray) -> Recall:
    """Cloud against cloud, with one number as descriptor."""
    rows = {frame_id: i for i, frame_id in enumerate(frames.frame_id)}
    arrays = {"cloud": np.asarray(value, dtype=float).reshape(-1, 1, 1)}
    descriptors = Descriptors(method="one number", rows={"cloud": rows}, arrays=arrays, distance="l2")  # type: ignore[arg-type]
    scorer = from_descriptors(descriptors, frames, directions=[Direction.CLOUD_TO_CLOUD])
    (found,) = evaluate(frames, protocol, {"one number": scorer})["one number"]
    return found.recall


def everywhere(name: str) -> Protocol:
    """The protocol without its map and its thinning."""
    return replace(PROTOCOLS[name], query=Selection(), database=Selection())


@pytest.mark.parametrize(("n_waiting", "published"), [(45, 1.0), (50, 1.0), (51, 0.0), (90, 0.0)])
def test_filtering_after_a_search_of_51_can_lose_every_revisit(n_waiting: int, published: float) -> None:
    """A car comes back to where it started and waits at the lights: its own last seconds fill the 51 neighbours."""
    time_s = np.concatenate([[0.0], 100 + np.arange(n_waiting) / 10])
    frames = frames_of(np.zeros((n_waiting + 1, 3)), time_s)
    looks = np.concatenate([[1.0], np.arange(n_waiting) / 1000])  # frames of one stop look more alike
    right = recall(frames, everywhere("kitti-vxp"), looks)
    as_published = recall(frames, everywhere("kitti-vxp-as-published"), looks)
    assert (right.n_counted, as_published.n_counted) == (n_waiting, n_waiting)
    assert (right.recall_at[0], as_published.recall_at[0]) == (1.0, published)
    assert as_published.recall_at_one_percent == published, "a miss counts at every depth"


@pytest.mark.parametrize("name", ["oxford-vxp", "kitti-vxp", "vivid-vxp"])
def test_a_cap_of_25_lowers_recall_at_one_percent_of_a_large_database(name: str) -> None:
    ranks = np.array([1, 25, 26, 30, 41])
    right = summarise(ranking_of(ranks), 4000, PROTOCOLS[name])
    published = summarise(ranking_of(ranks), 4000, PROTOCOLS[f"{name}-as-published"])
    assert (right.recall_at_one_percent, right.one_percent_depth) == (0.8, 40)
    assert (published.recall_at_one_percent, published.one_percent_depth) == (0.4, 25)
    small = [
        summarise(ranking_of(ranks), 2500, PROTOCOLS[n]).recall_at_one_percent for n in (name, f"{name}-as-published")
    ]
    assert small == [0.4, 0.4], "up to 2,500 places there is no difference"


def test_leaving_out_the_lateral_component_makes_streets_beside_each_other_one_place() -> None:
    """Two streets 100 m apart: as published, the wrong one is right."""
    position_m = np.array([[0.0, 0, 0], [0, 100, 0], [60, 0, 0], [60, 0, 30]])
    frames = frames_of(position_m, np.arange(4.0), "08")

    def right(name: str) -> list[list[int]]:
        protocol = PROTOCOLS[name]
        query, database = select(frames, protocol.query), select(frames, protocol.database)
        (asked,) = relations(frames, protocol, query, database)
        return asked.relation.is_positive.astype(int).tolist()

    assert right("liploc") == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert right("liploc-as-published") == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    looks = np.array([0.0, 0.1, 5.0, 5.1])
    no_own = {"own_frame": "drop", "no_positive": "miss"}
    recalls = [
        recall(frames, replace(PROTOCOLS[n], **no_own), looks).recall_at[0]  # type: ignore[arg-type]
        for n in ("liploc", "liploc-as-published")
    ]
    assert recalls == [0.5, 0.5], "here both find half, but not the same half"


def test_keeping_the_own_frame_answers_every_query_with_itself() -> None:
    """Places 50 m apart that never come back: with the own frame all are found, without it none can be."""
    frames = frames_of(np.column_stack([np.arange(5) * 50.0, np.zeros((5, 2))]), np.arange(5.0), "08")
    kept = PROTOCOLS["liploc"]
    dropped = replace(kept, own_frame="drop", no_positive="miss")
    assert recall(frames, kept, np.arange(5)).recall_at[0] == 1.0
    query, database = select(frames, dropped.query), select(frames, dropped.database)
    (asked,) = relations(frames, dropped, query, database)
    assert not asked.relation.is_positive.any()
