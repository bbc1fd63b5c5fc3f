import pytest
from batches import batch_of

from datasets.prepared import PreparedDataset
from methods.batch import Batch


@pytest.fixture
def batch(small_world: PreparedDataset) -> Batch:
    """Three places, each in the morning and in the evening."""
    return batch_of(small_world, 0, 12, 5, 17, 10, 22)
