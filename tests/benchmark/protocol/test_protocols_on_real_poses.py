"""The protocols on real trajectories: exact counts, against published sets and against a script that shares no code."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brute_force_kitti import RULES, SEQUENCES, count_all
from real_poses import kitti_frames, of_every_place, pointnetvlad_places

from benchmark.protocol.ground_truth import relations
from benchmark.protocol.leaks import find_leaks
from benchmark.protocol.selection import select
from datasets.base import Frames, Protocol, Selection
from datasets.protocols import PROTOCOLS

pytestmark = pytest.mark.data
Counts = dict[str, int]
DOCS = Path(__file__).parents[3] / "docs" / "protocols.md"


def counts_by_pair(frames: Frames, protocol: Protocol) -> dict[tuple[str, str], Counts]:
    found: dict[tuple[str, str], Counts] = {}
    for asked in relations(frames, protocol, select(frames, protocol.query), select(frames, protocol.database)):
        counts = found.setdefault(
            (asked.pair.query_traversal, asked.pair.database_traversal),
            {"queries": 0, "database": len(asked.database_rows), "with_positive": 0, "positives": 0},
        )
        counts["queries"] += len(asked.query_rows)
        counts["with_positive"] += int(asked.relation.is_positive.any(axis=1).sum())
        counts["positives"] += int(asked.relation.is_positive.sum())
    return found


# --- Oxford --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pointnetvlad(real_data: Callable[[str], Path]) -> tuple[Frames, np.ndarray]:
    return pointnetvlad_places(real_data("oxford-pointnetvlad-eval"))


@pytest.fixture(scope="module")
def every_place() -> Protocol:
    return of_every_place(PROTOCOLS["oxford-pointnetvlad"])


def test_oxford_counts_are_those_of_the_published_evaluation_set(
    pointnetvlad: tuple[Frames, np.ndarray], every_place: Protocol
) -> None:
    frames, is_query = pointnetvlad
    queries = select(frames, every_place.query)
    assert queries.tolist() == np.flatnonzero(is_query).tolist()
    assert (len(queries), len(select(frames, every_place.database))) == (3_030, 9_492)
    counts = counts_by_pair(frames, every_place)
    asked, answered = (sum(c[what] for c in counts.values()) for what in ("queries", "with_positive"))
    assert (len(counts), asked, answered, asked - answered) == (23 * 22, 66_660, 64_798, 1_862)
    assert all(a != b for a, b in counts)


def test_oxford_validation_is_crossed_by_every_run_and_clear_of_the_test(
    pointnetvlad: tuple[Frames, np.ndarray], every_place: Protocol
) -> None:
    frames, _ = pointnetvlad
    rows = select(frames, replace(every_place.split.validation, spacing_m=None))
    per_run = [int((frames.traversal[rows] == name).sum()) for name in frames.traversal_names()]
    assert (len(rows), min(per_run), len(per_run)) == (1_110, 45, 23)
    (ours,) = every_place.split.validation.regions
    for test in every_place.query.regions:
        apart_m = max(abs(ours.east_m - test.east_m), abs(ours.north_m - test.north_m))
        assert apart_m - ours.half_side_m - test.half_side_m >= 100
    leaks = {(leak.test, leak.other): leak for leak in find_leaks(frames, every_place)}
    assert leaks["queries", "validation"].quantiles_m[0] > 100
    assert leaks["queries", "training"].n_shared == 0
    assert leaks["queries", "training"].n_within_positive > 0, "the published squares have no guard band"
    assert leaks["database frames", "training"].n_shared > 0, "the whole run is searched, so most of it was trained on"


def test_oxford_as_published_selects_the_model_on_the_very_queries(
    pointnetvlad: tuple[Frames, np.ndarray], every_place: Protocol
) -> None:
    published = PROTOCOLS["oxford-pointnetvlad-as-published"]
    validation = replace(published.split.validation, spacing_m=None)
    as_published = replace(every_place, split=replace(published.split, validation=validation))
    leaks = {(leak.test, leak.other): leak for leak in find_leaks(pointnetvlad[0], as_published)}
    assert leaks["queries", "validation"].n_shared == 3_030
    assert leaks["queries", "training"].n_shared == 0


# --- KITTI ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kitti_folder(real_data: Callable[[str], Path]) -> Path:
    return real_data("kitti-odometry-poses")


@pytest.fixture(scope="module")
def kitti(kitti_folder: Path) -> Frames:
    return kitti_frames(kitti_folder)


@pytest.fixture(scope="module")
def brute_force(kitti_folder: Path) -> dict[str, dict[str, Counts]]:
    return count_all(kitti_folder)


def anywhere(selection: Selection) -> Selection:
    """The rules of ``selection`` for sequences that it does not name, and without regions."""
    own = [part for part in selection.alternatives() if part.rows != (0, None)]
    left = tuple(f"!{name}" for part in own for name in part.traversals)
    return Selection(traversals=("*", *left), spacing_m=selection.spacing_m, also=tuple(own))


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_kitti_counts_are_those_of_the_brute_force(
    kitti: Frames, brute_force: dict[str, dict[str, Counts]], name: str
) -> None:
    protocol = PROTOCOLS[name]
    everywhere = replace(protocol, query=anywhere(protocol.query), database=anywhere(protocol.database))
    found = counts_by_pair(kitti, everywhere)
    assert {a: counts for (a, b), counts in found.items() if a == b} == brute_force[name]
    assert len(found) == len(SEQUENCES)
    if not any(part.regions for part in protocol.query.alternatives()):  # each pair counts for itself
        for own, counted in ((protocol.query, everywhere.query), (protocol.database, everywhere.database)):
            rows = select(kitti, counted)
            assert select(kitti, own).tolist() == [r for r in rows if protocol.query.includes(kitti.traversal[r])]


def test_every_kitti_protocol_without_a_map_is_counted() -> None:
    of_kitti = [p for p in PROTOCOLS.values() if p.dataset == "kitti"]
    assert {p.name for p in of_kitti} == {*RULES, "kitti-vxp-as-published"}


def test_revisits_are_asked_where_there_are_any(brute_force: dict[str, dict[str, Counts]]) -> None:
    coming_back = [s for s, counts in brute_force["kitti-revisit"].items() if counts["with_positive"]]
    assert coming_back == [s for s in SEQUENCES if PROTOCOLS["kitti-revisit"].query.includes(s)]


def test_the_documented_counts_are_these(brute_force: dict[str, dict[str, Counts]]) -> None:
    rows = [
        [cell.strip(" *") for cell in line.strip("|\n").split("|")]
        for line in DOCS.read_text().splitlines()
        if "|" in line
    ]
    (header,) = [row for row in rows if row[0] == "sequence"]
    table = {
        row[0]: dict(zip(header, row, strict=True)) for row in rows if row[0] in SEQUENCES and len(row) == len(header)
    }
    for sequence in SEQUENCES:
        expected = {name: f"{counts[sequence]['with_positive']:,}" for name, counts in brute_force.items()}
        expected |= {"frames": f"{brute_force['liploc'][sequence]['queries']:,}"}
        expected |= {"every 20 m": f"{brute_force['kitti-vxp'][sequence]['queries']:,}"}
        assert {name: table[sequence][name] for name in expected} == expected
