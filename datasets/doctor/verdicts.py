"""What a value beyond the limits of its rule is called, and the sentence that says so."""

from collections.abc import Mapping
from dataclasses import dataclass

from datasets.doctor.rule import Limit, Severity
from datasets.doctor.rules import RULES


def words(value: float) -> str:
    """A value as people read it: three digits, and no exponent where thousands can be written out."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A value beyond a limit."""

    rule: str
    severity: Severity
    traversals: tuple[str, ...]
    """Traversals with such a value; empty if it is one value of the whole dataset."""
    value: float
    """The value that is furthest beyond."""
    limit: float

    @property
    def beyond(self) -> Limit:
        """The limit that the value lies beyond."""
        rule = RULES[self.rule]
        end = rule.above if rule.above is not None and self.value > self.limit else rule.below
        assert end is not None
        return end

    def __str__(self) -> str:
        rule = RULES[self.rule]
        more = f" and {len(self.traversals) - 1} more" if len(self.traversals) > 1 else ""
        where = f" ({self.traversals[0]}{more})" if self.traversals else ""
        return f"{rule.title} is {words(self.value)}{rule.unit}{where}, expected {rule.expected}: {self.beyond.cause}"


def judge(name: str, values: Mapping[str, float]) -> Verdict | None:
    """The verdict on the values of a fact by traversal (the empty name: of the whole dataset), or none."""
    rule = RULES[name]
    for severity in ("fault", "doubt"):
        for sign, end in ((1, rule.above), (-1, rule.below)):
            limit: float | None = getattr(end, severity, None)
            if limit is not None and (beyond := {at: v for at, v in values.items() if sign * (v - limit) > 0}):
                worst = max(beyond, key=lambda where: sign * beyond[where])
                others = [where for where in beyond if where != worst]
                named = tuple(where for where in (worst, *others) if where)
                return Verdict(rule=name, severity=severity, traversals=named, value=beyond[worst], limit=limit)
    return None
