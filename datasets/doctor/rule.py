"""What a rule about data is: a fact, the limits of its values, and where the limits come from."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["fault", "doubt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """An end of the values that a fact may have."""

    cause: str
    """What a value beyond the limit means, or what to look at."""
    conventions: tuple[str, ...] = ()
    """What the data must keep to, as sentences; a report says each of them once."""
    doubt: float | None = None
    """Values beyond it are a doubt."""
    fault: float | None = None
    """Values beyond it are a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fact and its limits."""

    title: str
    """What is measured, as the subject of a sentence."""
    unit: str = ""
    per: Literal["traversal", "dataset"] = "traversal"
    over: Literal["mean", "median"] = "mean"
    """What becomes of the values of sampled frames."""
    below: Limit | None = None
    above: Limit | None = None
    source: str
    """Where the limits come from."""

    @property
    def expected(self) -> str:
        """Values without any verdict, in words."""
        low, high = _least(self.below), _least(self.above)
        if low is not None and high is not None:
            return f"{low:g} to {high:g}{self.unit}"
        return f"≥ {low:g}{self.unit}" if low is not None else f"≤ {high:g}{self.unit}"


def _least(limit: Limit | None) -> float | None:
    """Where verdicts begin."""
    if limit is None:
        return None
    return limit.doubt if limit.doubt is not None else limit.fault
