import pytest

from datasets.prepared import PreparedDataset
from methods.batch import Batch, collate, load_sample


@pytest.fixture
def batch(small_world: PreparedDataset) -> Batch:
    """Two frames; images of 32 × 24."""
    return collate([load_sample(small_world, small_world.frame(row), ("image",)) for row in (0, 5)])
