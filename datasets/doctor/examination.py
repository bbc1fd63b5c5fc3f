"""What a look at a dataset found, as a file; what its facts mean follows from the rules of today."""

import json

from pydantic import BaseModel

from datasets.doctor.rule import Severity
from datasets.doctor.rules import RULES
from datasets.doctor.verdicts import Verdict, judge
from datasets.files import STRICT, sealed


class Examination(BaseModel):
    """The facts of a dataset."""

    model_config = STRICT

    version: int
    fingerprint: str
    n_sampled: int
    """Number of frames whose files were read."""
    facts: dict[str, dict[str, float]]
    """Values by rule and traversal, in the rule's unit; a value of the whole dataset has the empty name."""
    unreadable: list[str]
    """Sentences about sampled files that cannot be read."""
    reading: str
    """The way to read clouds (:data:`datasets.doctor.motion.READINGS`) under which neighbours overlap best."""

    def verdicts(self) -> list[Verdict]:
        """Every value beyond a limit, faults first, in the order of the rules."""
        found = [judge(name, self.facts[name]) for name in RULES if name in self.facts]
        return sorted((v for v in found if v is not None), key=lambda v: v.severity != "fault")

    def faults(self) -> list[str]:
        """Sentences about what makes every recall number wrong."""
        return [*self.unreadable, *(self._sentence(v) for v in self.verdicts() if v.severity == "fault")]

    def doubts(self) -> dict[str, str]:
        """Sentences about what is rare for good data, by rule."""
        return {v.rule: self._sentence(v) for v in self.verdicts() if v.severity == "doubt"}

    def conventions(self, *severities: Severity) -> list[str]:
        """What the data must keep to, as far as verdicts of these severities speak of it, each once."""
        found = [v.beyond.conventions for v in self.verdicts() if v.severity in severities]
        return list(dict.fromkeys(convention for conventions in found for convention in conventions))

    def _sentence(self, verdict: Verdict) -> str:
        is_sure = verdict.rule == "clouds-and-poses" and verdict.severity == "fault"
        better = f" (they overlap best {self.reading})" if is_sure else ""
        return f"{verdict}{better}"

    def as_json(self) -> bytes:
        """The content of a file that holds all of it, sealed."""
        return json.dumps(sealed(self.model_dump()), indent=1).encode()
