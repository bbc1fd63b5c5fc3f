"""Learning the poses of pairs by heart: how long, at which rates, and what is said of it."""

import math

import pytest

from benchmark.contract import pairs_by_heart
from benchmark.contract.overfitting import SPLIT
from benchmark.contract.pairs_by_heart import LEAST_RATE, LOOK_EVERY, PairMemory, learn_pairs
from benchmark.contract.registrar_checks import new_registrar
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset


def test_the_rate_falls_to_a_hundredth_and_the_errors_with_it(
    small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    given = pairs_by_heart.set_learning_rate
    monkeypatch.setattr(
        pairs_by_heart, "set_learning_rate", lambda optimizer, rate: (rates.append(rate), given(optimizer, rate))
    )
    registrar = new_registrar("cmrnet")
    memory = learn_pairs(registrar, small_world, n_places=2, most_steps=2 * LOOK_EVERY, budget_s=math.inf)
    first = registrar.stages(SPLIT)[0].recipe.learning_rate
    assert memory.steps == len(rates) == 2 * LOOK_EVERY
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], rates[LOOK_EVERY]) == (first, pytest.approx(first / 2))
    assert rates[-1] == pytest.approx(first * LEAST_RATE)
    assert math.prod(memory.after) < math.prod(memory.before)
    assert not memory.is_learnt


def test_what_is_known_by_heart_is_nearer_than_both_limits() -> None:
    def after(m: float, deg: float) -> PairMemory:
        return PairMemory(before=(1.0, 5.0), after=(m, deg), steps=20, seconds=3.0)

    assert after(0.049, 0.29).is_learnt
    assert not after(0.051, 0.29).is_learnt
    assert not after(0.049, 0.31).is_learnt
    assert str(after(0.049, 0.29)) == "1.00 m and 5.00° at the start, 0.049 m and 0.29° after 20 steps and 3 s"


def test_too_few_places_are_a_sentence(small_world: PreparedDataset) -> None:
    with pytest.raises(CrossplaceError, match=r"only \d places lie 50 m apart, of 16"):
        learn_pairs(new_registrar("cmrnet"), small_world)
