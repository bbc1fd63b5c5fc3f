"""Queries are evaluated a block at a time, and how frames relate is found once for everybody."""

import weakref
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from benchmark.descriptors.files import Descriptors
from benchmark.evaluation import evaluate as evaluation
from benchmark.evaluation.evaluate import PairEvaluation, Scorer, evaluate, from_descriptors, from_ranker
from benchmark.evaluation.ranks import Ranking, rank_queries
from benchmark.protocol import ground_truth
from benchmark.protocol.directions import Direction
from benchmark.protocol.ground_truth import Asked
from datasets.base import Frames, Protocol, Selection
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset


def descriptors_of(frames: Frames, *, fused: bool = False) -> Descriptors:
    """Whole numbers, so that there are ties; with ``fused``, second descriptors re-rank the nearest five."""
    random = np.random.default_rng(0)
    known = {frame_id: row for row, frame_id in enumerate(frames.frame_id)}
    rows: Any = {"image": known, "cloud": known}

    def arrays() -> Any:
        place = frames.position_m[:, None, :2] / 20
        return {m: np.round(place + random.normal(size=(len(frames), 2, 2))) for m in ("image", "cloud")}

    main = Descriptors(rows=rows, arrays=arrays(), distance="l2", method="noisy")
    return replace(main, top=5, second=replace(main, arrays=arrays())) if fused else main


def scorers_of(frames: Frames) -> dict[str, Scorer]:
    """One of each kind."""
    return {
        "main": from_descriptors(descriptors_of(frames), frames),
        "fused": from_descriptors(descriptors_of(frames, fused=True), frames),
        "clouds alone": from_descriptors(descriptors_of(frames), frames, directions=[Direction.CLOUD_TO_CLOUD]),
        "random": from_ranker("random", 3),
        "constant": from_ranker("constant", 3),
    }


def everything(found: dict[str, list[PairEvaluation]]) -> list[Any]:
    """All that evaluations hold, in plain values that can be compared bit for bit."""
    return [
        (
            name,
            e.direction,
            e.pair,
            e.query_rows.tolist(),
            e.database_rows.tolist(),
            [getattr(e.ranking, f.name).tobytes() for f in fields(Ranking)],
            e.recall,
            {metric: values.tobytes() for metric, values in e.values.items()},
        )
        for name, evaluations in found.items()
        for e in evaluations
    ]


@pytest.fixture
def lacking(small_world: PreparedDataset) -> Frames:
    """The small world without the clouds of the morning and without some images, at the edge of blocks and within."""
    cloud, image = small_world.frames.cloud.copy(), small_world.frames.image.copy()
    cloud[:12], image[12:14], image[20], cloud[35] = "", "", "", ""
    return replace(small_world.frames, cloud=cloud, image=image)


RULES: dict[str, dict[str, Any]] = {
    "across": {},
    "within": {"pairs": "within", "min_gap_s": 0.5, "own_frame": "drop", "no_positive": "miss"},
    "depth": {"pairs": "within", "min_gap_s": 0.5, "search_depth": 4},
    "listed": {"pairs": (("midnight", "evening"), ("evening", "midnight"))},
    "earlier": {"pairs": "within", "earlier_only": True, "database": Selection(count=6), "no_positive": "miss"},
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("entries", [1, 25])
@pytest.mark.parametrize("which", ["whole", "lacking"])
def test_block_by_block_is_the_whole_matrix_bit_for_bit(
    lacking: Frames,
    small_world: PreparedDataset,
    protocol: Protocol,
    rules: dict[str, Any],
    entries: int,
    which: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames, used = lacking if which == "lacking" else small_world.frames, replace(protocol, **rules)
    whole = evaluate(frames, used, scorers_of(frames))
    monkeypatch.setattr(ground_truth, "BLOCK_ENTRIES", entries)
    assert everything(evaluate(frames, used, scorers_of(frames))) == everything(whole)


def test_together_is_as_alone(lacking: Frames, protocol: Protocol) -> None:
    together = evaluate(lacking, protocol, scorers_of(lacking))
    alone = {name: evaluate(lacking, protocol, {name: scorer})[name] for name, scorer in scorers_of(lacking).items()}
    assert everything(together) == everything(alone)


def test_the_same_scorer_says_the_same_again(small_world: PreparedDataset, protocol: Protocol) -> None:
    scorers = scorers_of(small_world.frames)
    first = evaluate(small_world.frames, protocol, scorers)
    assert everything(evaluate(small_world.frames, protocol, scorers)) == everything(first)


@pytest.mark.parametrize("entries", [2**22, 24])
def test_the_relation_of_a_block_is_found_once_for_all_directions_and_scorers(
    lacking: Frames, protocol: Protocol, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    relate = ground_truth._relation

    def counting(query: Frames, database: Frames, protocol: Protocol) -> ground_truth.Relation:
        asked.append((tuple(query.frame_id), database.traversal[0]))
        return relate(query, database, protocol)

    monkeypatch.setattr(ground_truth, "BLOCK_ENTRIES", entries)
    monkeypatch.setattr(ground_truth, "_relation", counting)
    scorers = scorers_of(lacking)
    del scorers["clouds alone"]
    found = evaluate(lacking, protocol, scorers)
    assert len(scorers) == 4
    assert {e.direction for e in found["main"]} == set(Direction)
    assert len(asked) == len(set(asked)) == 6 * (1 if entries > 1000 else 6)


def test_rankers_without_a_direction_are_ranked_once_a_relation(
    small_world: PreparedDataset, lacking: Frames, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where frames lack a modality, relations differ by direction, and so do rankings."""
    n_ranked = 0

    def counting(*args: Any, **options: Any) -> Ranking:
        nonlocal n_ranked
        n_ranked += 1
        return rank_queries(*args, **options)

    monkeypatch.setattr(evaluation, "rank_queries", counting)
    for frames, name, n_pairs in ((small_world.frames, "oracle", 6), (small_world.frames, "random", 24)):
        n_ranked = 0
        evaluate(frames, protocol, {name: from_ranker(name, 0)})
        assert n_ranked == n_pairs, name
    n_ranked = 0
    found = evaluate(lacking, protocol, {"oracle": from_ranker("oracle", 0)})["oracle"]
    assert n_ranked == len(found) > 6


def test_nothing_as_large_as_queries_times_database_outlives_its_block(
    small_world: PreparedDataset, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many blocks there are: of those before, at most what the loop still holds is alive."""
    monkeypatch.setattr(ground_truth, "BLOCK_ENTRIES", 24)
    seen: list[weakref.ref[np.ndarray]] = []
    most = 0

    def score(direction: Direction, asked: Asked) -> np.ndarray:
        nonlocal most
        distances = np.zeros(asked.relation.is_candidate.shape)
        seen.append(weakref.ref(distances))
        if not any(ref() is asked.relation.is_candidate for ref in seen):
            seen.append(weakref.ref(asked.relation.is_candidate))
        most = max(most, sum(ref() is not None for ref in seen))
        return distances

    found = evaluate(small_world.frames, protocol, {"one": Scorer(directions=tuple(Direction), score=score)})["one"]
    assert len(found) == 24
    assert len(seen) > 150
    assert most <= 4, "matrices of this block and of the one before"
    assert all(ref() is None for ref in seen), "and nothing of them is in what was found"


# --- against plain loops -------------------------------------------------------------------------


def naive(
    frames: Frames, protocol: Protocol, descriptors: Descriptors, direction: Direction
) -> dict[tuple[str, str], tuple[int, int, int]]:
    """(query, searched traversal) → rank of the first right frame, right frames, and frames that may be found."""
    found = {}
    indices = range(len(frames))
    has_query, has_database = (getattr(frames, m) != "" for m in (direction.query, direction.database))
    for asked in (i for i in indices if has_query[i]):
        for name in dict.fromkeys(frames.traversal):
            if (name == frames.traversal[asked]) != (protocol.pairs == "within"):
                continue
            searched = [i for i in indices if frames.traversal[i] == name and has_database[i]]

            def far(i: int, arrays: Any, asked: int = asked) -> float:
                pairs = ((a, b) for a in arrays[direction.query][asked] for b in arrays[direction.database][i])
                return float(min(((a - b) ** 2).sum() for a, b in pairs))

            may = [i for i in searched if protocol.pairs != "within" or abs(i - asked) > (protocol.min_gap_s or 0)]
            order = sorted(may, key=lambda i: (far(i, descriptors.arrays), i))
            if descriptors.second:
                head = order[: descriptors.top]
                by_second = sorted(head, key=lambda i: far(i, descriptors.second.arrays))  # type: ignore[union-attr]
                places = {i: head.index(i) + by_second.index(i) for i in head}
                order = sorted(head, key=lambda i: places[i]) + order[descriptors.top :]
            elif protocol.search_depth is not None:
                near = sorted(searched, key=lambda i: (far(i, descriptors.arrays), i))[: protocol.search_depth]
                order = [i for i in order if i in near]

            def is_right(i: int, asked: int = asked) -> bool:
                metres = np.hypot(*(frames.position_m[i] - frames.position_m[asked])[:2])
                return bool(metres <= 13 and abs(frames.yaw_rad[i] - frames.yaw_rad[asked]) < 0.5)

            right = sum(map(is_right, may))
            ranks = [n for n, i in enumerate(order, start=1) if is_right(i)]
            rank = ranks[0] if ranks else len(searched) + 1 if right else 0
            if searched:
                found[frames.frame_id[asked], name] = (rank, right, len(may))
    return found


@pytest.mark.parametrize(("rules", "fused"), [("across", False), ("across", True), ("depth", False), ("within", True)])
def test_blocks_agree_with_plain_loops(
    lacking: Frames, protocol: Protocol, rules: str, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground_truth, "BLOCK_ENTRIES", 30)
    used, descriptors = replace(protocol, **RULES[rules]), descriptors_of(lacking, fused=fused)
    evaluations = evaluate(lacking, used, {"one": from_descriptors(descriptors, lacking)})["one"]
    for direction in Direction:
        found = {
            (lacking.frame_id[row], e.pair.database_traversal): (int(rank), int(right), int(candidates))
            for e in evaluations
            if e.direction is direction
            for row, rank, right, candidates in zip(
                e.query_rows,
                e.ranking.first_positive_rank,
                e.ranking.n_positives,
                e.ranking.n_candidates,
                strict=True,
            )
        }
        assert found == naive(lacking, used, descriptors, direction), direction


# --- nothing to count ----------------------------------------------------------------------------


def test_a_scorer_without_a_counted_query_is_an_error_whoever_stands_beside_it(
    small_world: PreparedDataset, protocol: Protocol
) -> None:
    """Clouds are in the morning alone, so that clouds find no clouds; images are everywhere."""
    cloud = small_world.frames.cloud.copy()
    cloud[12:] = ""
    frames = replace(small_world.frames, cloud=cloud)
    images, clouds = (
        from_descriptors(descriptors_of(frames), frames, directions=Direction.among([m])) for m in ("image", "cloud")
    )
    assert len(evaluate(frames, protocol, {"images": images})["images"]) == 6
    with pytest.raises(CrossplaceError, match="no query has a positive"):
        evaluate(frames, protocol, {"images": images, "clouds": clouds})


def test_no_scorer_is_nothing_to_do(small_world: PreparedDataset, protocol: Protocol) -> None:
    assert evaluate(small_world.frames, protocol, {}) == {}
