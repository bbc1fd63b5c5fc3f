import subprocess
import sys

import pytest
import torch

from datasets.errors import CrossplaceError
from methods.layers.sparse import backend as sparse_backend
from methods.layers.sparse import spconv_backend as sparse_spconv
from methods.layers.sparse import torch_backend as sparse_torch
from methods.layers.sparse.backend import resolve, using
from methods.layers.sparse.modules import SparseTensor, SubmanifoldConv3d
from methods.layers.sparse.sites import Sites

CPU, CUDA = torch.device("cpu"), torch.device("cuda:1")
X = SparseTensor(torch.ones(1, 2), Sites(torch.zeros(1, 4, dtype=torch.long), (1, 1, 1), 1))


@pytest.fixture(params=[True, False], ids=["spconv installed", "not installed"])
def is_installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(sparse_spconv, "_refusal", lambda: None if request.param else "spconv is not installed")
    return request.param


def test_auto_is_spconv_on_cuda_where_it_can_be_had(is_installed: bool) -> None:
    assert resolve("auto", CPU) == "torch"
    assert resolve("auto", CUDA) == ("spconv" if is_installed else "torch")


def test_a_choice_is_kept_on_any_device_or_refused(is_installed: bool) -> None:
    for device in (CPU, CUDA):
        assert resolve("torch", device) == "torch"
        if is_installed:
            assert resolve("spconv", device) == "spconv"
        else:
            with pytest.raises(CrossplaceError, match="sparse backend spconv: spconv is not installed"):
                resolve("spconv", device)


def test_a_choice_holds_inside_its_block_only_and_keeps_the_rules_of_backends_apart() -> None:
    if not sparse_spconv.is_usable():
        pytest.skip("spconv is not installed")
    sites = Sites(torch.zeros(1, 4, dtype=torch.long), (1, 1, 1), 1)
    before = sparse_backend.submanifold(sites, 3)
    with using("spconv"):
        inside = sparse_backend.submanifold(sites, 3)
        with using("torch"):
            assert sparse_backend.submanifold(sites, 3) is before
        assert sparse_backend.submanifold(sites, 3) is inside
    assert isinstance(before, sparse_torch.Rulebook)
    assert isinstance(inside, sparse_spconv.Convolution)
    assert sparse_backend.submanifold(sites, 3) is before


def test_a_choice_ends_with_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), using("spconv"):
        _ = 1 / 0
    assert isinstance(sparse_backend.submanifold(X.sites, 1), sparse_torch.Rulebook)


def test_a_layer_of_a_demanded_backend_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_spconv, "_refusal", lambda: "spconv is not installed")
    with using("spconv"), pytest.raises(CrossplaceError, match="not installed"):
        SubmanifoldConv3d(2, 3)(X)


def test_spconv_is_not_imported_before_it_is_used() -> None:
    code = (
        "import sys, torch; from methods.layers.sparse.modules import *; "
        "from methods.layers.sparse.backend import resolve; "
        "x = SparseTensor(torch.ones(1, 2), Sites(torch.zeros(1, 4, dtype=torch.long), (1, 1, 1), 1)); "
        "SubmanifoldConv3d(2, 3)(x); resolve('auto', torch.device('cuda')); assert 'spconv' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=sparse_torch.__file__.partition("/methods/")[0])
