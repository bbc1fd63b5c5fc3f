"""Every protocol of the suite, as one readable table. docs/protocols.md compares them and says where each comes from.

A variant ``-as-published`` does what the authors' evaluator and split did, where that differs from the right rule.
Examples are a search of limited depth, model selection on test places, and a distance without one component.
"""

from dataclasses import replace

from datasets.base import OnePercent, Protocol, Region, Selection, Split
from datasets.boreas.protocols import BOREAS

# --- the town ------------------------------------------------------------------------------------

_TOWN_SPLIT = Split(train=Selection(traversals=("train-*",)), validation=Selection(traversals=("validation-*",)))
_TOWN_TEST = Selection(traversals=("test-*",))  # the preset decides how far frames are apart: 5 to 12 m
_TOWN_SEEN = Selection(traversals=("test-*", "!test-night", "!test-winter"))
_TOWN_BY_DAY = Selection(traversals=("test-day", "test-day-*"))

_TOWN_ANY = Protocol(
    name="town-any",
    version=1,
    title="Procedural town: every condition against every other, night and winter too, same heading, 20 m",
    dataset="town",
    split=_TOWN_SPLIT,
    query=_TOWN_TEST,
    database=_TOWN_TEST,
    pairs="across",
    radius_m=20.0,
    heading_limit_rad=0.5,
)
_TOWN = (
    Protocol(
        name="town",
        version=2,
        title="Procedural town: another drive (light, traffic; neither night nor winter), same heading, 20 m",
        dataset="town",
        split=_TOWN_SPLIT,
        query=_TOWN_SEEN,
        database=_TOWN_SEEN,
        pairs="across",
        radius_m=20.0,
        heading_limit_rad=0.5,
    ),
    Protocol(
        name="town-night",
        version=1,
        title="Procedural town: by night, searched by day, same heading, 20 m",
        dataset="town",
        split=_TOWN_SPLIT,
        query=Selection(traversals=("test-night",)),
        database=_TOWN_BY_DAY,
        pairs="across",
        radius_m=20.0,
        heading_limit_rad=0.5,
    ),
    Protocol(
        name="town-winter",
        version=1,
        title="Procedural town: in winter, searched in summer by day, same heading, 20 m",
        dataset="town",
        split=_TOWN_SPLIT,
        query=Selection(traversals=("test-winter",)),
        database=_TOWN_BY_DAY,
        pairs="across",
        radius_m=20.0,
        heading_limit_rad=0.5,
    ),
    # Also by night and in winter, as query and as map: what is right is found under every pair of conditions.
    _TOWN_ANY,
    # A query is asked of maps that were driven the other way. Every test drive holds both directions of each street,
    # so the rule leaves out of the map what has the query's own heading.
    replace(
        _TOWN_ANY,
        name="town-any-opposite",
        title="Procedural town: every condition against every other, map driven the other way, 20 m",
        travel="opposite",
    ),
    # A tour drives every street once in each direction, so it returns to a place with the opposite heading. With a
    # heading limit, only chance meetings at junctions would remain. The LiDAR sees all around, the camera only ahead.
    # In half a minute a vehicle drives about 200 m of path, more than the side of a block.
    Protocol(
        name="town-revisit",
        version=1,
        title="Procedural town: back within one drive, after 30 s or more, any heading, 20 m",
        dataset="town",
        split=_TOWN_SPLIT,
        query=_TOWN_TEST,
        database=_TOWN_TEST,
        pairs="within",
        radius_m=20.0,
        min_gap_s=30.0,
        earlier_only=True,
    ),
)

# --- Oxford RobotCar -----------------------------------------------------------------------------

OXFORD_RUNS = (
    "2014-11-14-16-34-33", "2014-11-18-13-20-12", "2014-12-02-15-30-08", "2014-12-09-13-21-02",
    "2014-12-10-18-10-50", "2014-12-12-10-45-15", "2014-12-16-09-14-09", "2014-12-16-18-44-24",
    "2015-02-03-08-45-10", "2015-02-10-11-58-05", "2015-02-13-09-16-26", "2015-02-17-14-42-12",
    "2015-03-10-14-18-10", "2015-03-17-11-08-44", "2015-05-19-14-06-38", "2015-06-09-15-06-29",
    "2015-08-12-15-04-18", "2015-08-13-16-02-58", "2015-08-14-14-54-57", "2015-08-28-09-50-22",
    "2015-10-30-13-52-14", "2015-11-12-11-22-05", "2015-11-13-10-28-08",
)  # fmt: skip
"""The 23 full runs that both PointNetVLAD and VXP test on."""

_OXFORD_TEST = (  # UTM 30U, the regions of PointNetVLAD
    Region(east_m=620084.402381, north_m=5735712.768124, half_side_m=150.0),
    Region(east_m=620540.270327, north_m=5735611.299219, half_side_m=150.0),
    Region(east_m=620543.094379, north_m=5735237.358209, half_side_m=150.0),
    Region(east_m=619932.693364, north_m=5734749.303802, half_side_m=150.0),
)
# Candidates were all squares on a grid of 10 m that stay 100 m clear of the test regions. This one holds most of
# PointNetVLAD's places: 1,110 of 9,492, and at least 45 of each run.
_OXFORD_VALIDATION = (Region(east_m=620000.0, north_m=5735310.0, half_side_m=150.0),)
_OXFORD_QUERY = Selection(traversals=OXFORD_RUNS, regions=_OXFORD_TEST)
_OXFORD_DATABASE = Selection(traversals=OXFORD_RUNS)

_OXFORD_VXP = Protocol(
    name="oxford-vxp",
    version=1,
    title="Oxford RobotCar, VXP: 23 runs against each other, queries in four squares, same heading, 20 m",
    dataset="oxford",
    split=Split(
        train=Selection(outside=_OXFORD_TEST + _OXFORD_VALIDATION),
        validation=Selection(regions=_OXFORD_VALIDATION),
    ),
    query=_OXFORD_QUERY,  # every prepared frame; they are 5 m apart
    database=_OXFORD_DATABASE,
    pairs="across",
    radius_m=20.0,
    heading_limit_rad=0.5,
)
_OXFORD_POINTNETVLAD = Protocol(
    name="oxford-pointnetvlad",
    version=1,
    title="Oxford RobotCar, PointNetVLAD: 23 runs against each other, places every 20 m, any heading, 25 m",
    dataset="oxford",
    split=Split(
        train=Selection(outside=_OXFORD_TEST + _OXFORD_VALIDATION, spacing_m=10.0),
        validation=Selection(regions=_OXFORD_VALIDATION, spacing_m=10.0),
        negative_m=50.0,
        heading_limit_rad=None,
    ),
    query=replace(_OXFORD_QUERY, spacing_m=20.0),
    database=replace(_OXFORD_DATABASE, spacing_m=20.0),
    pairs="across",
    radius_m=25.0,
)
_OXFORD = (
    _OXFORD_VXP,
    replace(
        _OXFORD_VXP,
        name="oxford-vxp-as-published",
        title="Oxford RobotCar, VXP as published: model selection in the test squares, recall@1% up to 25",
        split=Split(train=Selection(outside=_OXFORD_TEST), validation=Selection(regions=_OXFORD_TEST)),
        one_percent=OnePercent(cap=25),
    ),
    _OXFORD_POINTNETVLAD,
    replace(
        _OXFORD_POINTNETVLAD,
        name="oxford-pointnetvlad-as-published",
        title="Oxford RobotCar, PointNetVLAD as published: model selection in the test squares, recall@1% up to 25",
        split=replace(
            _OXFORD_POINTNETVLAD.split,
            train=Selection(outside=_OXFORD_TEST, spacing_m=10.0),
            validation=Selection(regions=_OXFORD_TEST, spacing_m=10.0),
        ),
        one_percent=OnePercent(cap=25),
    ),
)

# --- KITTI odometry ------------------------------------------------------------------------------

_KITTI_11_TO_21 = Selection(traversals=tuple(str(n) for n in range(11, 22)))
_KITTI_10 = Selection(traversals=("10",))  # it visits no place twice, so no protocol can test on it
_KITTI_SYNCHRONOUS = Selection(traversals=("00", "02", "05", "06", "07", "08"))
# Every sequence of 00 to 10 that returns to within 10 m of where it was at least 30 s before; 01, 03, 04 and 10 do not.
_KITTI_REVISITING = Selection(traversals=("00", "02", "05", "06", "07", "08", "09"))


def _boxes(*centres: tuple[float, float]) -> tuple[Region, ...]:
    return tuple(Region(east_m=e, north_m=n, half_side_m=50.0, frame="mercator") for e, n in centres)


# VXP's squares, on each drive's own Mercator map. In VXP's files the column called northing holds the east.
_KITTI_BOXES = {
    "00": _boxes((613180.0, 4116330.0), (613050.0, 4116230.0), (613050.0, 4116570.0), (613135.0, 4116455.0)),
    "02": _boxes((619375.0, 4116915.0), (619400.0, 4116800.0), (619400.0, 4116700.0), (619390.0, 4116450.0)),
}
_KITTI_00, _KITTI_02 = Selection(traversals=("00",)), Selection(traversals=("02",))
_KITTI_IN_BOXES = replace(_KITTI_00, regions=_KITTI_BOXES["00"], also=(replace(_KITTI_02, regions=_KITTI_BOXES["02"]),))
_KITTI_OUT_OF_BOXES = (
    replace(_KITTI_00, outside=_KITTI_BOXES["00"]),
    replace(_KITTI_02, outside=_KITTI_BOXES["02"]),
)
_KITTI_00_TAIL = Selection(
    traversals=("02", "05", "06", "08"), also=(Selection(traversals=("00",), rows=(3000, None)),)
)

_KITTI_VXP = Protocol(
    name="kitti-vxp",
    version=1,
    title="KITTI odometry, VXP: 00 and 02 every 20 m, queries in small squares, 10 s earlier, same heading, 20 m",
    dataset="kitti",
    # 07 is the shortest of 03 to 10 that returns to places more than once, and it returns in the same direction.
    split=Split(
        train=Selection(traversals=("03", "04", "05", "06", "08", "09", "10"), also=_KITTI_OUT_OF_BOXES),
        validation=Selection(traversals=("07",)),
    ),
    query=Selection(
        traversals=("00",),
        regions=_KITTI_BOXES["00"],
        spacing_m=20.0,
        also=(Selection(traversals=("02",), regions=_KITTI_BOXES["02"], spacing_m=20.0),),
    ),
    database=Selection(traversals=("00", "02"), spacing_m=20.0),
    pairs="within",
    radius_m=20.0,
    heading_limit_rad=0.5,
    min_gap_s=10.0,
    earlier_only=True,
    is_ranked=False,
)
_KITTI_REVISIT = Protocol(
    name="kitti-revisit",
    version=1,
    title="KITTI odometry: back within one sequence after more than 30 s, all seven that come back, any heading, 10 m",
    dataset="kitti",
    split=Split(train=_KITTI_11_TO_21, validation=_KITTI_10),
    query=_KITTI_REVISITING,
    database=_KITTI_REVISITING,
    pairs="within",
    radius_m=10.0,
    min_gap_s=30.0,
    earlier_only=True,
    averaging="queries",  # the 26 queries of 09 must not weigh as much as the 908 of 00
)
_KITTI_00_HEAD = Protocol(
    name="kitti-00head-10m",
    version=1,
    title="KITTI odometry, P-I2P: trained on the head of 00, each sequence against itself, own frame dropped, 10 m",
    dataset="kitti",
    split=Split(train=Selection(traversals=("00",), rows=(0, 3000)), validation=_KITTI_10),
    query=_KITTI_00_TAIL,
    database=_KITTI_00_TAIL,
    pairs="within",
    radius_m=10.0,
)
_LIPLOC = Protocol(
    name="liploc",
    version=1,
    title="KITTI odometry, LIP-Loc: 08 and 09 each against itself, own frame kept, 20 m",
    dataset="kitti",
    split=Split(train=Selection(traversals=tuple(f"0{n}" for n in range(8))), validation=_KITTI_10),
    query=Selection(traversals=("08", "09")),
    database=Selection(traversals=("08", "09")),
    pairs="within",
    radius_m=20.0,
    own_frame="keep",
)
_KITTI_CMRNET = Protocol(
    name="kitti-cmrnet",
    version=1,
    title="KITTI odometry, CMRNet: 00 within itself, more than 2 s away, 10 m; trained on 03 and 05 to 09",
    dataset="kitti",
    # Published: the map holds the query's own sweep, and the weights were chosen on 00.
    split=Split(train=Selection(traversals=("03", "05", "06", "07", "08", "09")), validation=_KITTI_10),
    query=Selection(traversals=("00",)),
    database=Selection(traversals=("00",)),
    pairs="within",
    radius_m=10.0,
    min_gap_s=2.0,
)
_KITTI = (
    _KITTI_CMRNET,
    _KITTI_VXP,
    replace(
        _KITTI_VXP,
        name="kitti-vxp-as-published",
        title="KITTI odometry, VXP as published: model selection in the test squares, 51 neighbours then filtered",
        split=Split(
            train=Selection(traversals=tuple(f"{n:02d}" for n in range(3, 11)), also=_KITTI_OUT_OF_BOXES),
            validation=_KITTI_IN_BOXES,
        ),
        search_depth=51,
        one_percent=OnePercent(cap=25),
    ),
    _KITTI_REVISIT,
    replace(
        _KITTI_REVISIT,
        name="kitti-revisit-same-direction",
        title="KITTI odometry: back within one sequence after more than 30 s, in the same direction, 10 m",
        heading_limit_rad=0.5,
    ),
    # The protocol of the KITTI tables of ModaLink and RangeBEV: one sequence against itself, and neighbours in time
    # count as found.
    Protocol(
        name="kitti-synchronous-10m",
        version=1,
        title="KITTI odometry: each sequence against itself, own frame dropped, 10 m",
        dataset="kitti",
        split=Split(train=_KITTI_11_TO_21, validation=_KITTI_10),
        query=_KITTI_SYNCHRONOUS,
        database=_KITTI_SYNCHRONOUS,
        pairs="within",
        radius_m=10.0,
    ),
    # It is not known whether a query could find its own frame in the published tables: here are both protocols.
    _KITTI_00_HEAD,
    replace(
        _KITTI_00_HEAD,
        name="kitti-00head-10m-own-frame",
        title="KITTI odometry, P-I2P: trained on the head of 00, each sequence against itself, own frame kept, 10 m",
        own_frame="keep",
    ),
    _LIPLOC,
    # The published code measures the distance over components 1 and 2 of the first camera's axes: down and forward.
    replace(
        _LIPLOC,
        name="liploc-as-published",
        title="KITTI odometry, LIP-Loc as published: own frame kept, 20 m without the lateral component",
        distance_axes=("east", "up"),
    ),
)

# --- ViViD++ -------------------------------------------------------------------------------------

_VIVID_PLACES = {"campus": Selection(count=1500), "city": Selection(spacing_m=20.0)}
_VIVID_CAMPUS, _VIVID_CITY = (
    replace(rule, traversals=tuple(f"{place}_{light}" for light in ("day1", "day2", "night")))
    for place, rule in _VIVID_PLACES.items()
)
_VIVID_TRAIN = Selection(traversals=("campus_day1", "city_day1"))


def _both_orders(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(ordered for a, b in pairs for ordered in ((a, b), (b, a)))


_VIVID_VXP = Protocol(
    name="vivid-vxp",
    version=1,
    title="ViViD++, VXP: day and night against another day, campus and city, any heading, 25 m; trained on day1",
    dataset="vivid",
    # All runs of a place drive the same streets. No pair tests the evening runs, so they are apart in time alone.
    split=Split(train=_VIVID_TRAIN, validation=Selection(traversals=("campus_evening", "city_evening"))),
    query=replace(_VIVID_CAMPUS, also=(_VIVID_CITY,)),
    database=replace(_VIVID_CAMPUS, also=(_VIVID_CITY,)),
    pairs=_both_orders(
        ("campus_day1", "campus_day2"),
        ("campus_night", "campus_day2"),
        ("city_day1", "city_day2"),
        ("city_night", "city_day2"),
    ),
    radius_m=25.0,
)
_VIVID = (
    _VIVID_VXP,
    *(
        replace(
            _VIVID_VXP,
            name=f"vivid-{place}-{light}-day2",
            title=f"ViViD++, VXP: {place}, {light} and day2 against each other, any heading, 25 m; trained on day1",
            query=replace(rule, traversals=(f"{place}_{light}", f"{place}_day2")),
            database=replace(rule, traversals=(f"{place}_{light}", f"{place}_day2")),
            pairs=_both_orders((f"{place}_{light}", f"{place}_day2")),
        )
        for place, rule in _VIVID_PLACES.items()
        for light in ("day1", "night")
    ),
    replace(
        _VIVID_VXP,
        name="vivid-vxp-as-published",
        title="ViViD++, VXP as published: trained on day1, model selected on day2, no headings, recall@1% up to 25",
        split=Split(
            train=_VIVID_TRAIN,
            validation=Selection(traversals=("campus_day2", "city_day2")),
            heading_limit_rad=None,  # the published code has a limit of 0.5 rad, but its files hold 0 for every yaw
        ),
        one_percent=OnePercent(cap=25),
    ),
)

PROTOCOLS: dict[str, Protocol] = {p.name: p for p in (*_TOWN, *_OXFORD, *_KITTI, *_VIVID, *BOREAS)}

OTHER_SPLITS: dict[str, tuple[Split, ...]] = {
    # Where SemanticKITTI's poses of 11-21 are missing. No sequence is left for validation: the training loss selects.
    "kitti-synchronous-10m": (
        Split(train=Selection(traversals=("01", "03", "04", "09", "10")), validation=Selection(traversals=())),
    ),
    **dict.fromkeys(
        ("kitti-revisit", "kitti-revisit-same-direction"),
        (Split(train=Selection(traversals=("01", "03", "04")), validation=_KITTI_10),),
    ),
}
"""Splits that replace a protocol's own, in this order, if the data has no frame of its training selection."""
