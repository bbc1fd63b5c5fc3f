import hashlib
import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.keys import KEY_LENGTH, key_of, plain
from datasets.base import ADDED, Selection
from datasets.protocols import PROTOCOLS


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    inner: Inner = Inner()
    limit: float | None = None


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_dataclasses_and_arrays_become_plain_data() -> None:
    assert plain(Outer()) == {"name": "a", "inner": {"sizes": [1, 2]}, "limit": None}
    assert plain({"matrix": np.eye(2), "count": np.int64(3)}) == {"matrix": [[1.0, 0.0], [0.0, 1.0]], "count": 3}


@pytest.mark.parametrize("other", [Outer(name="b"), Outer(inner=Inner((1, 3))), Outer(limit=0.0)])
def test_any_changed_field_changes_the_key(other: Outer) -> None:
    assert key_of(other) != key_of(Outer())
    assert key_of(replace(other, name="a", inner=Inner(), limit=None)) == key_of(Outer())


def test_keys_do_not_change_between_processes_or_versions() -> None:
    """A changed key would orphan everything that people have cached."""
    text = '["method", {"inner": {"sizes": [1, 2]}, "limit": null, "name": "a"}, 0]'
    assert key_of("method", Outer(), 0) == hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


@dataclass(frozen=True)
class Grown(Outer):
    """``Outer`` of a later version."""

    depth: int | None = field(default=None, metadata=ADDED)


def test_a_field_that_was_added_counts_once_it_is_used() -> None:
    assert key_of([Grown()]) == key_of([Outer()])
    assert key_of([Grown(depth=0)]) not in (key_of([Outer()]), key_of([Grown(depth=1)]))
    assert plain(Grown())["depth"] is None, "results hold everything"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("town", "0f45eb831def"),
        ("town-night", "22f557cab62e"),
        ("town-winter", "3ded8820e2ad"),
        ("town-revisit", "68725abada60"),
        ("kitti-synchronous-10m", "f718da19586d"),
    ],
)
def test_protocols_keep_their_keys_when_protocols_get_new_fields(name: str, key: str) -> None:
    """As computed before unions, ranges, axes and search depths; another key would evaluate and train anew."""
    assert key_of(PROTOCOLS[name]) == key


def test_added_rules_of_selections_change_keys() -> None:
    used = [
        Selection(),
        Selection(rows=(0, 3000)),
        Selection(also=(Selection(),)),
        Selection(also=(Selection(rows=(1, 2)),)),
    ]
    assert len({key_of(selection) for selection in used}) == 4


def test_the_order_of_parts_counts_and_that_of_keys_does_not() -> None:
    assert key_of("a", "b") != key_of("b", "a")
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


@settings(max_examples=50, deadline=None)
@given(PLAIN, PLAIN)
def test_keys_are_equal_exactly_if_the_parts_are(a: object, b: object) -> None:
    is_same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (key_of(a, b) == key_of(b, a)) == is_same
    assert key_of(a) != key_of(a, b)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_know_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        key_of({"limit": value})


def test_sets_are_refused_because_their_order_changes_from_run_to_run() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        key_of({"a", "b"})
