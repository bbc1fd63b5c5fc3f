"""A tour through a street graph that drives every street once in each direction and never turns back on the spot."""

from itertools import permutations

import numpy as np

Pair = tuple[int, int]
"""The two junctions at the ends of a street."""
Way = tuple[int, bool]
"""A street, and whether it is driven from its first end to its second."""

ATTEMPTS = 50


def plan_circuit(pairs: list[Pair], random: np.random.Generator) -> list[Way] | None:
    """The ways of a closed tour in driving order, or None if no attempt found a tour; some graphs have no tour.

    At every junction, each way in gets a way out that is another street. The result is closed loops. If two loops meet
    at a junction, exchanging their ways out joins them.
    """
    ways = [(street, forward) for street in range(len(pairs)) for forward in (True, False)]
    arrival = {way: pairs[way[0]][int(way[1])] for way in ways}
    entering = {junction: [way for way in ways if arrival[way] == junction] for junction in sorted({*arrival.values()})}
    for _ in range(ATTEMPTS):
        following = _random_turns(entering, random)
        if following and _join_loops(following, entering):
            tour = [ways[0]]
            while following[tour[-1]] != ways[0]:
                tour.append(following[tour[-1]])
            return tour
    return None


def _random_turns(entering: dict[int, list[Way]], random: np.random.Generator) -> dict[Way, Way] | None:
    following: dict[Way, Way] = {}
    for arriving in entering.values():
        if len(arriving) == 1:
            return None
        order = np.arange(len(arriving))
        while (order == np.arange(len(arriving))).any():
            order = random.permutation(len(arriving))
        leaving = [(street, not forward) for street, forward in arriving]
        following |= {way: leaving[i] for way, i in zip(arriving, order, strict=True)}
    return following


def _join_loops(following: dict[Way, Way], entering: dict[int, list[Way]]) -> bool:
    """Exchange turns in ``following`` as long as an exchange joins two loops; returns whether one loop remains."""
    loop = _loops(following)
    for arriving in entering.values():
        for a, b in permutations(arriving, 2):
            turns_back = following[b][0] == a[0] or following[a][0] == b[0]
            if loop[a] != loop[b] and not turns_back:
                following[a], following[b] = following[b], following[a]
                loop = _loops(following)
    return len(set(loop.values())) == 1


def _loops(following: dict[Way, Way]) -> dict[Way, int]:
    """A number for each way, equal for all ways of a closed loop."""
    loop: dict[Way, int] = {}
    for number, start in enumerate(following):
        way = start
        while way not in loop:
            loop[way] = number
            way = following[way]
    return loop
