"""Error bars that know about correlated queries.

Neighbouring frames succeed and fail together, and so do all queries of one drive. Single queries as units would
give intervals far too narrow. Here the unit is a whole traversal where at least ten take part, else a block of the map.

**Traversals.** A traversal asks and is searched, so that every pair that it takes part in falls out with it (a
jackknife). The interval says what other drives over the same places would give; it says nothing of other places.

**Blocks.** Success is correlated along the road. How far it carries is estimated from the data (see :func:`fades_m`),
and blocks are four times as long. Every visit to a place falls into one block, whatever the traversal. The interval
says what other places like these would give to the same drives.

Few units are corrected for. Ends come from Student's t, with fewer degrees of freedom where few units carry the
weight or the variance. The correlation that borders of blocks cut off is added (:attr:`Units.unseen`). Ends of a share
are computed as log odds.

Coverage of nominal 95 % intervals was simulated with known truth (tests/benchmark/evaluation/test_coverage.py):

- 92 to 97 % for 23 traversals at the places they drove. At other places, which this unit says nothing of, it was 78 %.
- 92 to 95 % for three traversals of 1.5 km where success fades over 25 or 50 m. Map blocks of 50 m with a percentile
  bootstrap, the former rule, gave 72 to 85 %.
- 89 to 96 % in harder cases: recall of 5 or 95 %, fading over 100 m, a grid of streets, a road driven in both
  directions. The least are a grid of streets at 50 m, and uneven recall at 100 m.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree
from scipy.special import betaincinv, expit, logit, stdtrit

FEWEST_TRAVERSALS = 10
"""With fewer traversals, blocks of the map are resampled."""
FEWEST_BLOCKS = 12
"""Blocks are made shorter until they count for as many as this. Fewer could hardly tell ten methods apart."""
SHORTEST_M = 50.0
"""Blocks are at least this long, unless the map is too small for it."""
PLACE_M = 10.0
"""Queries this near are one place when the correlation is estimated. Blocks are never shorter."""
REACH_M = 300.0
"""Places farther apart than this are not looked at when the correlation is estimated."""
FADES_M = np.geomspace(5.0, 200.0, 40)
"""Lengths of correlation that are tried."""
BLOCK_FADES = 4.0
"""Length of a block as a multiple of the correlation's."""
TAIL = 0.025
CERTAIN = 1e-12
"""A share this near to 0 or 1 is taken for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Lower and upper end of a 95 % interval; both nan where none can be given."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """What is left out, one after the other: traversals or blocks of the map."""

    words: str
    """The same for a reader, as in "23 traversals" or "37 blocks of 90 m"."""
    item: Int[ndarray, " n"]
    """The traversal pair, or the block, of each query: 0, 1, …"""
    members: Int[ndarray, "i 2"]
    """The units with which an item falls out: both traversals of a pair, or the block itself and -1."""
    group: Int[ndarray, " u"]
    """Units of one number are alike: traversals that ask, that are searched, or that do both."""
    unseen: float = 0.0
    """Share of the variance that blocks do not see, because success is correlated across their borders."""


# --- units ---------------------------------------------------------------------------------------


def units_of(
    pairs: ndarray,
    pair: Int[ndarray, " n"],
    world: ndarray,
    position_m: Float[ndarray, "n _"],
    values: Float[ndarray, "n m"],
    weights: Float[ndarray, " n"],
) -> Units:
    """The units of queries: traversals where enough take part, else blocks of the map.

    ``pairs`` holds the names of the asking and the searched traversal in each row, and ``pair`` the row of each query.
    The other arguments are those of :func:`block_units`.
    """
    return traversal_units(pairs, pair) or block_units(world, position_m, values, weights)


def traversal_units(pairs: ndarray, pair: Int[ndarray, " n"]) -> Units | None:
    """Traversals as units, or none where fewer than ``FEWEST_TRAVERSALS`` can be left out.

    A traversal that is alone in its role (the one map that all search) stays in: nothing says how others would do.
    """
    used, item = np.unique(pair, return_inverse=True)
    names, members = np.unique(np.asarray(pairs).astype(str)[used], return_inverse=True)
    members = members.reshape(-1, 2)
    asks, is_searched = (np.bincount(column, minlength=len(names)) > 0 for column in members.T)
    role = asks + 2 * is_searched
    is_alone = np.bincount(role, minlength=4)[role] < 2
    number = np.where(is_alone, -1, np.cumsum(~is_alone) - 1)
    if (n_units := int((~is_alone).sum())) < FEWEST_TRAVERSALS:
        return None
    members = np.sort(number[members], axis=1)[:, ::-1]
    members[members[:, 0] == members[:, 1], 1] = -1
    return Units(words=f"{n_units} traversals", item=item.reshape(-1), members=members, group=role[~is_alone])


def block_units(
    world: ndarray,
    position_m: Float[ndarray, "n _"],
    values: Float[ndarray, "n m"],
    weights: Float[ndarray, " n"],
) -> Units:
    """Blocks of the map as units, as long as the correlation of ``values`` (a column a metric) asks for."""
    side_m, fades = block_side_m(world, position_m, values, weights)
    block, _ = map_blocks(world, position_m, side_m)
    n_blocks = int(block.max(initial=-1)) + 1
    return Units(
        words=f"{n_blocks} block{'s' * (n_blocks != 1)} of {side_m:g} m",
        item=block,
        members=np.column_stack([np.arange(n_blocks), np.full(n_blocks, -1)]),
        group=np.zeros(n_blocks, dtype=np.int64),
        unseen=(1 - math.exp(-side_m / fades)) * fades / side_m if fades else 0.0,
    )


def block_side_m(
    world: ndarray,
    position_m: Float[ndarray, "n _"],
    values: Float[ndarray, "n m"],
    weights: Float[ndarray, " n"],
) -> tuple[float, float]:
    """The side of blocks, and the distance over which success fades (:func:`fades_m`), both in metres.

    Sides are at least ``SHORTEST_M``, and shorter only where blocks would count for fewer than ``FEWEST_BLOCKS``.
    """
    number, offset_m, _ = _on_the_map(world, position_m)
    fades = _fades_m(number, offset_m, values, weights)
    side_m = max(5.0 * math.ceil(BLOCK_FADES * fades / 5), SHORTEST_M)
    while side_m > PLACE_M:
        block, _ = _squares(number, offset_m, side_m)
        if _effective_number(np.bincount(block, weights)) >= FEWEST_BLOCKS:
            break
        side_m = max(float(math.floor(0.9 * side_m)), PLACE_M)
    return side_m, fades


def map_blocks(
    world: ndarray, position_m: Float[ndarray, "n _"], side_m: float
) -> tuple[Int[ndarray, " n"], Float[ndarray, "b 2"]]:
    """The block (0, 1, …) of each query, and the south-west corner (east, north) of each block in metres.

    Blocks are squares of a grid that begins at the least east and north of each world. ``position_m`` starts with east
    and north, and counts as float32, as it is published.
    """
    number, offset_m, origin_m = _on_the_map(world, position_m)
    block, first = _squares(number, offset_m, side_m)
    return block, origin_m[number[first]] + side_m * np.floor(offset_m[first] / side_m)


def _on_the_map(
    world: ndarray, position_m: Float[ndarray, "n _"]
) -> tuple[Int[ndarray, " n"], Float[ndarray, "n 2"], Float[ndarray, "w 2"]]:
    """The number of each query's world, its offset from that world's origin, and the origins (east, north)."""
    east_north = position_m[:, :2].astype(np.float32).astype(np.float64)
    names, number = np.unique(world.astype(str), return_inverse=True)
    number, origin_m = number.reshape(-1), np.full((len(names), 2), np.inf)
    np.minimum.at(origin_m, number, east_north)
    return number, east_north - origin_m[number], origin_m


def _squares(
    number: Int[ndarray, " n"], offset_m: Float[ndarray, "n 2"], side_m: float
) -> tuple[Int[ndarray, " n"], Int[ndarray, " b"]]:
    """The square of each query, and a query of each square; ordered by world, east and north."""
    east, north = np.floor(offset_m / side_m).astype(np.int64).T
    n_east, n_north = east.max(initial=0) + 1, north.max(initial=0) + 1
    key = (number * n_east + east) * n_north + north
    _, first, block = np.unique(key, return_index=True, return_inverse=True)
    return block.reshape(-1), first


def fades_m(
    world: ndarray,
    position_m: Float[ndarray, "n _"],
    values: Float[ndarray, "n m"],
    weights: Float[ndarray, " n"],
) -> float:
    """The distance in metres over which the correlation of ``values`` falls to 1/e; 0 where none is seen.

    Deviations from the mean are summed by place, and their products are averaged by distance. What remains is a fit of
    a · exp(−distance / length) by least squares, at distances above 0. Each column counts with its own variance.
    """
    number, offset_m, _ = _on_the_map(world, position_m)
    return _fades_m(number, offset_m, values, weights)


def _fades_m(
    number: Int[ndarray, " n"],
    offset_m: Float[ndarray, "n 2"],
    values: Float[ndarray, "n m"],
    weights: Float[ndarray, " n"],
) -> float:
    place, first = _squares(number, offset_m, PLACE_M)
    if len(first) < 2:
        return 0.0
    residual = weights[:, None] * (values - np.average(values, axis=0, weights=weights))
    residual = _sums(place, residual)
    spread = np.sqrt(np.mean(residual**2, axis=0))
    varies = spread > 1e-9 * np.abs(weights).mean()
    residual = residual[:, varies] / spread[varies]
    middle_m = _sums(place, offset_m) / np.bincount(place)[:, None]
    apart = np.column_stack([middle_m, number[first] * 1e9])  # worlds never meet
    one, other = cKDTree(apart).query_pairs(REACH_M, output_type="ndarray").T
    distance_m = np.hypot(*(middle_m[one] - middle_m[other]).T)
    lag = (distance_m / PLACE_M).astype(np.int64)
    n_products, products = np.bincount(lag), np.bincount(lag, (residual[one] * residual[other]).sum(axis=1))
    shape = np.exp(-np.bincount(lag, distance_m) / np.maximum(n_products, 1) / FADES_M[:, None])
    along, norm = shape @ products, shape**2 @ n_products
    explained = np.where((along > 0) & (norm > 0), along**2 / np.maximum(norm, 1e-300), 0.0)
    return float(FADES_M[np.argmax(explained)]) if explained.any() else 0.0


def _sums(part: Int[ndarray, " n"], columns: Float[ndarray, "n m"]) -> Float[ndarray, "p m"]:
    """Sums of each column over parts."""
    return np.stack([np.bincount(part, column) for column in columns.T], axis=1)


# --- weights -------------------------------------------------------------------------------------


def equal_pair_weights(pair: Int[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Weights of queries under which every traversal pair (numbered 0, 1, …) weighs the same."""
    return 1.0 / np.bincount(pair)[pair]


def headline_weights(pair: Int[ndarray, " n"], averaging: str) -> Float[ndarray, " n"]:
    """Weights of queries in the headline number of a protocol with this ``averaging``: ``pairs`` or ``queries``."""
    return equal_pair_weights(pair) if averaging == "pairs" else np.ones(len(pair))


# --- intervals -----------------------------------------------------------------------------------


def mean_interval(
    values: Float[ndarray, " n"] | Bool[ndarray, " n"],
    units: Units,
    weights: Float[ndarray, " n"] | None = None,
    *,
    is_share: bool = True,
) -> Interval:
    """95 % interval of the weighted mean of ``values`` (hits: the recall), from leaving out one unit at a time.

    ``weights`` (default: all equal) must be those of the headline number, see :func:`headline_weights`. Fewer than two
    units give nan.

    A share lies within 0 and 1. Its interval is never wider than that of Clopper and Pearson with a query a unit, in
    which units succeed or fail as a whole. That one remains where all failed, or all succeeded, and no spread is seen.
    """
    weights = np.ones(len(values)) if weights is None else weights
    if len(units.group) < 2:
        return Interval(low=math.nan, high=math.nan)
    found = _left_out(np.asarray(values, dtype=np.float64), units, weights)
    value, reach = found.value, stdtrit(found.degrees, 1 - TAIL) * found.error(units)
    if not is_share:
        return Interval(low=value - reach, high=value + reach)
    low, high = _clopper_pearson(value, found.effective_number * (1 - units.unseen))
    if CERTAIN < value < 1 - CERTAIN:
        ends = expit(logit(value) + np.array([-1, 1]) * reach / (value * (1 - value)))
        low, high = max(low, min(float(ends[0]), value)), min(high, max(float(ends[1]), value))
    return Interval(low=low, high=high)


def _clopper_pearson(share: float, n: float) -> tuple[float, float]:
    """Ends of the exact interval of a share of ``n`` independent outcomes; ``n`` need not be whole."""
    share = min(max(share, 0.0), 1.0)
    hits, misses = n * share, n * (1 - share)
    low = float(betaincinv(hits, misses + 1, TAIL)) if share > CERTAIN else 0.0
    return low, float(betaincinv(hits + 1, misses, 1 - TAIL)) if share < 1 - CERTAIN else 1.0


def difference_interval(
    values: Float[ndarray, " n"] | Bool[ndarray, " n"],
    other_values: Float[ndarray, " n"] | Bool[ndarray, " n"],
    units: Units,
    weights: Float[ndarray, " n"] | None = None,
) -> Interval:
    """95 % interval of the mean of one method minus that of another on the same queries.

    Values may be means over seeds. Ends may lie beyond −1 and 1.
    """
    return mean_interval(np.asarray(values, dtype=np.float64) - other_values, units, weights, is_share=False)


def contributions(
    values: Float[ndarray, " n"], units: Units, weights: Float[ndarray, " n"] | None = None
) -> Float[ndarray, " u"]:
    """What each unit adds to the weighted mean of ``values``; where an item has one unit, they sum to the mean.

    Pairs of traversals belong to two units. Their part is then the pseudo-value of the jackknife, divided by their
    number, whose spread is that of the mean.
    """
    weights = np.ones(len(values)) if weights is None else weights
    found = _left_out(np.asarray(values, dtype=np.float64), units, weights)
    if (units.members[:, 1] < 0).all() and (units.members[:, 0] >= 0).all():
        return np.bincount(units.item, weights * values) / weights.sum()
    return found.value / len(units.group) + found.moved * np.sqrt(_scale(units.group))


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeftOut:
    """A weighted mean, and how it moves when units are left out."""

    value: float
    moved: Float[ndarray, " u"]
    """Root of each unit's part of the variance, with the sign of what it adds to the mean."""
    effective_number: float
    """Units of equal weight that would count for as much."""
    twice: float
    """Variance that pairs of traversals bring by themselves, which both of their traversals count."""

    @property
    def degrees(self) -> float:
        """Degrees of freedom of the variance: few where few units carry the weight, or bring the variance."""
        fourth = float((self.moved**4).sum())
        even = 3 * float((self.moved**2).sum()) ** 2 / fourth if fourth > 0 else math.inf
        return max(min(even, self.effective_number) - 1, 1.0)

    def error(self, units: Units) -> float:
        """Standard error of the mean."""
        return math.sqrt((float((self.moved**2).sum()) - self.twice) / (1 - units.unseen))


def _left_out(values: Float[ndarray, " n"], units: Units, weights: Float[ndarray, " n"]) -> _LeftOut:
    n_items = len(units.members)
    total, weight = (np.bincount(units.item, column, n_items) for column in (weights * values, weights))
    value, gone = float(total.sum() / weight.sum()), _of_units(weight, units)
    deviation = total - value * weight
    without = -_of_units(deviation, units) / (weight.sum() - gone)  # of the mean, when a unit is left out
    middle = np.bincount(units.group, without) / np.maximum(np.bincount(units.group), 1)
    moved = (middle[units.group] - without) * np.sqrt(_scale(units.group))
    return _LeftOut(
        value=value,
        moved=moved,
        effective_number=_effective_number(gone),
        twice=_counted_twice(deviation / weight.sum(), units, float((moved**2).sum())),
    )


def _counted_twice(part: Float[ndarray, " i"], units: Units, variance: float) -> float:
    """What pairs bring to ``variance`` beyond their traversals: at most half, because it is counted twice.

    With a variance A of traversals and B of pairs, n units see A + 2 B, and squares of pairs sum to B + A / (n − 1).
    """
    is_pair, n = units.members[:, 1] >= 0, len(units.group)
    seen = float((_of_units(part, units) ** 2).sum())
    if not is_pair.any() or seen <= 0 or n <= 3:
        return 0.0
    _, both = np.unique(units.members[is_pair], axis=0, return_inverse=True)
    squares = float((np.bincount(both.reshape(-1), part[is_pair]) ** 2).sum()) * variance / seen
    return min(max(((n - 1) * squares - variance) / (n - 3), 0.0), variance / 2)


def _of_units(column: Float[ndarray, " i"], units: Units) -> Float[ndarray, " u"]:
    """Sums over the items of each unit."""
    sums = np.zeros(len(units.group))
    for member in units.members.T:
        sums += np.bincount(member[member >= 0], column[member >= 0], len(sums))
    return sums


def _scale(group: Int[ndarray, " u"]) -> Float[ndarray, " u"]:
    """The jackknife's (n − 1) / n, with the number of units that are alike."""
    n = np.bincount(group)[group]
    return (n - 1) / n


def _effective_number(weight: Float[ndarray, " u"]) -> float:
    """Units of equal weight that would count for as much."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0
