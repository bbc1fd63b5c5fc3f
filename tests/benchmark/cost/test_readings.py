import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.cost.readings import LEAST_FOR_P99, Reading, exact, hole, measures_of, spread, usual
from benchmark.records.cost import Measure


def series(*samples: float, inputs: tuple[int, ...] = (), doubt: str = "") -> Reading:
    return Reading(
        part="a", quantity="latency", unit="ms", samples=tuple(map(float, samples)), inputs=inputs, doubt=doubt
    )


def one(*rounds: Reading) -> Measure:
    (found,) = measures_of(rounds)
    return found


def test_a_series_is_its_median_its_95th_percentile_its_spread_and_its_length() -> None:
    found = one(series(*range(101, 112)))
    assert found.values == {"p50": 106.0, "p95": 110.5, "iqr": 5.0, "n": 11.0}
    assert (found.value, found.unit, found.hole, found.unstable) == (106.0, "ms", "", "")


def test_rounds_are_pooled() -> None:
    assert one(series(10, 10.2), series(10.4)).values["p50"] == 10.2


@pytest.mark.parametrize("n", [LEAST_FOR_P99 - 1, LEAST_FOR_P99])
def test_the_99th_percentile_needs_two_hundred_samples(n: int) -> None:
    found = one(series(*np.linspace(10, 10.1, n)))
    assert ("p99" in found.values) == (n >= 200)
    if n >= 200:
        assert found.values["p99"] == pytest.approx(10 + 0.1 * 0.99)


def test_a_quiet_series_is_stable() -> None:
    assert one(series(10, 10.1, 9.9), series(10.5, 10.4, 10.6)).unstable == ""


def test_rounds_that_disagree_are_unstable_with_both_medians() -> None:
    found = one(series(10, 10, 10), series(11.2, 11.2, 11.2))
    assert found.unstable == "rounds disagree: their medians go from 10 to 11.2 ms"


def test_of_many_rounds_the_fastest_and_the_slowest_one_are_no_sign() -> None:
    quiet = [series(level, level, level) for level in (10, 10.3, 10.6, 10.9)]
    assert one(series(8, 8, 8), *quiet, series(14, 14, 14)).unstable == ""
    restless = [series(level, level, level) for level in (10, 10.3, 10.6, 11.1)]
    found = one(series(8, 8, 8), *restless, series(14, 14, 14))
    assert found.unstable == "rounds disagree: their medians go from 10 to 11.1 ms"
    assert usual([3.0, 1.0, 2.0, 4.0]) == [1, 2, 3, 4], "of few rounds each counts"


def test_a_wide_series_is_unstable() -> None:
    assert one(series(8, 10, 10, 12.5, 12.5, 8)).unstable == "the interquartile range is 34 % of the median"


def test_a_doubt_of_the_conditions_is_named_first() -> None:
    found = one(series(10), series(20, doubt="the clock changed from 2,000 to 1,000 MHz meanwhile"))
    assert found.unstable.startswith("the clock changed")


def test_inputs_that_differ_by_themselves_are_not_unstable() -> None:
    """Clouds of 10 and of 30 ms, each the same every time: that is no noise. The same samples of one input are."""
    samples, inputs = (10.0, 30.0) * 4, (0, 1) * 4
    assert spread([series(*samples, inputs=inputs)]) == 0
    assert spread([series(*samples)]) == 20
    assert one(series(*samples, inputs=inputs)).unstable == ""
    assert "interquartile range is 100 %" in one(series(*samples)).unstable


def test_inputs_that_came_too_seldom_are_taken_as_they_are() -> None:
    assert spread([series(10, 30, 10, 30, inputs=(0, 1, 0, 1))]) == 20


@given(
    levels=st.lists(st.floats(1, 100), min_size=1, max_size=5),
    noise=st.lists(st.floats(0.9, 1.1), min_size=3, max_size=8),
)
def test_the_spread_within_inputs_does_not_depend_on_their_levels(levels: list[float], noise: list[float]) -> None:
    """Every input has the same relative noise: the spread is that of the noise, at the level of the median."""
    samples = [level * factor for factor in noise for level in levels]
    inputs = [number for _ in noise for number in range(len(levels))]
    relative = np.repeat(np.array(noise) / np.median(noise), len(levels))
    expected = np.subtract(*np.quantile(relative, [0.75, 0.25])) * np.median(samples)
    assert spread([series(*samples, inputs=tuple(inputs))]) == pytest.approx(expected, abs=1e-9)


def test_exact_numbers_and_holes_are_neither_stable_nor_unstable() -> None:
    number, none = measures_of([exact("method", "parameters", "M", 1.5), hole("image", "energy", "J", "no counter")])
    assert (number.values, number.unstable) == ({"value": 1.5}, "")
    assert (none.value, none.hole, none.unstable) == (None, "no counter", "")


def test_a_round_that_failed_does_not_hide_the_others() -> None:
    found = one(hole("a", "latency", "ms", "once"), series(10))
    assert (found.value, found.hole) == (10, "")


def test_further_values_of_a_series_stand_beside_it() -> None:
    found = one(Reading(part="image", quantity="throughput", unit="1/s", samples=[100.0], values={"batch": 8.0}))
    assert (found.value, found.values["batch"]) == (100.0, 8.0)


def test_zeros_are_a_stable_series() -> None:
    assert one(series(0, 0), series(0, 0)).unstable == ""
