"""Learning rates over the epochs, and when a stage ends."""

import math
from dataclasses import dataclass, fields, replace

import pytest

from benchmark.keys import key_of, plain
from datasets.errors import CrossplaceError
from methods.recipe import Recipe, recipes_in, shortened


@pytest.mark.parametrize(
    ("recipe", "epoch", "expected"),
    [
        (Recipe(epochs=9, batch_size=1, learning_rate=1.0, learning_rate_floor=0.0, decay=0.5), 0, 1.0),
        (Recipe(epochs=9, batch_size=1, learning_rate=1.0, learning_rate_floor=0.0, decay=0.5), 1, 1.0),
        (Recipe(epochs=9, batch_size=1, learning_rate=1.0, learning_rate_floor=0.0, decay=0.5), 2, 0.5),
        (Recipe(epochs=9, batch_size=1, learning_rate=1.0, learning_rate_floor=0.0, decay=0.5), 5, 0.25),
        (Recipe(epochs=9, batch_size=1, learning_rate=1.0, learning_rate_floor=0.3, decay=0.5), 5, 0.3),
        (
            Recipe(epochs=9, batch_size=1, learning_rate=1.0, learning_rate_floor=0.0, decay=0.5, decay_every=1),
            3,
            0.125,
        ),
    ],
)
def test_learning_rate_falls_in_steps_to_its_floor(recipe: Recipe, epoch: int, expected: float) -> None:
    assert math.isclose(recipe.learning_rate_at(epoch), expected)


COSINE = Recipe(epochs=2, batch_size=1, learning_rate=1.0, learning_rate_floor=0.2, schedule="cosine", warmup_steps=2)


def rates(recipe: Recipe, n_steps: int) -> list[float]:
    """Learning rates of all steps, with as many steps in each epoch."""
    steps = range(n_steps)
    return [recipe.learning_rate_at(e, step=step, n_steps=n_steps) for e in range(recipe.epochs) for step in steps]


def test_a_cosine_rises_in_its_warmup_and_reaches_the_floor_at_the_last_step() -> None:
    """Two steps up, then thirds of half a turn: cos 60° = 1/2, cos 120° = -1/2, cos 180° = -1."""
    one_epoch = replace(COSINE, epochs=1)
    expected = [0.5, 1.0, 0.2 + 0.8 * 0.75, 0.2 + 0.8 * 0.25, 0.2]
    assert rates(one_epoch, 5) == pytest.approx(expected)


def test_a_cosine_without_warmup_falls_over_all_epochs() -> None:
    """Quarters of half a turn: cos 45°, cos 90°, cos 135°, cos 180°."""
    root = math.sqrt(0.5)
    expected = [0.6 + 0.4 * root, 0.6, 0.6 - 0.4 * root, 0.2]
    assert rates(replace(COSINE, warmup_steps=0), 2) == pytest.approx(expected)


def test_a_warmup_longer_than_training_ends_with_it_at_the_full_rate() -> None:
    assert rates(replace(COSINE, warmup_steps=99), 2) == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_steps_warm_up_too() -> None:
    recipe = Recipe(epochs=3, batch_size=1, learning_rate=1.0, learning_rate_floor=0.0, decay=0.5, warmup_steps=4)
    assert rates(recipe, 2) == [0.25, 0.5, 0.75, 1.0, 0.5, 0.5]


def test_a_shortened_cosine_has_the_shape_of_the_whole_one() -> None:
    whole = replace(COSINE, epochs=8, warmup_steps=8)
    short = whole.shortened(0.25)
    assert (short.epochs, short.warmup_steps) == (2, 2)
    assert rates(short, 3) == pytest.approx(rates(whole, 3)[3::4])


def test_a_cosine_with_a_plateau_is_refused_until_one_is_left_out() -> None:
    with pytest.raises(CrossplaceError, match=r"schedule cosine and plateau.*leave one of them out"):
        replace(COSINE, plateau=2)
    assert replace(COSINE, schedule="step", plateau=2).learning_rate_at(1, [1.0]) == 1.0
    assert replace(COSINE, plateau=None).schedule == "cosine"


def test_what_was_added_changes_no_key_at_its_default() -> None:
    old = {f.name for f in fields(Recipe)} - {"schedule", "warmup_steps", "clip_norm"}
    assert set(plain(replace(COSINE, schedule="step", warmup_steps=0), with_defaults=False)) == old
    assert key_of(COSINE) != key_of(replace(COSINE, schedule="step"))


def test_a_plateau_decays_and_waits_anew() -> None:
    recipe = Recipe(epochs=9, batch_size=1, learning_rate=1.0, learning_rate_floor=0.3, decay=0.5, plateau=2)
    scores = [5.0, 4.0, 4.0, 4.5, 3.9, 4.1, 4.2, 4.0, 4.0]
    rates = [recipe.learning_rate_at(epoch, scores[:epoch]) for epoch in range(10)]
    # Nothing better after epochs 2 and 3, after 5 and 6, and after 7 and 8: the last is held by the floor.
    assert rates == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3]


def test_training_ends_when_nothing_gets_better() -> None:
    recipe = Recipe(epochs=9, batch_size=1, learning_rate=1.0, learning_rate_floor=0.3, early_stop=2)
    assert [recipe.is_stopped(scores) for scores in ([], [1.0], [1.0, 1.0], [1.0, 2.0, 1.5], [1.0, 0.9, 2.0])] == [
        *(False, False, False, True, False),
    ]
    assert not replace(recipe, early_stop=None).is_stopped([1.0] * 9)


@dataclass(frozen=True)
class Part:
    recipe: Recipe


@dataclass(frozen=True)
class Config:
    main: Recipe
    part: Part
    size: tuple[int, ...] = (1, 2)


def test_recipes_of_parts_are_found_and_shortened_too() -> None:
    recipe = Recipe(epochs=10, batch_size=1, learning_rate=1.0, learning_rate_floor=0.0)
    config = Config(recipe, Part(replace(recipe, epochs=4)))
    assert [found.epochs for found in recipes_in(config)] == [10, 4]
    assert [found.epochs for found in recipes_in(shortened(config, 0.5))] == [5, 2]
    assert shortened(config, 0.5).part.recipe == config.part.recipe.shortened(0.5)
    assert shortened(config, 1.0) == config
