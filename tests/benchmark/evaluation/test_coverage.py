"""Do 95 % intervals cover the truth in 95 % of trials? Simulated with known truth; the figures are printed.

A query succeeds where a hidden normal number stays below a threshold. The number is a sum of effects of the place
(shared by all drives), the asking and the searched traversal, and their pair. Effects fade as exp(−distance / length).
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from benchmark.evaluation.intervals import block_units, map_blocks, mean_interval, traversal_units
from benchmark.evaluation.significance import difference

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shown")]
SHARED = {"all": (1.0, 0.0, 0.0), "half": (0.5, 0.3, 0.2), "none": (0.0, 0.0, 1.0)}
"""How much of the hidden variance is of the place, of each of two traversals (half of it), and of their pair."""
DRIVE = np.column_stack([5.0 * np.arange(300), np.zeros(300)])


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Print what the test printed, whether or not it passes."""
    yield
    printed = capsys.readouterr().out
    with capsys.disabled():
        sys.stdout.write(printed)


def town() -> np.ndarray:
    """Six by six streets, 100 m apart, a place each 10 m: 5.5 km of road."""
    steps, streets = np.arange(0, 501, 10.0), np.arange(0, 501, 100.0)
    return np.unique([(x, y) for s in streets for t in steps for x, y in ((s, t), (t, s))], axis=0)


def circuit() -> np.ndarray:
    """A square of 1.5 km, driven in both directions, 4 m apart."""
    along, sides = np.arange(0, 375, 5.0), []
    for turn in range(4):
        rotation = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), turn)
        for across in (0.0, -4.0):
            sides.append((np.column_stack([along, np.full(len(along), across)]) - 187.5) @ rotation)
    return np.concatenate(sides)


@dataclass
class World:
    """Places whose effects are correlated, and drives over them."""

    places_m: np.ndarray
    fades_m: float
    rng: np.random.Generator

    def __post_init__(self) -> None:
        distance = np.hypot(*np.moveaxis(self.places_m[:, None] - self.places_m, -1, 0))
        self.root = np.linalg.cholesky(np.exp(-distance / self.fades_m) + 1e-9 * np.eye(len(distance)))

    def effects(self, n: int) -> np.ndarray:
        """Normal numbers for ``n`` times all places, correlated along the road."""
        return self.rng.normal(size=(n, len(self.root))) @ self.root.T

    def hidden(self, n_drives: int, shared: str) -> np.ndarray:
        """Hidden numbers of all ordered pairs of drives and all places, with variance one."""
        asks, searched = np.array(list(permutations(range(n_drives), 2))).T
        place, drive, pair = SHARED[shared]
        asking, known = self.effects(n_drives), self.effects(n_drives)
        of_drives = math.sqrt(drive / 2) * (asking[asks] + known[searched])
        return math.sqrt(place) * self.effects(1) + of_drives + math.sqrt(pair) * self.effects(len(asks))


def interval_of_blocks(hits: np.ndarray, places_m: np.ndarray) -> tuple[float, float, float]:
    """Ends by today's rule, and the side of its blocks."""
    values, position = hits.reshape(-1).astype(float), np.tile(places_m, (len(hits), 1))
    weights, world = np.ones(len(values)), np.full(len(values), "w")
    units = block_units(world, position, values[:, None], weights)
    found = mean_interval(values, units, weights)
    return found.low, found.high, float(units.words.split()[-2])


def former_interval(hits: np.ndarray, places_m: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Ends by the former rule: 500 draws of map blocks of 50 m, percentiles."""
    block, _ = map_blocks(np.full(len(places_m), "w"), places_m, 50.0)
    total, weight = np.bincount(block, hits.mean(axis=0)), np.bincount(block)
    drawn = rng.multinomial(len(weight), np.full(len(weight), 1 / len(weight)), size=500)
    low, high = np.quantile((drawn @ total) / (drawn @ weight), [0.025, 0.975])
    return float(low), float(high)


def coverage_of_blocks(
    places_m: np.ndarray, fades_m: float, shared: str, recall: float, trials: int
) -> tuple[float, float]:
    """Share of trials in which the truth is covered, by today's rule and by the former one; prints both."""
    world = World(places_m, fades_m, np.random.default_rng(0))
    new, old, sides, widths = 0, 0, [], []
    for _ in range(trials):
        hits = world.hidden(3, shared) < ndtri(recall)
        low, high, side = interval_of_blocks(hits, places_m)
        new, sides, widths = new + (low <= recall <= high), [*sides, side], [*widths, high - low]
        low, high = former_interval(hits, places_m, world.rng)
        old += low <= recall <= high
    sys.stdout.write(
        f"\n  fades over {fades_m:3.0f} m, places share {shared:4}, recall {100 * recall:2.0f} %: covered in "
        f"{100 * new / trials:.1f} % (formerly {100 * old / trials:.1f} %), "
        f"blocks of {np.median(sides):.0f} m, {100 * np.mean(widths):.0f} points wide",
    )
    return new / trials, old / trials


# --- what is promised ----------------------------------------------------------------------------


@pytest.mark.parametrize("recall", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("shared", ["all", "half"])
@pytest.mark.parametrize("fades_m", [25.0, 50.0])
def test_three_traversals_of_300_places(fades_m: float, shared: str, recall: float) -> None:
    """A frame each 5 m, 1.5 km of road, all ordered pairs."""
    now, formerly = coverage_of_blocks(DRIVE, fades_m, shared, recall, 400)
    assert 0.90 <= now <= 0.98
    assert formerly < now


def of_traversals(
    recall: float, spread: float, n_drives: int = 23, trials: int = 1000, *, new_places: bool = False
) -> float:
    """Coverage where drives are easy or hard by themselves, over 600 m of road that are easy or hard as well."""
    world = World(10.0 * np.column_stack([np.arange(60), np.zeros(60)]), 25.0, np.random.default_rng(1))
    place, pairs = world.effects(1), np.array(list(permutations(range(n_drives), 2)))
    units, total = traversal_units(np.array([f"drive {n}" for n in range(n_drives)])[pairs], np.arange(len(pairs))), 0
    assert units is not None
    rest = math.sqrt(2 * spread**2 + 1)
    at_places = place if not new_places else ndtri((np.arange(2000) + 0.5) / 2000)
    threshold = brentq(lambda level: float(ndtr((level - at_places) / rest).mean()) - recall, -20, 20)
    widths = []
    for _ in range(trials):
        drive, searched = spread * world.rng.normal(size=(2, n_drives))
        searched = 0.7 * drive + math.sqrt(1 - 0.7**2) * searched  # a dark drive is hard on both sides
        here = world.effects(1) if new_places else place
        hidden = here + (drive[pairs[:, 0]] + searched[pairs[:, 1]])[:, None] + world.effects(len(pairs))
        found = mean_interval((hidden < threshold).mean(axis=1), units)
        total, widths = total + (found.low <= recall <= found.high), [*widths, found.high - found.low]
    sys.stdout.write(
        f"\n  {n_drives} traversals, spread {spread}, recall {100 * recall:2.0f} %"
        f"{', at new places' if new_places else ''}: covered in {100 * total / trials:.1f} %, "
        f"{100 * np.mean(widths):.0f} points wide",
    )
    return total / trials


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("recall", [0.3, 0.5, 0.8])
def test_twenty_three_traversals(recall: float, spread: float) -> None:
    """Other drives over the same places; ``spread`` is that of drives where the spread of places is one."""
    assert 0.92 <= of_traversals(recall, spread) <= 0.98


# --- harder cases, which the docstring of intervals.py speaks of ---------------------------------


HARDER: dict[str, tuple[Callable[[], np.ndarray], float, str, float, float]] = {
    "rarely right": (lambda: DRIVE, 25.0, "all", 0.05, 0.88),
    "rarely right, far": (lambda: DRIVE, 50.0, "all", 0.05, 0.85),
    "hardly wrong": (lambda: DRIVE, 50.0, "all", 0.95, 0.85),
    "far": (lambda: DRIVE, 100.0, "all", 0.5, 0.85),
    "far and uneven": (lambda: DRIVE, 100.0, "all", 0.8, 0.85),
    "pairs by themselves": (lambda: DRIVE, 50.0, "none", 0.5, 0.90),
    "town": (town, 25.0, "all", 0.5, 0.88),
    "town, far": (town, 50.0, "all", 0.3, 0.85),
    "both directions": (circuit, 25.0, "all", 0.5, 0.88),
    "both directions, far": (circuit, 50.0, "half", 0.8, 0.85),
}


@pytest.mark.parametrize("name", HARDER)
def test_harder_cases(name: str) -> None:
    places, fades_m, shared, recall, least = HARDER[name]
    sys.stdout.write(f"\n  {name}:")
    now, _ = coverage_of_blocks(places(), fades_m, shared, recall, 200)
    assert now >= least


@pytest.mark.parametrize("recall", [0.05, 0.95])
def test_extreme_recalls_of_traversals(recall: float) -> None:
    assert of_traversals(recall, 0.5) >= 0.89


def test_ten_traversals() -> None:
    assert of_traversals(0.5, 0.5, n_drives=10) >= 0.89


def test_traversals_say_nothing_of_other_places() -> None:
    """The price of this unit: where places differ as much as drives do, other places are another matter."""
    assert of_traversals(0.5, 0.5, new_places=True, trials=200) < 0.9


@pytest.mark.parametrize("fades_m", [25.0, 50.0])
def test_equal_methods_are_seldom_told_apart(fades_m: float) -> None:
    """Two methods of one recall, with effects of the place that half agree; blocks are chosen for the difference."""
    world, wrong, trials = World(DRIVE, fades_m, np.random.default_rng(0)), 0, 300
    position, weights = np.tile(DRIVE, (6, 1)), np.ones(6 * len(DRIVE))
    for _ in range(trials):
        both = world.effects(1)
        one, other = (((both + world.hidden(3, "half")) < 0).reshape(-1).astype(float) for _ in range(2))
        units = block_units(np.full(len(position), "w"), position, (one - other)[:, None], weights)
        wrong += difference(one, other, units, weights).p_value < 0.05
    sys.stdout.write(
        f"\n  fades over {fades_m:.0f} m: equal methods told apart in {100 * wrong / trials:.1f} % of trials"
    )
    assert wrong / trials <= 0.08
