"""PointNetVLAD's evaluation of given descriptors on its 23 real runs: the suite and a plain loop agree."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from real_poses import of_every_place, pointnetvlad_places
from scipy.spatial import cKDTree

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.evaluate import PairEvaluation, evaluate, from_descriptors
from benchmark.evaluation.metrics import mean_over_pairs
from benchmark.protocol.directions import Direction
from datasets.base import Frames
from datasets.protocols import PROTOCOLS

pytestmark = pytest.mark.data
SIZE = 8
"""Numbers of a descriptor."""


def descriptors_of(frames: Frames, seed: int) -> np.ndarray:
    """Smooth functions of the position, with noise that run and place add: near places look alike, by and large."""
    random = np.random.default_rng(seed)
    waves = random.normal(scale=1 / 60, size=(2, SIZE))  # they change over some 60 m
    position_m = frames.position_m[:, :2] - frames.position_m[:, :2].mean(axis=0)
    looks = np.cos(position_m @ waves + random.uniform(0, 2 * np.pi, SIZE))
    of_run = {name: random.normal(scale=0.3, size=SIZE) for name in frames.traversal_names()}
    noise = random.normal(scale=0.4, size=looks.shape)
    return looks + noise + np.array([of_run[name] for name in frames.traversal])


# --- a plain loop, from PointNetVLAD's rules alone -------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One run: where its places are, which ask, and how they look."""

    position_m: np.ndarray
    is_query: np.ndarray
    looks: np.ndarray


def plain_loop(runs: list[Run]) -> tuple[np.ndarray, float, int]:
    """Mean recall@1 to @25 and recall@1% over ordered pairs of runs, in percent, and how many queries counted."""
    curves, at_one_percent, n_counted = [], [], 0
    for searched in runs:
        places, looks = cKDTree(searched.position_m), cKDTree(searched.looks)
        n_places = len(searched.position_m)
        one_percent = max(round(n_places / 100), 1)
        for asking in runs:
            if asking is searched:
                continue
            found = np.zeros(25)
            n_answered = n_in_one_percent = 0
            for position_m, look in zip(asking.position_m[asking.is_query], asking.looks[asking.is_query], strict=True):
                right = set(places.query_ball_point(position_m, 25.0))
                if not right:
                    continue
                n_answered += 1
                nearest = looks.query(look, k=25)[1].tolist()
                first = next((rank for rank, place in enumerate(nearest) if place in right), None)
                if first is not None:
                    found[first:] += 1
                n_in_one_percent += bool(right & set(nearest[:one_percent]))
            if n_answered:
                curves.append(100 * found / n_answered)
                at_one_percent.append(100 * n_in_one_percent / n_answered)
                n_counted += n_answered
    return np.mean(curves, axis=0), float(np.mean(at_one_percent)), n_counted


# --- the comparison --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def places(real_data: Callable[[str], Path]) -> tuple[Frames, np.ndarray]:
    return pointnetvlad_places(real_data("oxford-pointnetvlad-eval"))


def evaluated(frames: Frames, looks: np.ndarray, protocol: str) -> list[PairEvaluation]:
    """Cloud against cloud, as PointNetVLAD searches."""
    rows = {frame_id: row for row, frame_id in enumerate(frames.frame_id.tolist())}
    given = Descriptors(rows={"cloud": rows}, arrays={"cloud": looks[:, None]}, distance="l2", method="given")
    scorer = from_descriptors(given, frames, directions=[Direction.CLOUD_TO_CLOUD])
    return evaluate(frames, of_every_place(PROTOCOLS[protocol]), {"given": scorer})["given"]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "protocol"), [(0, "oxford-pointnetvlad"), (1, "oxford-pointnetvlad-as-published")])
def test_recall_is_that_of_a_plain_loop(places: tuple[Frames, np.ndarray], seed: int, protocol: str) -> None:
    frames, is_query = places
    looks = descriptors_of(frames, seed)
    runs = [
        Run(frames.position_m[rows, :2], is_query[rows], looks[rows])
        for rows in (frames.traversal == name for name in frames.traversal_names())
    ]
    curve, one_percent, n_counted = plain_loop(runs)
    evaluations = evaluated(frames, looks, protocol)
    assert {e.recall.one_percent_depth for e in evaluations} == {3, 4}, "the published limit of 25 is far away"
    recall = mean_over_pairs([e.recall for e in evaluations])
    assert (recall.n_queries, recall.n_counted, recall.n_without_positives) == (66_660, 64_798, 1_862)
    assert (n_counted, recall.n_pairs) == (64_798, 23 * 22)
    assert recall.recall_at_one_percent is not None
    assert 100 * np.array(recall.recall_at, dtype=float) == pytest.approx(curve, abs=1e-9)
    assert 100 * recall.recall_at_one_percent == pytest.approx(one_percent, abs=1e-9)
    assert 10 < curve[0] < curve[4] < curve[24] < 99, "descriptors that find some places and miss others"
