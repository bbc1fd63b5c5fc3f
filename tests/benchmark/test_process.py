from collections.abc import Callable
from typing import Any

import holding
import pytest

from benchmark.process import in_its_own_process


def test_a_fresh_process_holds_what_it_allocates_and_nothing_of_before() -> None:
    kept = bytearray(300 * 2**20)  # of this process
    kept[:: 2**12] = b"1" * len(kept[:: 2**12])
    base, held, given_back = (
        in_its_own_process(work, mib)
        for work, mib in ((holding.hold, 1), (holding.hold, 201), (holding.hold_for_a_moment, 201))
    )
    assert isinstance(base, float)
    assert base < 300
    for found in (held, given_back):
        assert isinstance(found, float)
        assert found - base == pytest.approx(200, abs=12)


@pytest.mark.parametrize(
    ("work", "argument", "expected"),
    [
        (holding.refuse, "no frames; add some", "no frames; add some"),
        (holding.divide, 1, "ZeroDivisionError: integer division or modulo by zero"),
        (holding.die, 9, "its process ended with exit code 9 (-9 is most often lack of memory)"),
    ],
)
def test_a_process_without_an_answer_says_why(work: Callable[..., None], argument: Any, expected: str) -> None:
    assert in_its_own_process(work, argument) == expected
