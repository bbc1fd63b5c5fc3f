"""Random generators that depend on their purpose, never on the order in which they are made."""

from zlib import crc32

import numpy as np


def generator_for(seed: int, *purpose: str | int) -> np.random.Generator:
    """The generator for ``purpose``, for example ``generator_for(0, "train", "buildings")``.

    Equal arguments give equal streams in any process; different purposes give independent streams.
    """
    words = [word if isinstance(word, int) else crc32(word.encode()) for word in purpose]
    return np.random.default_rng([seed, *words])
