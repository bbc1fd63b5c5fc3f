"""The protocols on Boreas, for the table in `datasets.protocols`; docs/protocols.md says where each comes from.

All runs drive one route out and back, so places of training and test are apart only where the route is cut. Each
protocol exists with a limit of headings and, as ``-any-heading``, without one.
"""

import math
from dataclasses import replace

from datasets.base import Protocol, Region, Selection, Split
from datasets.boreas.layout import CONDITIONS

HEADING_LIMIT_RAD = math.radians(60)
"""The limit that UniMPR has. Without one, a quarter to a half of the right answers are the other lane."""

DXPR_RUNS = (
    "2020-12-01-13-26", "2020-12-18-13-44", "2021-03-30-14-23", "2021-04-29-15-55", "2021-06-17-17-52",
    "2021-07-20-17-33", "2021-09-02-11-42", "2021-09-14-20-00",
)  # fmt: skip
"""The eight runs of DXPR's Table I."""
RANGEBEV_RUNS = tuple(
    run for run in CONDITIONS if run not in ("2021-07-20-17-33", "2021-07-27-14-43", "2021-09-14-20-00")
)
"""The 28 runs of pyboreas' ``loc_train``, which RangeBEV takes."""
UNIMPR_DATABASE = "2020-12-18-13-44"
UNIMPR_QUERIES = ("2021-01-26-11-22", "2021-04-29-15-55", "2021-09-14-20-00", "2021-11-16-14-10")

# The route's south asks, 2.4 of 7.9 km. Between it and the validation places, and between these and the training
# places, 100 m belong to none.
_TEST = Region.between((-500.0, 300.0), (-200.0, 700.0))
_VALIDATION = Region.between((-500.0, -200.0), (800.0, 1250.0))
_NOT_TRAINED = Region.between((-600.0, 300.0), (-200.0, 1350.0))
_APART = Split(
    train=Selection(outside=(_NOT_TRAINED,), spacing_m=5.0),
    validation=Selection(regions=(_VALIDATION,), spacing_m=5.0),
    heading_limit_rad=HEADING_LIMIT_RAD,
)

RANGEBEV_RECTANGLES = (
    Region.between((-150.0, -50.0), (0.0, 100.0)),
    Region.between((-420.0, -380.0), (950.0, 1100.0)),
    Region.between((-1200.0, -1100.0), (950.0, 1050.0)),
    Region.between((-950.0, -830.0), (1950.0, 2100.0)),
)
"""The published test places."""
# The published split has no validation places. This stretch is more than 200 m from every rectangle.
_RANGEBEV_VALIDATION = Region.between((-1300.0, -1100.0), (1300.0, 1600.0))


def _other_days(*tested: str) -> Split:
    """Training and validation on runs that are not ``tested``, anywhere on the route."""
    others = tuple(run for run in CONDITIONS if run not in tested)
    return replace(
        _APART,
        train=Selection(traversals=others[:-1], spacing_m=5.0),
        validation=Selection(traversals=others[-1:], spacing_m=5.0),
    )


_5M = Protocol(
    name="boreas-5m",
    version=1,
    title="Boreas: eight runs against each other, in the south, same heading, 5 m",
    dataset="boreas",
    split=_APART,
    query=Selection(traversals=DXPR_RUNS, regions=(_TEST,), spacing_m=5.0),
    database=Selection(traversals=DXPR_RUNS, spacing_m=5.0),
    pairs="across",
    radius_m=5.0,
    heading_limit_rad=HEADING_LIMIT_RAD,
)
_WITHIN = replace(
    _5M,
    name="boreas-5m-within",
    title="Boreas: each of eight runs against itself, own frame kept, in the south, same heading, 5 m",
    pairs="within",
    own_frame="keep",
)
_RANGEBEV = replace(
    _5M,
    name="boreas-rangebev",
    title="Boreas, RangeBEV: 28 runs against each other in four rectangles, every 10 m, same heading, 25 m",
    # The published training begins at the edge of the rectangles; here it begins where a negative may be.
    split=Split(
        train=Selection(
            traversals=RANGEBEV_RUNS,
            outside=tuple(region.grown(50.0) for region in (*RANGEBEV_RECTANGLES, _RANGEBEV_VALIDATION)),
            spacing_m=10.0,
        ),
        validation=Selection(traversals=RANGEBEV_RUNS, regions=(_RANGEBEV_VALIDATION,), spacing_m=10.0),
        negative_m=50.0,
        heading_limit_rad=HEADING_LIMIT_RAD,
    ),
    query=Selection(traversals=RANGEBEV_RUNS, regions=RANGEBEV_RECTANGLES, spacing_m=10.0),
    database=Selection(traversals=RANGEBEV_RUNS, regions=RANGEBEV_RECTANGLES, spacing_m=10.0),
    radius_m=25.0,
)
_UNIMPR = replace(
    _5M,
    name="boreas-unimpr",
    title="Boreas, UniMPR: snow, rain, night and autumn, asked of one winter run, in the south, same heading, 9 m",
    split=replace(_APART, negative_m=12.0, positive_m=9.0),
    query=Selection(traversals=UNIMPR_QUERIES, regions=(_TEST,), spacing_m=0.2),
    database=Selection(traversals=(UNIMPR_DATABASE,), spacing_m=0.2),
    radius_m=9.0,
)


def _whole_route(protocol: Protocol, *tested: str) -> Protocol:
    """``protocol`` with queries everywhere: training places are test places then, on other days."""
    split = _other_days(*tested)
    return replace(
        protocol,
        name=f"{protocol.name}-whole-route",
        title=protocol.title.replace("in the south", "whole route"),
        split=replace(split, positive_m=protocol.split.positive_m, negative_m=protocol.split.negative_m),
        query=replace(protocol.query, regions=()),
    )


def _any_heading(protocol: Protocol) -> Protocol:
    """``protocol`` without the limit of headings: the other lane is right too."""
    return replace(
        protocol,
        name=f"{protocol.name}-any-heading",
        title=protocol.title.replace("same heading", "any heading"),
        split=replace(protocol.split, heading_limit_rad=None),
        heading_limit_rad=None,
    )


_WITH_LIMIT = (
    _5M,
    _whole_route(_5M, *DXPR_RUNS),
    _WITHIN,
    _RANGEBEV,
    _UNIMPR,
    _whole_route(_UNIMPR, UNIMPR_DATABASE, *UNIMPR_QUERIES),
)
BOREAS = tuple(twin for protocol in _WITH_LIMIT for twin in (protocol, _any_heading(protocol)))
