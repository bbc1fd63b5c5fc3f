"""The table of rules, and how values are judged by it."""

import math
from pathlib import Path

import pytest

from datasets.doctor.rule import Limit, Rule
from datasets.doctor.rules import RULES, UNITS
from datasets.doctor.verdicts import judge, words

DOCUMENT = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_a_limit_a_cause_and_a_source(name: str) -> None:
    rule = RULES[name]
    assert rule.below or rule.above
    assert rule.source
    assert rule.expected
    for limit in (rule.below, rule.above):
        if limit is not None:
            assert limit.cause
            assert limit.doubt is not None or limit.fault is not None
    (line,) = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{name}` |")]
    assert f"| {rule.title} |" in line
    assert f"| {rule.expected} |" in line


@pytest.mark.parametrize("name", RULES)
def test_a_fault_lies_beyond_its_doubt(name: str) -> None:
    rule = RULES[name]
    for limit, sign in ((rule.below, -1), (rule.above, 1)):
        if limit is not None and limit.doubt is not None and limit.fault is not None:
            assert sign * limit.fault > sign * limit.doubt
    if rule.below and rule.above:
        low, high = (end.doubt if end.doubt is not None else end.fault for end in (rule.below, rule.above))
        assert low is not None
        assert high is not None
        assert low < high


@pytest.mark.parametrize("name", RULES)
def test_a_value_at_the_limit_is_fine_and_one_beyond_is_not(name: str) -> None:
    rule = RULES[name]
    for limit, towards in ((rule.below, -math.inf), (rule.above, math.inf)):
        for severity in ("doubt", "fault"):
            value = getattr(limit, severity, None)
            if value is None:
                continue
            at, beyond = judge(name, {"a": value}), judge(name, {"a": math.nextafter(value, towards)})
            assert beyond is not None
            assert beyond.severity == severity
            assert at is None or (severity, at.severity) == ("fault", "doubt")


def test_the_worst_value_is_named_first_and_the_others_are_counted() -> None:
    verdict = judge("speed", {"slow": 10.0, "a": 60.0, "b": 90.0, "c": 70.0})
    assert verdict is not None
    assert (verdict.severity, verdict.value, verdict.traversals) == ("doubt", 90.0, ("b", "a", "c"))
    assert "is 90 m/s (b and 2 more), expected ≤ 50 m/s: no road vehicle is that fast" in str(verdict)
    assert verdict.beyond.conventions == (UNITS,)
    fault = judge("speed", {"a": 60.0, "b": 500.0})
    assert fault is not None
    assert (fault.severity, fault.traversals, fault.limit) == ("fault", ("b",), 120.0)


def test_a_value_of_the_whole_dataset_names_no_traversal() -> None:
    verdict = judge("same-place", {"": 80.0})
    assert verdict is not None
    assert verdict.traversals == ()
    assert "is 80 %, expected ≤ 75 %" in str(verdict)


def test_a_value_below_says_at_least() -> None:
    verdict = judge("in-view", {"a": 0.1})
    assert verdict is not None
    assert verdict.severity == "fault"
    assert "expected ≥ 2 %: image and cloud see nothing in common" in str(verdict)


def test_expected_values_in_words() -> None:
    both = Rule(title="t", unit=" m", below=Limit(doubt=1.0, cause="c"), above=Limit(fault=9.0, cause="c"), source="s")
    assert both.expected == "1 to 9 m"
    assert RULES["in-view"].expected == "≥ 2 %"
    assert RULES["speed"].expected == "≤ 50 m/s"


def test_numbers_as_people_read_them() -> None:
    assert [words(value) for value in (0.0, 0.012345, 12.345, 1234.5, 7.2e12)] == [
        "0",
        "0.0123",
        "12.3",
        "1,234",
        "7.2e+12",
    ]
