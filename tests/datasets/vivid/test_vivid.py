"""The preparer's check, its options, and what it says of data that cannot be prepared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_vivid import SmallVivid
from small_vivid import prepared, run

from benchmark.frames.preparing import make_dataset
from benchmark.registry import DATASETS
from datasets.errors import CrossplaceError
from datasets.vivid import Vivid
from datasets.vivid.messages import CAMERA, GPS, LIDAR
from datasets.vivid.vivid import RUNS


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_is_registered_and_real() -> None:
    assert DATASETS.get("vivid") is Vivid
    assert Vivid.card.is_real
    assert len(RUNS) == 8


def test_a_partial_set_is_prepared_and_what_is_not_there_is_said(tmp_path: Path) -> None:
    for name in ("city_night", "campus_day2"):
        run(tmp_path / f"{name}.bag")
    dataset = SmallVivid()
    findings = dataset.check(tmp_path)
    assert all(finding.ok for finding in findings)
    assert findings[0].what.endswith(
        "campus_day2.bag: /os1_cloud_node/points 12 messages, 1 s, /camera/image_color 12 messages, 1 s, "
        "/gps 24 messages, 1 s"
    )
    assert findings[2].what.startswith("not there: campus_day1, campus_evening, campus_night, city_day1")
    found = prepared(dataset, tmp_path, tmp_path / "out")
    assert {name: t.condition for name, t in found.traversals.items()} == {"campus_day2": "day", "city_night": "night"}
    assert found.counts["kept"] == len(found.frames) == 24
    assert found.load_image(found.frame(0)).shape == (52, 64, 3)
    np.testing.assert_allclose(found.frames.yaw_rad, np.pi / 2, atol=1e-6)
    assert not list((tmp_path / "out").glob(".*")), "what was needed to go on is gone"


def test_the_same_again_whatever_the_number_of_workers(tmp_path: Path) -> None:
    run(tmp_path / "raw" / "city_day1.bag", 100)
    outcomes = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        out.mkdir()
        assert list(SmallVivid().prepare(tmp_path / "raw", out, workers=workers))[-1] == (100, 100)
        outcomes.append(files_in(out))
    assert len(outcomes[0]) == 202
    assert outcomes[0] == outcomes[1]


def test_a_bag_whose_clocks_have_nothing_in_common_is_found_by_the_check_with_the_offset(tmp_path: Path) -> None:
    run(tmp_path / "city_day1.bag", lidar_began_s=0.0)
    dataset = SmallVivid()
    fine, fault, _ = dataset.check(tmp_path)
    assert not fine.ok
    for part in (f"{CAMERA} and {GPS} agree, and {LIDAR} does not", "by the times of recording", "city_day1=0.000"):
        assert part in fault.what
    with pytest.raises(CrossplaceError, match="no frame is left: dropped outside gps 12"):
        prepared(dataset, tmp_path, tmp_path / "out")
    mended = SmallVivid(lidar_offset_of=("city_day1=0",))
    assert all(finding.ok for finding in mended.check(tmp_path))
    assert prepared(mended, tmp_path, tmp_path / "mended").counts["kept"] == 12


def test_offsets_are_exact_to_the_nanosecond(tmp_path: Path) -> None:
    assert Vivid()._rules("city_day1").lidar_offset_ns == 1621837330_818392000
    own = Vivid(lidar_offset_of=("city_day2=1621837330.000000001",))
    assert own._rules("city_day2").lidar_offset_ns == 1621837330_000000001
    assert own._rules("city_day1").lidar_offset_ns == 1621837330_818392000


@pytest.mark.parametrize("topic", [GPS, CAMERA, LIDAR])
def test_a_missing_topic_is_named_with_what_is_there(tmp_path: Path, topic: str) -> None:
    path = run(tmp_path / "city_day1.bag", without=topic)
    (finding, _) = SmallVivid().check(tmp_path)
    assert not finding.ok
    assert f"{path}: no topic {topic} (sensor_msgs/" in finding.what
    with pytest.raises(CrossplaceError, match=f"no topic {topic}"):
        prepared(SmallVivid(), tmp_path, tmp_path / "out")


def test_images_of_another_size_are_refused_with_both(tmp_path: Path) -> None:
    run(tmp_path / "city_day1.bag", image_width=130)
    (finding, _) = SmallVivid().check(tmp_path)
    assert "/camera/image_color, message recorded at" in finding.what
    assert "130×104 pixels; the calibration is of 128×104" in finding.what


def test_without_data_the_check_says_where_it_is(tmp_path: Path) -> None:
    for source, sentence in ((None, "--source is needed"), (tmp_path, "campus_day1.bag, campus_day2.bag")):
        (finding,) = Vivid().check(source)
        assert not finding.ok
        assert sentence in finding.what
        assert "https://visibilitydataset.github.io" in finding.what


def test_a_run_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    run(tmp_path / "city_day1.bag")
    (finding,) = SmallVivid(runs=("city_day1", "city_day2")).check(tmp_path)
    assert not finding.ok
    assert f"{tmp_path}: city_day2.bag: not there" in finding.what


def test_a_broken_bag_does_not_hide_the_others(tmp_path: Path) -> None:
    run(tmp_path / "city_day1.bag")
    (tmp_path / "city_day2.bag").write_bytes(b"<html>404</html>")
    first, second, *_ = SmallVivid().check(tmp_path)
    assert (first.ok, second.ok) == (True, False)
    assert f"{tmp_path / 'city_day2.bag'}: not readable as a ROS1 bag" in second.what
    with pytest.raises(CrossplaceError, match=r"city_day2\.bag"):
        Vivid().fingerprint(tmp_path)


def test_the_fingerprint_depends_on_options_and_bags(tmp_path: Path) -> None:
    run(tmp_path / "city_day1.bag", 3)
    first = Vivid().fingerprint(tmp_path)
    assert Vivid().fingerprint(tmp_path) == first != Vivid(every=2).fingerprint(tmp_path)
    run(tmp_path / "city_day2.bag", 4)
    assert Vivid().fingerprint(tmp_path) != first


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"image_width": 1281}, "image_width must be 1280 or less"),
        ({"every": 0}, "every must be 1 or more, found 0"),
        ({"gps_gap_s": float("nan")}, "gps_gap_s must be 0 or more, found nan"),
        ({"heading_over_m": 0.0}, "heading_over_m must be 0.001 or more"),
        ({"lidar_offset_of": ("city_day2",)}, "expected RUN=SECONDS"),
        ({"recorded_times_of": ("city_day2",)}, "expected RUN=SENSOR, such as city_day2=camera"),
        ({"recorded_times_of": ("city_day2=radar",)}, "no sensor 'radar'; expected one of camera, lidar, gps"),
        ({"lidar_offset_of": ("city_day2=soon",)}, "'soon' is no number of seconds"),
        ({"lidar_offset_of": ("city_day2=nan",)}, "'nan' is no number of seconds"),
        ({"lidar_offset_s": float("inf")}, "no number of seconds"),
    ],
)
def test_options_that_nothing_can_be_made_of_are_refused(option: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CrossplaceError, match=sentence):
        Vivid(**option)


def test_options_come_from_the_command_line() -> None:
    words = ["heading=constant", "every=3", 'lidar_offset_of=["city_day2=0.5"]', 'runs=["city_day2"]']
    dataset = make_dataset("vivid", words)
    assert dataset == Vivid(heading="constant", every=3, lidar_offset_of=("city_day2=0.5",), runs=("city_day2",))
    json.dumps(dataset.options(), allow_nan=False)
