import sys
from types import SimpleNamespace

import pytest
import torch

from datasets.errors import CrossplaceError
from methods.layers.sparse import spconv_backend as sparse_spconv
from methods.layers.sparse.sites import Sites
from methods.layers.sparse.spconv_backend import refusal

CORNER = torch.tensor([[0, 0, 0, 0]])


@pytest.mark.parametrize(
    "installed",
    [
        {"spconv-cu126": "2.3.8", "numpy": "2.4.6"},
        {"spconv-cu126": "2.3.8", "numpy": "1.26.4"},
        {"spconv-cu120": "2.3.6", "numpy": "1.26.4"},
        {"spconv-cu121": "2.10.0", "numpy": "2.0.0"},
    ],
)
def test_good_packages_may_be_imported(installed: dict[str, str]) -> None:
    assert refusal(installed | {"spconvert": "1.0", "torch": "2.12.1"}) is None


@pytest.mark.parametrize(
    ("installed", "reason"),
    [
        ({"numpy": "2.4.6"}, "spconv is not installed; install crossplace[gpu]"),
        ({"spconv-cu120": "2.3.6", "numpy": "2.0.0rc1"}, "spconv-cu120 2.3.6 kills the process beside numpy 2.0.0rc1"),
        ({"spconv-cu118": "2.2.6", "numpy": "2.4.6"}, "spconv-cu118 2.2.6 kills the process"),
        ({"spconv": "2.3.8", "numpy": "1.26.4"}, "the CPU package spconv 2.3.8 computes wrong numbers"),
        ({"spconv-cu120": "2.3.6", "spconv-cu126": "2.3.8"}, "spconv-cu120 and spconv-cu126 overwrite each other"),
    ],
)
def test_bad_packages_are_one_sentence_with_a_way_out(installed: dict[str, str], reason: str) -> None:
    found = refusal(installed)
    assert found is not None
    assert found.startswith(reason)
    assert found.endswith("choose --sparse-backend torch")


def test_the_deadly_pair_is_refused_before_spconv_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = [SimpleNamespace(name="Spconv_cu120", version="2.3.6"), SimpleNamespace(name="numpy", version="2.1.0")]
    monkeypatch.setattr(sparse_spconv, "distributions", lambda: packages)
    monkeypatch.setattr(sparse_spconv, "_refusal", sparse_spconv._refusal.__wrapped__)
    monkeypatch.setattr(sparse_spconv, "_spconv", sparse_spconv._spconv.__wrapped__)
    for name in ("spconv", "spconv.pytorch", "spconv.core"):
        monkeypatch.setitem(sys.modules, name, None)  # would raise ImportError
    assert not sparse_spconv.is_usable()
    for attempt in (sparse_spconv.check_usable, lambda: sparse_spconv.submanifold(Sites(CORNER, (2, 2, 2), 1), 3)):
        with pytest.raises(CrossplaceError, match=r"sparse backend spconv: spconv-cu120 2\.3\.6 kills the process"):
            attempt()


def test_an_installed_package_that_cannot_be_imported_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_spconv, "_refusal", lambda: None)
    monkeypatch.setattr(sparse_spconv, "_spconv", sparse_spconv._spconv.__wrapped__)
    monkeypatch.setitem(sys.modules, "spconv", None)
    monkeypatch.setitem(sys.modules, "spconv.core", None)
    with pytest.raises(CrossplaceError, match=r"it cannot be imported \(.*halted.*choose --sparse-backend torch"):
        sparse_spconv.submanifold(Sites(CORNER, (2, 2, 2), 1), 3)


def test_grids_beyond_32_bit_numbers_are_refused() -> None:
    sites = Sites(CORNER, (2**11, 2**10, 2**10), 1)
    with pytest.raises(CrossplaceError, match="2147483648 cells are more than its 32-bit numbers count"):
        sparse_spconv.submanifold(sites, 3)
    with pytest.raises(CrossplaceError, match="32-bit"):
        sparse_spconv.reach(sites, 3, 2, 1)
