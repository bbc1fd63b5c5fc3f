"""Two hundred seeded mutations of a bag, and as many of single messages inside a whole one.

Nothing in a bag carries a checksum, so that nothing can tell most changes of its content: pixels, coordinates, a fix,
the time of one message. What can be told is structure: of the file, of its index, of every message.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from mutations import BINARY, everything_in, mutate_and_judge
from raw_vivid import SMALL
from rosbags.rosbag1 import Writer

from datasets.prepared import PreparedDataset
from datasets.samples.vivid import (
    BOOT_S,
    CLOUD,
    FIX,
    IMAGE,
    TYPES,
    cloud_message,
    degrees_of,
    fix_message,
    image_message,
    write_bag,
)
from datasets.vivid import Vivid
from datasets.vivid.fisheye import Calibration
from datasets.vivid.messages import CAMERA, GPS, LIDAR, stamp_ns

log = logging.getLogger(__name__)

pytestmark = pytest.mark.slow
N_MUTATIONS, N_FRAMES = 200, 6
OFFSET_NS = 1621837330_818392000
TINY = Calibration(raw=SMALL.at_width(16))
"""So small that there is more structure than pixels."""


@dataclass(frozen=True, kw_only=True)
class TinyVivid(Vivid):
    image_width: int = 16
    calibration: ClassVar[Calibration] = TINY


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sync", lambda: None)


def messages() -> list[tuple[str, str, float, Any]]:
    random = np.random.default_rng(0)
    sent: list[tuple[str, str, float, Any]] = []
    for i in range(N_FRAMES):
        time = BOOT_S + 50 + i / 10
        pixels = random.integers(0, 256, (TINY.raw.height, TINY.raw.width, 1), dtype=np.uint8)
        for late in (-0.03, 0.03):
            fix = degrees_of(0.0, i + 10 * late, 60.0)
            sent.append((GPS, FIX, time + late, fix_message(time + late, *fix)))
        points = random.normal(scale=20, size=(8, 3))
        sent.append((LIDAR, CLOUD, time + 0.04, cloud_message(time - BOOT_S, points, rows=2)))
        sent.append((CAMERA, IMAGE, time + 0.05, image_message(time + 0.01, pixels, "bayer_rggb8")))
    return sent


def read(folder: Path) -> Any:
    """What is prepared from the bag in ``folder``."""
    out = folder / "out"
    out.mkdir()
    list(TinyVivid().prepare(folder / "raw", out, workers=1))
    # The fingerprint tells changes of the index and of the bag's size: such data gets another folder.
    return everything_in(replace(PreparedDataset.read(out), fingerprint=""))


@pytest.mark.parametrize("compression", [None, Writer.CompressionFormat.LZ4], ids=["plain", "lz4"])
def test_of_the_bag(compression: Writer.CompressionFormat | None, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    file = whole / "raw" / "city_day1.bag"
    write_bag(file, messages(), compression, chunk_bytes=1000)
    undetectable = frozenset({"pixels", "number"})
    counts = mutate_and_judge(whole, file, read, BINARY, undetectable, N_MUTATIONS, tmp_path)
    log.info("ViViD++ bag, %s: %s", compression, dict(counts))
    assert counts["error"] >= N_MUTATIONS / 4


def with_own(index: int) -> Callable[[Path], Any]:
    """Read a folder whose file ``message`` stands for one of the messages."""

    def read_with_own(folder: Path) -> Any:
        sent = messages()
        topic, kind, time_s, _ = sent[index]
        sent[index] = (topic, kind, time_s, (folder / "message").read_bytes())
        write_bag(folder / "raw" / "city_day1.bag", sent, chunk_bytes=1000)
        return read(folder)

    return read_with_own


@pytest.mark.parametrize(
    ("topic", "undetectable"),
    [
        # A cloud at another time is a frame by another name, at another place.
        (LIDAR, {"number", "rows", "keys"}),
        # An image at another time leaves its cloud to the next nearest one.
        (CAMERA, {"pixels", "text"}),
        (GPS, {"number"}),
    ],
)
def test_of_a_message(topic: str, undetectable: set[str], tmp_path: Path) -> None:
    index = [number for number, message in enumerate(messages()) if message[0] == topic][3]
    _, kind, _, message = messages()[index]
    whole, content = tmp_path / "whole", bytes(TYPES.serialize_ros1(message, kind))
    whole.mkdir()
    (whole / "message").write_bytes(content)
    may_drop = (f"city_day1/{stamp_ns(content) + OFFSET_NS}",)
    counts = mutate_and_judge(
        whole, whole / "message", with_own(index), BINARY, frozenset(undetectable), N_MUTATIONS, tmp_path, may_drop
    )
    log.info("ViViD++ %s: %s", topic, dict(counts))
    assert counts["error"] >= N_MUTATIONS / 4
