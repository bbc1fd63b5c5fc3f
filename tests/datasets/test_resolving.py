"""What becomes of a protocol on data that lacks part of it."""

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
TESTED = ["00", "02", "05", "06", "07", "08"]
OXFORD_RUNS = PROTOCOLS["oxford-vxp"].query.traversals


def holding(
    name: str, traversals: list[str], template: PreparedDataset, *, georeferenced: bool = False
) -> PreparedDataset:
    """A dataset called ``name`` with these traversals (of no frames: only names count here)."""
    nothing = {"intrinsics": None, "camera_from_lidar": None, "lidar": None}
    described = {t: Traversal(name=t, condition="", georeferenced=georeferenced, **nothing) for t in traversals}
    frames = template.frames.take(np.zeros(0, dtype=int))
    return replace(template, name=name, traversals=described, frames=frames, folder=Path("somewhere") / "prepared")


def trained_on(protocol: Protocol, names: list[str]) -> list[str]:
    return [name for name in names if protocol.split.train.includes(name)]


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
    assert protocol.absent == ("02", "05", "06", "08")
    assert replace(protocol, absent=()) == PROTOCOLS[KITTI]
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


# --- partial sets --------------------------------------------------------------------------------


def test_a_few_oxford_runs_make_a_partial_result_that_names_the_others(small_world: PreparedDataset) -> None:
    names = [*OXFORD_RUNS[:2], "2014-05-19-13-20-57"]  # the last is trained on alone
    protocol, (warning,) = resolve("oxford-vxp", holding("oxford", names, small_world))
    assert protocol.absent == OXFORD_RUNS[2:]
    assert warning == f"partial: test sequences {', '.join(OXFORD_RUNS[2:])} are absent"
    assert trained_on(protocol, names) == names


def test_one_oxford_run_has_nothing_to_be_searched_in(small_world: PreparedDataset) -> None:
    protocol, (warning,) = resolve("oxford-vxp", holding("oxford", [OXFORD_RUNS[0]], small_world))
    assert (protocol.smoke, protocol.pairs) == (True, "within")
    assert warning.startswith("smoke run: ")


def test_listed_pairs_are_those_of_the_runs_that_are_there(small_world: PreparedDataset) -> None:
    names = ["campus_day1", "campus_day2", "campus_evening", "city_night"]
    protocol, warnings = resolve("vivid-vxp", holding("vivid", names, small_world))
    assert protocol.pairs == (("campus_day1", "campus_day2"), ("campus_day2", "campus_day1"))
    assert protocol.absent == ("campus_night", "city_day1", "city_day2")
    assert warnings == [
        "partial: training sequences city_day1 are absent",
        "partial: validation sequences city_evening are absent",
        "partial: test sequences campus_night, city_day1, city_day2 are absent",
    ]


@pytest.mark.parametrize(("names", "pairs"), [(["city_evening"], "within"), (["city_day1", "city_night"], "across")])
def test_without_any_listed_pair_it_is_a_smoke_run(small_world: PreparedDataset, names: list[str], pairs: str) -> None:
    protocol, _ = resolve("vivid-vxp", holding("vivid", names, small_world))
    assert (protocol.smoke, protocol.pairs) == (True, pairs)


def test_sequences_of_further_selections_are_missed_too(small_world: PreparedDataset) -> None:
    protocol, warnings = resolve("kitti-vxp", holding("kitti", ["00", "04"], small_world))
    assert protocol.absent == ("02",)
    assert warnings == [
        "partial: training sequences 03, 05, 06, 08, 09, 10, 02 are absent",
        "partial: validation sequences 07 are absent",
        "partial: test sequences 02 are absent",
    ]


def test_axes_of_the_first_camera_need_its_frame(small_world: PreparedDataset) -> None:
    names = [f"{i:02d}" for i in range(11)]
    resolve("liploc-as-published", holding("kitti", names, small_world))
    on_a_map = holding("kitti", names, small_world, georeferenced=True)
    resolve("liploc", on_a_map)
    with pytest.raises(
        CrossplaceError,
        match=r"over east and up, forward .*08, 09 in .* georeferenced; prepare .*poses=odometry",
    ):
        resolve("liploc-as-published", on_a_map)
