"""The table of protocols, and what becomes of a protocol on data that lacks part of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.base import Protocol, Selection, Traversal
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.protocols import OTHER_SPLITS, PROTOCOLS
from datasets.resolving import own_data, resolve

KITTI = "kitti-synchronous-10m"
TOWN = [name for name in PROTOCOLS if name.startswith("town")]
TESTED = ["00", "02", "05", "06", "07", "08"]


def holding(name: str, traversals: list[str], template: PreparedDataset) -> PreparedDataset:
    """A dataset called ``name`` with these traversals (of no frames: only names count here)."""
    described = {
        t: Traversal(name=t, condition="", georeferenced=False, intrinsics=None, camera_from_lidar=None, lidar=None)
        for t in traversals
    }
    frames = template.frames.take(np.zeros(0, dtype=int))
    return replace(template, name=name, traversals=described, frames=frames, folder=Path("somewhere") / "prepared")


def trained_on(protocol: Protocol, names: list[str]) -> list[str]:
    return [name for name in names if protocol.split.train.includes(name)]


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS.keys())
def test_every_protocol_is_named_versioned_and_described(protocol: Protocol) -> None:
    assert PROTOCOLS[protocol.name] is protocol
    assert protocol.version >= 1
    assert protocol.title
    assert not protocol.smoke


def test_fallback_splits_belong_to_protocols() -> None:
    assert OTHER_SPLITS.keys() <= PROTOCOLS.keys()


@pytest.mark.parametrize(
    ("name", "names"), [*((name, None) for name in TOWN), (KITTI, [f"{i:02d}" for i in range(22)])]
)
def test_no_traversal_is_both_trained_and_tested_on(
    name: str, names: list[str] | None, small_world: PreparedDataset
) -> None:
    districts, lights = ("train", "validation", "test"), ("day", "night", "winter")
    names = names or [f"{district}-{light}" for district in districts for light in lights]
    protocol = PROTOCOLS[name]
    for split in (protocol.split, *OTHER_SPLITS.get(name, ())):
        parts = [{n for n in names if part.includes(n)} for part in (split.train, split.validation, protocol.query)]
        assert parts[0]
        assert parts[2]
        assert sum(map(len, parts)) == len(set.union(*parts))


# --- on data -------------------------------------------------------------------------------------


def test_the_whole_dataset_takes_the_protocol_as_it_stands(small_world: PreparedDataset) -> None:
    names = [f"{i:02d}" for i in range(22)]
    protocol, warnings = resolve(KITTI, holding("kitti", names, small_world))
    assert protocol == PROTOCOLS[KITTI]
    assert warnings == []
    assert trained_on(protocol, names) == [f"{i}" for i in range(11, 22)]


def test_without_the_published_training_sequences_the_fallback_trains(small_world: PreparedDataset) -> None:
    names = [f"{i:02d}" for i in range(11)]
    protocol, warnings = resolve(KITTI, holding("kitti", names, small_world))
    assert trained_on(protocol, names) == ["01", "03", "04", "09", "10"]
    assert protocol == replace(PROTOCOLS[KITTI], split=OTHER_SPLITS[KITTI][0])
    assert warnings == ["trained on 01, 03, 04, 09, 10: not the published split"]


def test_absent_test_sequences_make_a_partial_result(small_world: PreparedDataset) -> None:
    protocol, warnings = resolve(KITTI, holding("kitti", ["00", "07", "11"], small_world))
    assert not protocol.smoke
    assert warnings == [
        "partial: training sequences 12, 13, 14, 15, 16, 17, 18, 19, 20, 21 are absent",
        "partial: validation sequences 10 are absent",
        "partial: test sequences 02, 05, 06, 08 are absent",
    ]


@pytest.mark.parametrize("names", [["raw0009"], ["11", "12"], TESTED], ids=["neither", "no tests", "no training"])
def test_without_tests_or_training_it_is_a_smoke_run_on_everything(
    small_world: PreparedDataset, names: list[str]
) -> None:
    protocol, warnings = resolve(KITTI, holding("kitti", names, small_world))
    assert protocol.smoke
    assert trained_on(protocol, names) == names
    assert all(protocol.query.includes(n) and protocol.database.includes(n) for n in names)
    assert not any(protocol.split.validation.includes(n) for n in names)
    assert (protocol.radius_m, protocol.pairs) == (10.0, "within")
    (warning,) = warnings
    assert warning.startswith("smoke run: ")
    assert "somewhere" not in warning, "warnings are published and must not name folders"


def test_a_protocol_is_for_one_dataset(small_world: PreparedDataset) -> None:
    with pytest.raises(CrossplaceError, match=r"protocol town is for dataset 'town', but .* holds 'kitti'; .* list"):
        resolve("town", holding("kitti", ["00"], small_world))


@pytest.mark.parametrize(("names", "pairs"), [(["one"], "within"), (["one", "two"], "across")])
def test_own_data_is_a_smoke_run_of_everything_against_everything(
    small_world: PreparedDataset, names: list[str], pairs: str
) -> None:
    protocol = own_data(holding("mine", names, small_world))
    assert (protocol.dataset, protocol.pairs, protocol.smoke) == ("mine", pairs, True)
    assert protocol.query == protocol.database == protocol.split.train == Selection()


def test_traversals_that_a_protocol_leaves_out_need_not_be_there(small_world: PreparedDataset) -> None:
    assert resolve("town", holding("town", ["train-day", "validation-day", "test-day", "test-dusk"], small_world)) == (
        PROTOCOLS["town"],
        [],
    )
