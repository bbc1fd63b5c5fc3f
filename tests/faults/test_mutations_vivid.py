"""Two hundred seeded mutations of a bag and as many of single messages inside a valid one.

Nothing in a bag carries a checksum, so what nothing can tell is most of its content: pixels, coordinates, fixes, the time
of a single message. Structure can be told: of the file, of its index, of every message.
"""

import logging
import random
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import BINARY, Mutation, everything_in, mutate_and_judge
from raw_vivid import BOOT_S, CLOUD, FIX, IMAGE, SmallVivid, cloud_message, degrees_of, fix_message, image_message, write_bag
from rosbags.rosbag1 import Reader, Writer

from datasets.prepared import PreparedDataset
from datasets.vivid.messages import CAMERA, GPS, LIDAR

log = logging.getLogger(__name__)

N_MUTATIONS = 200
N_FRAMES = 6
UNDETECTABLE = frozenset({"pixels", "number", "rows", "keys", "text"})
"""Pixels and numbers; clouds with other points left out; frames at another time, and so under another name."""
START_S = BOOT_S + 50


def messages() -> list[tuple[str, str, float, Any]]:
    random_ = np.random.default_rng(0)
    sent: list[tuple[str, str, float, Any]] = []
    for i in range(N_FRAMES):
        time = START_S + i / 10
        pixels = random_.integers(0, 256, (104, 128, 1), dtype=np.uint8)
        fixes = [(time + late, degrees_of(0.0, i + 10 * late, 60.0)) for late in (-0.03, 0.03)]
        sent += [(GPS, FIX, when, fix_message(when, *fix)) for when, fix in fixes]
        points = random_.normal(scale=20, size=(8, 3))
        sent.append((LIDAR, CLOUD, time + 0.04, cloud_message(time - BOOT_S, points, rows=2)))
        sent.append((CAMERA, IMAGE, time + 0.05, image_message(time + 0.01, pixels, "bayer_rggb8")))
    return sent


def make_bag(folder: Path, compression: Writer.CompressionFormat | None = None) -> Path:
    path = folder / "raw" / "city_day1.bag"
    write_bag(path, messages(), compression, chunk_bytes=20_000)
    return path


def read(folder: Path) -> Any:
    out = folder / "out"
    out.mkdir()
    list(SmallVivid(runs=("city_day1",), image_width=32).prepare(folder / "raw", out, workers=1))
    # Fingerprints tell changes of the index and of the bag's size.
    return everything_in(replace(PreparedDataset.read(out), fingerprint=""))


def judged(folder: Path, file: Path, mutations: tuple[Mutation, ...], scratch: Path, may_drop: tuple[str, ...]) -> Any:
    return mutate_and_judge(folder, file, read, mutations, UNDETECTABLE, N_MUTATIONS, scratch, may_drop)


def all_frames() -> tuple[str, ...]:
    first = 1621837330_818392000 + 50_000_000_000
    return tuple(f"city_day1/{first + i * 100_000_000 + e}" for i in range(N_FRAMES) for e in range(-500, 500))


@pytest.mark.slow
@pytest.mark.parametrize("compression", [None, Writer.CompressionFormat.LZ4], ids=["plain", "lz4"])
def test_of_the_bag(compression: Writer.CompressionFormat | None, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    file = make_bag(whole, compression)
    counts = judged(whole, file, BINARY, tmp_path, all_frames())
    log.warning("ViViD++ bag, %s: %s", compression, dict(counts))
    assert counts["error"] >= N_MUTATIONS / 4
