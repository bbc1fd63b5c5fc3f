"""The table of protocols: every entry, on a world that has all the places it names."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.protocol.selection import select
from benchmark.registry import DATASETS
from datasets.base import Frames, Protocol, Region, Selection
from datasets.boreas.layout import CONDITIONS, WITHOUT_POSES
from datasets.boreas.protocols import DXPR_RUNS, HEADING_LIMIT_RAD, RANGEBEV_RUNS, UNIMPR_DATABASE, UNIMPR_QUERIES
from datasets.protocols import OTHER_SPLITS, PROTOCOLS

TABLE = list(PROTOCOLS.values())
BY_NAME = {"argvalues": TABLE, "ids": PROTOCOLS.keys()}
PUBLISHED = [p for p in TABLE if p.name.endswith("-as-published")]
NAMES = {
    "town": [
        f"{part}-{light}" for part in ("train", "validation", "test") for light in ("day", "dusk", "night", "winter")
    ],
    "kitti": [f"{n:02d}" for n in range(22)],
    "oxford": [*PROTOCOLS["oxford-vxp"].query.traversals, "2014-05-19-13-20-57", "2014-06-26-09-31-18"],
    "vivid": [f"{place}_{light}" for place in ("campus", "city") for light in ("day1", "day2", "evening", "night")],
    "boreas": list(CONDITIONS),
}


def parts_of(protocol: Protocol) -> dict[str, Selection]:
    split = protocol.split
    return {
        "train": split.train,
        "validation": split.validation,
        "query": protocol.query,
        "database": protocol.database,
    }


def regions_of(protocol: Protocol) -> list[Region]:
    parts = [part for selection in parts_of(protocol).values() for part in selection.alternatives()]
    return list(dict.fromkeys(region for part in parts for region in (*part.regions, *part.outside)))


def world_of(dataset: str) -> Frames:
    """Drives through the middle of every region that a protocol of ``dataset`` names, and through nowhere."""
    regions = {r for protocol in TABLE if protocol.dataset == dataset for r in regions_of(protocol)}
    places = [(0.0, 0.0), *sorted((r.east_m, r.north_m) for r in regions)]
    names, n = NAMES[dataset], 3100 if dataset == "kitti" else 60
    place = np.tile(np.array([places[i % len(places)] for i in range(n)]), (len(names), 1))
    place = place + 30 * (np.arange(len(place)) % 2)[:, None]  # 42 m apart even if they stay
    rows = len(place)

    def column(values: list[str]) -> np.ndarray:
        return np.array(values, dtype=object)

    return Frames(
        frame_id=column([f"{name}/{i}" for name in names for i in range(n)]),
        traversal=np.repeat(column(names), n),
        world=column(["w"] * rows),
        timestamp_ns=np.tile(np.arange(n), len(names)),
        position_m=np.column_stack([place, np.zeros(rows)]),
        quaternion_wxyz=np.tile([1.0, 0, 0, 0], (rows, 1)),
        yaw_rad=np.zeros(rows),
        image=column([""] * rows),
        cloud=column([""] * rows),
        mercator_m=place,
    )


@pytest.fixture(scope="module")
def worlds() -> dict[str, Frames]:
    return {dataset: world_of(dataset) for dataset in NAMES}


# --- every entry ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", **BY_NAME)
def test_every_protocol_is_named_versioned_and_described(protocol: Protocol) -> None:
    assert PROTOCOLS[protocol.name] is protocol
    assert protocol.version >= 1
    assert protocol.dataset in DATASETS.names()
    assert not protocol.smoke
    assert protocol.absent == ()


def test_names_and_titles_are_unique() -> None:
    for values in ([p.name for p in TABLE], [p.title for p in TABLE]):
        assert [value for value, n in Counter(values).items() if n > 1] == []


@pytest.mark.parametrize("protocol", **BY_NAME)
def test_the_rules_of_a_protocol_make_sense(protocol: Protocol) -> None:
    split = protocol.split
    assert 0 < split.positive_m < split.negative_m
    assert protocol.radius_m > 0
    for limit in (protocol.heading_limit_rad, split.heading_limit_rad):
        assert limit in (None, HEADING_LIMIT_RAD if protocol.dataset == "boreas" else 0.5)
    assert protocol.min_gap_s is None or protocol.min_gap_s > 0
    if protocol.earlier_only or protocol.min_gap_s is not None:
        assert protocol.pairs == "within", "clocks of two traversals do not compare"
    assert protocol.travel == "same" or protocol.heading_limit_rad is not None, "every heading has both directions"
    if not isinstance(protocol.pairs, str):
        assert set(protocol.pairs) == {(b, a) for a, b in protocol.pairs}, "both orders"
        assert all(protocol.query.includes(a) and protocol.database.includes(b) for a, b in protocol.pairs)


@pytest.mark.parametrize("protocol", **BY_NAME)
def test_depths_and_caps_are_published_habits_and_have_no_place_elsewhere(protocol: Protocol) -> None:
    if protocol not in PUBLISHED:
        assert protocol.one_percent.cap is None
        assert protocol.search_depth is None
        assert protocol.distance_axes == ("east", "north")


@pytest.mark.parametrize("protocol", **BY_NAME)
def test_every_part_has_frames_and_nobody_tests_on_what_was_trained_on(
    protocol: Protocol, worlds: dict[str, Frames]
) -> None:
    """By frames. ViViD++ trains on day1 and asks from it: that is said in the title."""
    rows = {name: set(select(worlds[protocol.dataset], part).tolist()) for name, part in parts_of(protocol).items()}
    assert all(rows.values())
    assert not rows["train"] & rows["validation"]
    is_trained_on = bool(rows["train"] & rows["query"])
    assert is_trained_on == any(a.endswith("day1") for pair in protocol.pairs for a in pair)
    assert ("trained on day1" in protocol.title) == (protocol.dataset == "vivid")


@pytest.mark.parametrize("protocol", **BY_NAME)
def test_models_are_selected_apart_from_the_test_unless_as_published(
    protocol: Protocol, worlds: dict[str, Frames]
) -> None:
    frames = worlds[protocol.dataset]
    validation, query = (set(select(frames, part).tolist()) for part in (protocol.split.validation, protocol.query))
    overlaps = protocol in PUBLISHED and protocol.name != "liploc-as-published"  # LIP-Loc holds out training frames
    assert bool(validation & query) == overlaps


@pytest.mark.parametrize("published", PUBLISHED, ids=[p.name for p in PUBLISHED])
def test_a_published_variant_asks_the_same_of_the_same(published: Protocol) -> None:
    right = PROTOCOLS[published.name.removesuffix("-as-published")]
    habits = {
        name: getattr(right, name)
        for name in ("name", "title", "split", "one_percent", "search_depth", "distance_axes")
    }
    assert replace(published, **habits) == right
    assert published != right


@pytest.mark.parametrize("name", OTHER_SPLITS)
def test_fallback_splits_train_on_nothing_that_is_tested(name: str, worlds: dict[str, Frames]) -> None:
    protocol, frames = PROTOCOLS[name], worlds[PROTOCOLS[name].dataset]
    for split in OTHER_SPLITS[name]:
        train, validation, query = (
            set(select(frames, part).tolist()) for part in (split.train, split.validation, protocol.query)
        )
        assert train
        assert not train & query
        assert not validation & (train | query)


def test_every_protocol_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()
    assert [name for name in PROTOCOLS if f"`{name}`" not in text] == []


# --- facts from the papers -----------------------------------------------------------------------


def test_oxford_has_23_runs_and_four_squares_of_300_m() -> None:
    for name in ("oxford-vxp", "oxford-pointnetvlad"):
        protocol = PROTOCOLS[name]
        assert len(set(protocol.query.traversals)) == 23
        assert protocol.query.traversals == protocol.database.traversals
        assert [r.half_side_m for r in protocol.query.regions] == [150.0] * 4
        assert protocol.database.regions == ()
    rules = [
        (p.radius_m, p.heading_limit_rad, p.query.spacing_m)
        for p in map(PROTOCOLS.get, ("oxford-vxp", "oxford-pointnetvlad"))
        if p
    ]
    assert rules == [(20.0, 0.5, None), (25.0, None, 20.0)]


def test_kitti_squares_are_asked_in_their_own_sequence_alone(worlds: dict[str, Frames]) -> None:
    """East is some 613 km and 619 km, north some 4,116 km: the published names of the two are swapped."""
    frames, protocol = worlds["kitti"], PROTOCOLS["kitti-vxp"]
    queries = frames.take(select(frames, replace(protocol.query, spacing_m=None)))
    assert set(queries.traversal) == {"00", "02"}
    east = {name: set(queries.mercator_m[queries.traversal == name, 0] // 1000) for name in ("00", "02")}  # type: ignore[index]
    assert east == {"00": {613.0}, "02": {619.0}}
    regions = [r for part in protocol.query.alternatives() for r in part.regions]
    assert len(regions) == 8
    assert all((r.frame, r.half_side_m) == ("mercator", 50.0) and 4_116_000 < r.north_m < 4_117_000 for r in regions)
    trained = frames.take(select(frames, PROTOCOLS["kitti-vxp-as-published"].split.train))
    assert set(trained.traversal) == {f"{n:02d}" for n in (0, *range(2, 11))}, "01 is unused"


def test_the_head_of_00_is_trained_on_and_its_tail_tested(worlds: dict[str, Frames]) -> None:
    frames, protocol = worlds["kitti"], PROTOCOLS["kitti-00head-10m"]
    assert frames.frame_id[select(frames, protocol.split.train)].tolist() == [f"00/{i}" for i in range(3000)]
    tail = frames.take(select(frames, protocol.query))
    assert tail.frame_id[tail.traversal == "00"].tolist() == [f"00/{i}" for i in range(3000, 3100)]
    assert set(tail.traversal) == {"00", "02", "05", "06", "08"}
    assert [PROTOCOLS[n].own_frame for n in ("kitti-00head-10m", "kitti-00head-10m-own-frame")] == ["drop", "keep"]


def test_vivid_thins_campus_by_count_and_city_by_path() -> None:
    by_place = {name: PROTOCOLS[f"vivid-{name}-night-day2"] for name in ("campus", "city")}
    assert (by_place["campus"].query.count, by_place["campus"].query.spacing_m) == (1500, None)
    assert (by_place["city"].query.count, by_place["city"].query.spacing_m) == (None, 20.0)
    assert by_place["city"].pairs == (("city_night", "city_day2"), ("city_day2", "city_night"))
    assert len(PROTOCOLS["vivid-vxp"].pairs) == 8
    whole = {
        (part.traversals[0].partition("_")[0], part.count, part.spacing_m)
        for part in PROTOCOLS["vivid-vxp"].query.alternatives()
    }
    assert whole == {("campus", 1500, None), ("city", None, 20.0)}


def test_boreas_has_the_published_runs_radii_and_a_twin_without_headings() -> None:
    assert (len(DXPR_RUNS), len(RANGEBEV_RUNS), len(UNIMPR_QUERIES)) == (8, 28, 4)
    assert not {*DXPR_RUNS, *RANGEBEV_RUNS, *UNIMPR_QUERIES, UNIMPR_DATABASE} & set(WITHOUT_POSES)
    boreas = [p for p in TABLE if p.dataset == "boreas"]
    for protocol in boreas:
        if not protocol.name.endswith("-any-heading"):
            twin = PROTOCOLS[f"{protocol.name}-any-heading"]
            assert (protocol.heading_limit_rad, twin.heading_limit_rad) == (np.radians(60), None)
            assert (protocol.query, protocol.database, protocol.radius_m) == (twin.query, twin.database, twin.radius_m)
    rules = {p.name: (p.radius_m, p.query.spacing_m, p.pairs, p.own_frame) for p in boreas}
    assert rules["boreas-5m"] == (5.0, 5.0, "across", "drop")
    assert rules["boreas-5m-within"] == (5.0, 5.0, "within", "keep")
    assert rules["boreas-rangebev"] == (25.0, 10.0, "across", "drop")
    assert rules["boreas-unimpr"] == (9.0, 0.2, "across", "drop")


def test_only_the_few_queries_of_the_kitti_squares_are_not_ranked() -> None:
    assert [p.name for p in TABLE if not p.is_ranked] == ["kitti-vxp", "kitti-vxp-as-published"]
