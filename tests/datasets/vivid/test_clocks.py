"""Clocks that do not agree: the sensor that is wrong is named, and the advice, followed literally, mends it."""

import io
import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from raw_vivid import SmallVivid
from small_vivid import START_S, prepared, run

from datasets.errors import CrossplaceError
from datasets.samples.vivid import BOOT_S, TYPES, header
from datasets.vivid.clocks import Clocks, Inspection, fault_of
from datasets.vivid.messages import CAMERA, GPS, LIDAR

HOUR_S = 3600.0
BAG = "city_day1"


def off(**hours: float) -> Callable[[str, float], float]:
    """Headers of sensors that are some hours ahead."""
    ahead = {{"camera": CAMERA, "lidar": LIDAR, "gps": GPS}[sensor]: n * HOUR_S for sensor, n in hours.items()}
    return lambda topic, time: time + ahead.get(topic, 0.0)


def stuck(*topics: str, at_s: float = 0.0) -> Callable[[str, float], float]:
    return lambda topic, time: at_s if topic in topics else time


def faults_of(dataset: SmallVivid, source: Path) -> list[str]:
    """What is wrong, without the line that says what is there."""
    return [finding.what for finding in dataset.check(source) if not finding.ok][1:]


def advised(fault: str, before: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The options in a sentence, beside those that were given before."""
    *_, words = fault.partition("--dataset-options ")
    options = (word.partition("=") for word in shlex.split(words))
    return {**before, **{name: tuple(json.loads(text)) for name, _, text in options}}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "camera at zero": ({"header_s": stuck(CAMERA)}, f"all headers of {CAMERA} have the time 0.000 s"),
    "camera stands still": ({"header_s": stuck(CAMERA, at_s=START_S)}, f"all headers of {CAMERA} have the time 16218"),
    "LiDAR at zero": ({"header_s": stuck(LIDAR)}, f"all headers of {LIDAR} have the time"),
    "GPS at zero": ({"header_s": stuck(GPS)}, f"all headers of {GPS} have the time 0.000 s"),
    "all at zero": ({"header_s": stuck(CAMERA, LIDAR, GPS)}, f"{LIDAR} have the time"),
    "camera hours off": ({"header_s": off(camera=7)}, f"{LIDAR} and {GPS} agree, and {CAMERA} does not"),
    "GPS hours off": ({"header_s": off(gps=-9)}, f"{CAMERA} and {LIDAR} agree, and {GPS} does not"),
    "LiDAR hours off": ({"header_s": off(lidar=2)}, f"{CAMERA} and {GPS} agree, and {LIDAR} does not"),
    "LiDAR on the others' clock": ({"lidar_began_s": 0.0}, f"{CAMERA} and {GPS} agree, and {LIDAR} does not"),
    "each on its own clock": ({"header_s": off(camera=7, gps=-9)}, "have no time in common"),
    "camera at zero, LiDAR off": (
        {"header_s": lambda topic, time: 0.0 if topic == CAMERA else time + HOUR_S * (topic == LIDAR)},
        f"all headers of {CAMERA} have the time 0.000 s",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_advice_mends_the_clocks_at_once(name: str, tmp_path: Path) -> None:
    change, words = CASES[name]
    run(tmp_path / f"{BAG}.bag", **change)
    (fault,) = faults_of(SmallVivid(), tmp_path)
    assert words in fault
    options = advised(fault, {})
    assert options
    mended = SmallVivid(**options)  # type: ignore[arg-type]
    assert faults_of(mended, tmp_path) == []
    found = prepared(mended, tmp_path, tmp_path / "out")
    assert found.counts["kept"] >= 10
    np.testing.assert_allclose(np.diff(found.frames.position_m[:, 1]), 1.0, atol=0.02)
    # The place of a frame is wrong by no more than the way from the sensor to the disk.
    right = prepared(SmallVivid(), good(tmp_path / "good"), tmp_path / "right")
    assert abs(found.frames.position_m[0, 1] - right.frames.position_m[0, 1]) < 1.2


def good(folder: Path) -> Path:
    run(folder / f"{BAG}.bag")
    return folder


def test_entries_of_other_runs_stay_in_the_advice(tmp_path: Path) -> None:
    run(tmp_path / f"{BAG}.bag", header_s=stuck(CAMERA))
    run(tmp_path / "city_day2.bag", header_s=off(lidar=2))
    run(tmp_path / "city_night.bag", header_s=stuck(GPS))
    options: dict[str, tuple[str, ...]] = {}
    for _ in range(3):  # one run after the other, in any order
        wrong = faults_of(SmallVivid(**options), tmp_path)  # type: ignore[arg-type]
        options = advised(next(what for what in wrong if "by the times of recording" in what), options)
    mended = SmallVivid(**options)  # type: ignore[arg-type]
    assert faults_of(mended, tmp_path) == []
    assert options["recorded_times_of"] == (f"{BAG}=camera", "city_night=gps")
    assert len(prepared(mended, tmp_path, tmp_path / "out").traversals) == 3


def test_a_bag_that_nothing_mends_says_so() -> None:
    """Not even recorded at one time, as when the bags of two drives were joined."""
    spans = {CAMERA: (0, 100), LIDAR: (1000, 1100), GPS: (5000, 5100)}
    found = Inspection(dict.fromkeys(spans, 10), spans, spans)
    fault, cure = fault_of(found, Clocks(lidar_offset_ns=0))
    assert "have no time in common" in fault
    assert cure is None


def test_a_bag_that_cannot_be_used_is_left_out(tmp_path: Path) -> None:
    good(tmp_path)
    run(tmp_path / "city_day2.bag", image_width=130)
    *_, offer = faults_of(SmallVivid(), tmp_path)
    options = advised(offer, {})
    assert options == {"runs": (BAG,)}
    assert len(prepared(SmallVivid(**options), tmp_path, tmp_path / "out").frames) == 12  # type: ignore[arg-type]


def test_a_clock_that_is_minutes_off_within_the_drive_is_asked_about(tmp_path: Path) -> None:
    run(tmp_path / f"{BAG}.bag", n=400, header_s=lambda topic, time: time + 15.0 * (topic == CAMERA))
    first, *_ = SmallVivid().check(tmp_path)
    assert first.ok
    assert f"the clock of {CAMERA} differs from both others by +15.0 s: are all headers right?" in first.what


def test_an_option_that_is_not_used_leaves_the_fingerprint(tmp_path: Path) -> None:
    good(tmp_path)
    assert "recorded_times_of" not in SmallVivid().options()
    other = SmallVivid(recorded_times_of=(f"{BAG}=gps",))
    assert other.options()["recorded_times_of"] == (f"{BAG}=gps",)
    assert other.fingerprint(tmp_path) != SmallVivid().fingerprint(tmp_path)


# --- compressed images ---------------------------------------------------------------------------


def compressed(time_s: float, pixels: np.ndarray) -> tuple[str, Any]:
    content = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(content, "png")
    kind = "sensor_msgs/msg/CompressedImage"
    data = np.frombuffer(content.getvalue(), dtype=np.uint8)
    return kind, TYPES.types[kind](header=header(time_s), format="mono8; png compressed ", data=data)


@pytest.mark.parametrize("topic", [CAMERA, f"{CAMERA}/compressed"])
def test_a_bag_of_compressed_images_is_the_same_data(topic: str, tmp_path: Path) -> None:
    run(tmp_path / "raw" / f"{BAG}.bag", image=compressed, image_topic=topic)
    assert faults_of(SmallVivid(), tmp_path / "raw") == []
    found = prepared(SmallVivid(), tmp_path / "raw", tmp_path / "out")
    expected = prepared(SmallVivid(), good(tmp_path / "good"), tmp_path / "right")
    assert found.frames.frame_id.tolist() == expected.frames.frame_id.tolist()
    for row in range(len(found.frames)):
        np.testing.assert_array_equal(found.load_image(found.frame(row)), expected.load_image(expected.frame(row)))


def test_a_prepared_folder_of_bags_can_be_moved(tmp_path: Path) -> None:
    found = prepared(SmallVivid(), good(tmp_path / "raw"), tmp_path / "out")
    assert found.frames.timestamp_ns[0] / 1e9 > BOOT_S
    assert not any(Path(path).is_absolute() for path in (*found.frames.image, *found.frames.cloud))
    assert found.root.resolve() == found.folder.resolve()


def test_a_bag_that_is_cut_off_is_a_sentence_without_the_words_of_a_library(tmp_path: Path) -> None:
    path = run(tmp_path / f"{BAG}.bag")
    whole = path.read_bytes()
    for n in (0, 5, 100, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:n])
        first, *_ = SmallVivid().check(tmp_path)
        assert not first.ok
        assert f"{path}: not readable as a ROS1 bag (" in first.what
        assert "('" not in first.what
        assert "fetch it again" in first.what
    path.write_bytes(whole)
    assert faults_of(SmallVivid(), tmp_path) == []
    path.unlink()
    with pytest.raises(CrossplaceError, match="not there"):
        SmallVivid().fingerprint(tmp_path)
