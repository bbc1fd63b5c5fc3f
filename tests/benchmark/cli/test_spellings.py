"""Commands of earlier versions do what they did."""

import pytest

from benchmark.cli.spellings import of_today


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("bench --study ablation --seeds 0 1", "study ablation --seeds 0 1"),
        ("bench --method lc2 --study=robustness", "study robustness --method lc2"),
        ("bench --method all --seed 1", "sweep --seed 1"),
        ("bench --method=all --dry-run", "sweep --dry-run"),
        ("evaluate --dataset town --descriptors mine", "score mine --dataset town"),
        ("bench --method lc2", "bench --method lc2"),
        ("evaluate --method lc2", "evaluate --method lc2"),
        ("train --method all", "train --method all"),
        ("bench --study", "bench --study"),
        ("", ""),
    ],
)
def test_an_old_spelling_is_the_command_of_today(before: str, now: str) -> None:
    assert of_today(before.split()) == now.split()
