"""From descriptors to ranks, against loops that know nothing of the harness."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.chance import hypergeometric_recall
from benchmark.evaluation.evaluate import PairEvaluation, Scorer, evaluate, from_descriptors, from_ranker
from benchmark.protocol.directions import Direction
from benchmark.protocol.selection import Selected
from datasets.base import Frames, Protocol, Selection
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

IMAGE_TO_CLOUD = (Direction.IMAGE_TO_CLOUD,)


def evaluated(frames: Frames, protocol: Protocol, scorer: Scorer) -> list[PairEvaluation]:
    """The evaluations of one scorer alone."""
    return evaluate(frames, protocol, {"one": scorer})["one"]


def ranker(name: str, seed: int = 0, *modalities: Any) -> Scorer:
    """A ranker, in the directions between ``modalities`` alone if any are given."""
    scorer = from_ranker(name, seed)
    return replace(scorer, directions=tuple(Direction.among(modalities))) if modalities else scorer


def descriptors_of(frames: Frames, distance: str = "l2", views: int = 1) -> Descriptors:
    """Noisy descriptors that know something of the place.

    All but those for the cosine are eighths, which add and multiply exactly: with them there are ties.
    """
    random = np.random.default_rng(0)
    place = frames.position_m[:, None, :2] / 40
    arrays = {m: place + random.normal(scale=0.5, size=(len(frames), views, 2)) for m in ("image", "cloud")}
    if distance != "cosine":
        arrays = {m: np.round(array * 8) / 8 for m, array in arrays.items()}
    rows = {frame_id: row for row, frame_id in enumerate(frames.frame_id)}
    columns: Any = {"rows": {"image": rows, "cloud": rows}, "arrays": arrays, "distance": distance}
    return Descriptors(method="noisy", **columns)


def dissimilarity(a: np.ndarray, b: np.ndarray, distance: str) -> float:
    """Of two descriptors with views, in plain numbers."""
    pairs = [(x.tolist(), y.tolist()) for x in a for y in b]
    dot = [sum(p * q for p, q in zip(x, y, strict=True)) for x, y in pairs]
    if distance == "dot":
        return -max(dot)
    if distance == "cosine":
        return min(1 - d / (math.hypot(*x) * math.hypot(*y)) for d, (x, y) in zip(dot, pairs, strict=True))
    return min(sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) for x, y in pairs)


def naive_ranks(frames: Frames, descriptors: Descriptors, query: str, database: str) -> dict[tuple[str, str], int]:
    """(query frame, database traversal) → rank of the first right place within 13 m and 0.5 rad; 0 for none."""
    ranks = {}
    for name in dict.fromkeys(frames.traversal):
        searched = [i for i in range(len(frames)) if frames.traversal[i] == name]
        for q in range(len(frames)):
            if frames.traversal[q] == name:
                continue
            asked = descriptors.arrays[query][q]  # type: ignore[index]
            order = sorted(
                (dissimilarity(asked, descriptors.arrays[database][i], descriptors.distance), i)  # type: ignore[index]
                for i in searched
            )
            right = [
                n
                for n, (_, i) in enumerate(order, start=1)
                if math.dist(frames.position_m[q][:2], frames.position_m[i][:2]) <= 13
                and abs(frames.yaw_rad[q] - frames.yaw_rad[i]) < 0.5
            ]
            ranks[frames.frame_id[q], name] = right[0] if right else 0
    return ranks


def found_ranks(frames: Frames, evaluations: list[PairEvaluation]) -> dict[tuple[str, str], int]:
    return {
        (frames.frame_id[row], e.pair.database_traversal): int(rank)
        for e in evaluations
        for row, rank in zip(e.query_rows, e.ranking.first_positive_rank, strict=True)
    }


@pytest.mark.parametrize("distance", ["l2", "cosine", "dot"])
@pytest.mark.parametrize("views", [1, 3])
def test_ranks_are_those_of_naive_loops_in_all_four_directions(
    small_world: PreparedDataset, protocol: Protocol, distance: str, views: int
) -> None:
    frames = small_world.frames
    descriptors = descriptors_of(frames, distance, views)
    evaluations = evaluated(frames, protocol, from_descriptors(descriptors, frames))
    for direction in Direction:
        group = [e for e in evaluations if e.direction is direction]
        expected = naive_ranks(frames, descriptors, direction.query, direction.database)
        assert found_ranks(frames, group) == expected
        assert 1 < np.mean(list(expected.values())) < 12, "neither perfect nor hopeless"


def test_there_are_four_directions_and_all_ordered_pairs(small_world: PreparedDataset, protocol: Protocol) -> None:
    evaluations = evaluated(small_world.frames, protocol, ranker("random", 0))
    assert [d.label for d in dict.fromkeys(e.direction for e in evaluations)] == [
        "image->cloud",
        "cloud->image",
        "image->image",
        "cloud->cloud",
    ]
    pairs = {(e.pair.query_traversal, e.pair.database_traversal) for e in evaluations}
    names = ("morning", "evening", "midnight")
    assert pairs == {(a, b) for a in names for b in names if a != b}
    assert len(evaluations) == 4 * 6


def test_frames_that_lack_a_modality_are_in_no_direction_that_needs_it(
    small_world: PreparedDataset, protocol: Protocol
) -> None:
    cloud, image = small_world.frames.cloud.copy(), small_world.frames.image.copy()
    cloud[:12], image[12:14] = "", ""
    frames = replace(small_world.frames, cloud=cloud, image=image)
    for e in evaluated(frames, protocol, ranker("oracle", 0)):
        for modality, rows in ((e.direction.query, e.query_rows), (e.direction.database, e.database_rows)):
            assert (getattr(frames, modality)[rows] != "").all()
            assert len(rows) == 10 if modality == "image" and frames.traversal[rows[0]] == "evening" else 12
    labels = {(e.direction.label, e.pair.database_traversal) for e in evaluated(frames, protocol, ranker("oracle", 0))}
    assert ("image->cloud", "morning") not in labels
    assert ("cloud->image", "morning") in labels


def test_only_directions_between_the_given_modalities(small_world: PreparedDataset, protocol: Protocol) -> None:
    evaluations = evaluated(small_world.frames, protocol, ranker("oracle", 0, "cloud"))
    assert {e.direction for e in evaluations} == {Direction.CLOUD_TO_CLOUD}


def test_a_dataset_without_images_has_one_direction(small_world: PreparedDataset, protocol: Protocol) -> None:
    blind = replace(small_world.frames, image=np.full(36, "", dtype=object))
    assert {e.direction.label for e in evaluated(blind, protocol, ranker("oracle", 0))} == {"cloud->cloud"}


def test_the_oracle_is_perfect_and_the_random_ranker_is_chance(
    small_world: PreparedDataset, protocol: Protocol
) -> None:
    for e in evaluated(small_world.frames, protocol, ranker("oracle", 0)):
        assert e.recall.recall_at[0] == 1.0
    hits, chance = [], []
    for seed in range(5):
        for e in evaluated(small_world.frames, protocol, ranker("random", seed)):
            hits.append(e.ranking.first_positive_rank == 1)
            chance.append(hypergeometric_recall(e.ranking.n_positives, e.ranking.n_candidates, 1))
    n, expected = np.concatenate(hits).size, np.concatenate(chance)
    spread = math.sqrt((expected * (1 - expected)).sum()) / n
    assert abs(np.concatenate(hits).mean() - expected.mean()) < 4 * spread
    assert 0.1 < expected.mean() < 0.4


def test_the_random_ranker_depends_on_the_seed_and_not_on_other_pairs(
    small_world: PreparedDataset, protocol: Protocol
) -> None:
    frames = small_world.frames
    full = found_ranks(frames, evaluated(frames, protocol, ranker("random", 0, "image")))
    one = replace(protocol, pairs=(("evening", "midnight"),))
    alone = found_ranks(frames, evaluated(frames, one, ranker("random", 0, "image")))
    assert alone == {key: full[key] for key in alone}
    assert len(alone) == 12
    assert full != found_ranks(frames, evaluated(frames, protocol, ranker("random", 1, "image")))


def test_needed_rows_are_queries_and_database_once_each(small_world: PreparedDataset, protocol: Protocol) -> None:
    chosen = replace(
        protocol, query=Selection(traversals=("evening",)), database=Selection(traversals=("morning", "evening"))
    )
    assert Selected(frames=small_world.frames, protocol=chosen).needed.tolist() == list(range(24))


def test_nothing_to_evaluate_is_a_sentence(small_world: PreparedDataset, protocol: Protocol) -> None:
    apart = replace(protocol, pairs="within", radius_m=1.0)
    with pytest.raises(CrossplaceError, match="no query has a positive within 1 m among 36 queries and 36 database"):
        evaluated(small_world.frames, apart, ranker("oracle", 0))


# --- perturbed frames ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "of_clouds", "of_images"),
    [
        (Direction.IMAGE_TO_CLOUD, "database", "query"),
        (Direction.CLOUD_TO_IMAGE, "query", "database"),
        (Direction.IMAGE_TO_IMAGE, None, "query"),
        (Direction.CLOUD_TO_CLOUD, "query", None),
    ],
)
def test_which_side_a_perturbation_changes(direction: Direction, of_clouds: str | None, of_images: str | None) -> None:
    assert direction.perturbed_side("cloud") == of_clouds
    assert direction.perturbed_side("image") == of_images


@pytest.mark.parametrize("modality", ["image", "cloud"])
def test_perturbed_descriptors_stand_on_their_side_alone(
    small_world: PreparedDataset, protocol: Protocol, modality: Any
) -> None:
    """Clean descriptors are (1, 0), perturbed ones (4, 0): the distance says which of them met."""
    frames = small_world.frames
    rows = {frame_id: row for row, frame_id in enumerate(frames.frame_id)}

    def constant(value: float, *modalities: Any) -> Descriptors:
        arrays = {m: np.full((36, 1, 1), value) for m in modalities}
        return Descriptors(rows=dict.fromkeys(modalities, rows), arrays=arrays, distance="l2", method="constant")

    scorer = from_descriptors(constant(1.0, "image", "cloud"), frames, constant(4.0, modality), modality)
    for e in evaluated(frames, protocol, scorer):
        is_changed = e.direction.perturbed_side(modality) is not None
        assert (e.ranking.top_distance[:, 0] == (3.0 if is_changed else 0.0)).all(), e.direction


def test_a_second_descriptor_re_ranks_within_the_candidates(small_world: PreparedDataset, protocol: Protocol) -> None:
    frames = small_world.frames
    main = descriptors_of(frames, "l2")
    blind = replace(main, arrays={m: np.zeros_like(a) for m, a in main.arrays.items()})
    oracle = replace(main, arrays=dict.fromkeys(("image", "cloud"), frames.position_m[:, None, :2]))

    def recalls(descriptors: Descriptors) -> list[int]:
        found = evaluated(frames, protocol, from_descriptors(descriptors, frames, directions=IMAGE_TO_CLOUD))
        return sorted(found_ranks(frames, found).values())

    assert recalls(replace(main, top=5, second=blind)) == recalls(main)  # ties keep the order of the search
    by_both, alone = recalls(replace(main, top=12, second=oracle)), recalls(main)
    assert sum(by_both) < sum(alone)
    # Perturbed clouds are compared by both of their descriptors.
    frames_swapped = replace(oracle, arrays={"cloud": oracle.arrays["cloud"][::-1].copy()})
    perturbed = replace(main, top=12, second=frames_swapped)
    clean = replace(main, top=12, second=oracle)
    scorer = from_descriptors(clean, frames, perturbed, "cloud", directions=IMAGE_TO_CLOUD)
    found = evaluated(frames, protocol, scorer)
    assert sum(found_ranks(frames, found).values()) > sum(by_both)
