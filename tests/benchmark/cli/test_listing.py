"""What a reader learns of methods and registrars before running one."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmark
from benchmark.catalogue import CATALOGUE, describe, describe_registrar, method_entry, registrar_entry
from benchmark.cli.listing import listing
from benchmark.registry import METHODS, REGISTRARS
from methods.base import FROM_SCRATCH

KIB = {"vxp": 1, "liploc": 1, "rangebev": 2, "lc2": 32, "modalink": 68, "dxpr": 33}
"""Per place, of the published networks with one view."""


@pytest.fixture(scope="module")
def cards() -> dict[str, str]:
    return {name: listing("methods", name, 1000) for name in METHODS.names()}


@pytest.mark.parametrize("name", KIB)
def test_bytes_per_place_are_the_published_ones(name: str, cards: dict[str, str]) -> None:
    found = dict(re.findall(r"preset (\S+): .* numbers, (\S+) bytes per place", cards[name]))
    assert found.keys() == METHODS.get(name).presets.keys()
    papers = {preset: stored for preset, stored in found.items() if preset.startswith(("paper", "published"))}
    assert set(papers.values()) == {f"{1024 * KIB[name]:,}"}


def test_every_card_says_where_it_was_published_and_what_it_began_with(cards: dict[str, str]) -> None:
    for card in cards.values():
        assert re.search(r"^venue: .", card, re.MULTILINE)
        assert re.search(r"^pretrained: .", card, re.MULTILINE)
        assert not re.search(r"\d numbers, 0 bytes|unknown", card)


def test_a_panorama_counts_all_its_views() -> None:
    lc2 = METHODS.get("lc2")
    with torch.device("meta"):
        method = lc2(replace(lc2.variants["panorama"].change(lc2.presets["paper"]), weights=FROM_SCRATCH))
    assert [method.bytes_per_place(modality) for modality in ("image", "cloud")] == [32 * 1024, 8 * 32 * 1024]


def test_a_method_that_computes_while_it_is_built_does_not_end_the_list(toy: Any) -> None:
    class Computing(toy.Toy):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.steps = torch.arange(3).tolist()

    toy.Toy = Computing
    assert "preset quick: unknown before it is built (" in listing("methods", "toy", 1000)
    assert "toy" in listing("methods", width=200)


@pytest.mark.parametrize("name", METHODS.table)
def test_the_catalogue_that_travels_is_that_of_the_methods(name: str) -> None:
    """What ``list methods`` shows without importing a method; if it is old: run ``nox -s tables``."""
    stored = json.loads((Path(benchmark.__file__).parent / CATALOGUE).read_text())
    assert stored["methods"][name] == describe(name).model_dump()


@pytest.mark.parametrize("name", REGISTRARS.table)
def test_the_catalogue_that_travels_is_that_of_the_registrars(name: str) -> None:
    stored = json.loads((Path(benchmark.__file__).parent / CATALOGUE).read_text())
    assert stored["registrars"][name] == describe_registrar(name).model_dump()


def test_registrars_are_listed_with_the_sizes_of_their_networks_without_importing_one() -> None:
    code = """
import sys
from benchmark.cli.main import main
main(["list", "registrars"])
assert main(["list", "registrars", "cmrnet"]) == 0
assert "torch" not in sys.modules
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    n_parameters = registrar_entry("cmrnet").presets["quick"]
    assert n_parameters
    assert f"preset quick: {n_parameters:,} parameters" in found.stdout


def test_a_method_whose_code_changed_is_described_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = method_entry("height_histogram")
    monkeypatch.setattr("benchmark.catalogue.code_of", lambda *_: "edited")
    monkeypatch.setattr("benchmark.catalogue.describe", lambda name: expected.model_copy(update={"code": "anew"}))
    assert method_entry("height_histogram").code == "anew"


@pytest.mark.parametrize("source", ["import methods.batches", "def x(:"], ids=["import", "syntax"])
def test_a_method_that_cannot_be_imported_does_not_end_the_lists(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_method.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METHODS.entries, "broken", "broken_method:Mine")
    for what in ("methods", "presets", "variants"):
        found = listing(what, width=1000)
        assert "broken is not shown. " in found
        assert "broken_method.py, line 1" in found
        assert "twin_layout" in found
