import pytest
import torch

from datasets.errors import CrossplaceError
from methods.layers.sparse import torch_backend as sparse_torch
from methods.layers.sparse.sites import Shape, Sites


@pytest.mark.parametrize(
    ("rows", "shape", "batch_size"),
    [
        ([[0, 1, 0, 0], [0, 0, 0, 0]], (2, 2, 2), 1),
        ([[0, 1, 0, 0], [0, 1, 0, 0]], (2, 2, 2), 1),
        ([[0, 0, 0, 2]], (2, 2, 2), 1),
        ([[0, 0, -1, 0]], (2, 2, 2), 1),
        ([[1, 0, 0, 0]], (2, 2, 2), 1),
    ],
    ids=["unsorted", "repeated", "beyond the grid", "negative", "beyond the batch"],
)
def test_wrong_sites_are_refused(rows: list[list[int]], shape: Shape, batch_size: int) -> None:
    with pytest.raises(CrossplaceError, match="expected sorted, unique"):
        Sites(torch.tensor(rows), shape, batch_size)


def test_a_grid_too_large_for_64_bit_keys_is_refused() -> None:
    huge = (2**20, 2**20, 2**19)
    last = [2, *(size - 1 for size in huge)]
    with pytest.raises(CrossplaceError, match="64-bit"):
        Sites(torch.tensor([[3, *last[1:]]]), huge, 4)
    sites = Sites(torch.tensor([[0, 0, 0, 0], last]), huge, 3)
    assert sites.keys.tolist() == [0, 3 * 2**59 - 1]
    assert sparse_torch.submanifold(sites, 3).counts == [0] * 27
