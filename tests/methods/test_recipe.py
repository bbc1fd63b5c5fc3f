"""Learning rates over the epochs, and when a stage ends."""

import math
from dataclasses import dataclass, replace

import pytest

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
