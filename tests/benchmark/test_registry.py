import sys
from dataclasses import fields
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from benchmark import registry
from benchmark.evaluation.rankers import RANKERS
from benchmark.registry import DATASETS, METHODS, Registry
from datasets.base import Dataset
from datasets.errors import CrossplaceError, unknown
from datasets.protocols import PROTOCOLS
from methods.base import Method


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_resolves_under_the_name_on_its_card(name: str) -> None:
    method = METHODS.get(name)
    assert issubclass(method, Method)
    assert method.card.name == name
    assert "quick" in method.presets


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_dataset_resolves_and_its_default_protocol_exists(name: str) -> None:
    dataset = DATASETS.get(name)
    assert issubclass(dataset, Dataset)
    assert dataset.card.name == name
    assert not dataset.default_protocol or PROTOCOLS[dataset.default_protocol].dataset == name


@pytest.mark.parametrize("entry", [*map(METHODS.get, METHODS.names()), *map(DATASETS.get, DATASETS.names())])
def test_no_card_has_an_empty_field(entry: Any) -> None:
    generated = {"layout", "notes"}  # nothing to lay out, nothing to note
    empty = {f.name for f in fields(entry.card) if getattr(entry.card, f.name) in ("", None)}
    assert empty <= generated


def test_an_unknown_name_is_answered_with_near_ones_and_the_list() -> None:
    with pytest.raises(CrossplaceError) as caught:
        METHODS.get("vpx")
    assert str(caught.value).startswith("unknown method 'vpx'. Did you mean vxp? Available: ")
    assert "height_histogram" in str(caught.value)


def test_nothing_near_means_no_suggestion() -> None:
    assert unknown("dataset", "qqq", ["town", "kitti"]) == "unknown dataset 'qqq'. Available: town, kitti"


def with_entry_points(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> Registry[Method]:
    found = [EntryPoint(name, value, "crossplace.methods") for name, value in points]
    monkeypatch.setattr(registry, "entry_points", lambda group: found if group == "crossplace.methods" else [])
    return Registry("method", dict(METHODS.table), "crossplace.methods")


MINE = """
from dataclasses import replace
from methods.vxp import Vxp
class Mine(Vxp):
    card = replace(Vxp.card, name="mine")
"""


def test_third_parties_add_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "of_mine", raising=False)
    methods = with_entry_points(monkeypatch, ("mine", "of_mine:Mine"))
    assert methods.get("mine").card.title == METHODS.get("vxp").card.title
    assert methods.names() == sorted([*METHODS.table, "mine"])


def test_a_name_and_a_card_of_another_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = with_entry_points(monkeypatch, ("mine", "methods.vxp:Vxp"))
    said = r"method 'mine' is registered as methods\.vxp:Vxp, whose card is of 'vxp'; .*give both the same"
    with pytest.raises(CrossplaceError, match=said):
        methods.get("mine")


@pytest.mark.parametrize("name", sorted(RANKERS))
def test_a_bound_is_said_to_be_no_method(name: str) -> None:
    with pytest.raises(CrossplaceError, match=f"'{name}' is no method but a bound of recall"):
        METHODS.check(name)


def test_a_name_taken_twice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = with_entry_points(monkeypatch, ("vxp", "elsewhere:Vxp"))
    with pytest.raises(CrossplaceError, match=r"method 'vxp' is registered twice: methods\.vxp:Vxp and elsewhere:Vxp"):
        methods.names()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import methods.batches", r"ModuleNotFoundError: No module named 'methods\.batches' \(.*broken\.py, line 1\)"),
        ("Other = 1", r"AttributeError: module 'broken' has no attribute 'Mine'; mend or uninstall"),
        ("def x(:", r"SyntaxError: invalid syntax \(broken\.py, line 1\); mend or uninstall"),
    ],
    ids=["import", "attribute", "syntax"],
)
def test_what_another_package_breaks_is_one_sentence(
    source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    methods = with_entry_points(monkeypatch, ("mine", "broken:Mine"))
    with pytest.raises(
        CrossplaceError, match=rf"method 'mine' is registered by another package as broken:Mine.*{said}"
    ):
        methods.get("mine")
    assert methods.get("vxp") is METHODS.get("vxp")
