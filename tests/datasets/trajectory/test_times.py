"""Times as people write them, and the unit that their magnitude tells."""

import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from drives import stem_of
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import CrossplaceError
from datasets.trajectory.times import NS_IN, YEARS_S, Unit, number, read_times, timed, unit_of

UNITS: list[Unit] = ["s", "ms", "us", "ns"]
MOMENTS_NS = st.integers(YEARS_S[0] * 10**9, YEARS_S[1] * 10**9 - 1)


@given(st.lists(MOMENTS_NS, min_size=1, max_size=9), st.sampled_from(UNITS))
def test_the_unit_of_any_times_of_this_century_is_recognised_and_nothing_is_lost(
    moments_ns: list[int], unit: Unit
) -> None:
    written = [number(stem_of(moment, unit)) for moment in moments_ns]
    found = timed([w for w in written if w is not None], "here", given=None, usual=None, option="--time-unit")
    assert (found.unit, found.because) == (unit, "recognised by magnitude")
    assert found.time_ns.tolist() == moments_ns


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1), st.sampled_from(UNITS))
def test_a_unit_that_is_given_or_usual_is_obeyed_where_magnitude_tells_none(values: list[int], unit: Unit) -> None:
    written = [Decimal(value) for value in values]
    assert unit_of(written) is None
    for chosen in ({"given": unit, "usual": None}, {"given": None, "usual": unit}):
        found = timed(written, "here", option="--time-unit", **chosen)
        assert found.time_ns.tolist() == [value * NS_IN[unit] for value in values]


def test_a_given_unit_is_stronger_than_magnitude() -> None:
    found = timed([Decimal(1403636579763555584)], "here", given="us", usual=None, option="--time-unit")
    with pytest.raises(CrossplaceError, match=r"1403636579763555584 us \(as --time-unit says\) is beyond all times"):
        _ = found.time_ns


def test_numbers_of_frames_are_no_times() -> None:
    with pytest.raises(CrossplaceError) as caught:
        timed([Decimal(0), Decimal(107)], "clouds", given=None, usual=None, option="--time-unit")
    assert str(caught.value) == (
        "clouds: 0 to 107 are no times since 1970 in any unit; state their unit with --time-unit s, ms, us or ns, or, "
        "if they are numbers of frames, write times.txt there with one time a line"
    )


def test_times_of_no_source_have_no_unit() -> None:
    assert unit_of([]) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-0.5", "-0.5"), (".5", "0.5"), ("5.", 5), ("1.403636579e+09", 1403636579), ("+1e3", 1000),
        ("", None), ("nan", None), ("inf", None), ("1_000", None), ("0x10", None), ("1,5", None), ("١٢", None),
        ("1e999999999", None), ("12 ", None),
    ],
)  # fmt: skip
def test_what_a_number_is(text: str, value: object) -> None:
    assert number(text) == (None if value is None else Decimal(str(value)))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no times; expected one time a line: write it again"),
        ("0.0\nx\n", "line 2: expected one time, found 'x'; correct it"),
        ("0.0\n\n0.2\n", "line 2: expected one time, found ''; correct it"),
        ("0.0 1\n", "line 1: expected one time, found '0.0 1'; correct it"),
        ("0.1\n0.2\n0.2\n", "line 3: the same time as the line before; remove one of the two"),
        ("0.1\n0.3\n0.2\n", "line 3: earlier than the line before; sort the lines by time"),
    ],
)
def test_a_list_of_times_is_read_strictly(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "times.txt").write_text(text)
    with pytest.raises(CrossplaceError, match=re.escape(f"{tmp_path / 'times.txt'}: {fault}")):
        read_times(tmp_path / "times.txt", given=None, option="--time-unit")


def test_a_list_of_times_is_in_seconds_unless_magnitude_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "times.txt"
    path.write_text("0\n1.036e-01\n0.2\n\n")
    found = read_times(path, given=None, option="--time-unit")
    np.testing.assert_array_equal(found.time_ns, [0, 103_600_000, 200_000_000])
    assert found.told() == "3 times in s (usual for such files)"
    assert found.span() == "0.000 s to 0.200 s"
    path.write_text("1403636579763555584\n")
    assert read_times(path, given=None, option="--time-unit").told() == "1 times in ns (recognised by magnitude)"
