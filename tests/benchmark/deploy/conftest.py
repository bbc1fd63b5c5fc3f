"""Maps of the small world, and maps whose distances are written down by hand."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from localizers import DRIVE, half_at, method_called

from benchmark.deploy.localizer import Localizer
from benchmark.deploy.places import Places
from datasets.prepared import PreparedDataset, frames_at
from methods.base import Method

SECOND_NS = 1_000_000_000


@pytest.fixture(scope="session")
def histogram() -> Method:
    """The method without weights."""
    return method_called("height_histogram")


@pytest.fixture
def morning(histogram: Method, small_world: PreparedDataset) -> Localizer:
    """A map of one drive of the small world."""
    return Localizer.build(histogram, small_world, ["morning"])


@pytest.fixture
def by_hand(histogram: Method) -> Callable[..., Localizer]:
    """A calibrated map: the first number of each descriptor, and the second at which each place was seen."""

    def localizer(values: Sequence[float], seconds: Sequence[float]) -> Localizer:
        n = len(values)
        poses = np.tile(np.eye(4), (n, 1, 1))
        poses[:, 0, 3] = 10 * np.arange(n)
        frames = frames_at(
            poses,
            (np.array(seconds) * SECOND_NS).astype(np.int64),
            traversal="patrol",
            world="map",
            frame_id=[f"place-{i}" for i in range(n)],
            image=[""] * n,
            cloud=[""] * n,
        )
        descriptors = np.zeros((n, 1, 16))
        descriptors[:, 0, 0] = values
        places = Places(frames=frames, descriptors={"main": descriptors})
        return Localizer(histogram, DRIVE, places=places, calibrations={"cloud": half_at(1.0)})

    return localizer
