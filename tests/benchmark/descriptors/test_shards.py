"""Maps on disk: what is read is what was written, in any blocks, and damage is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.descriptors import shards as module
from benchmark.descriptors.files import MANIFEST
from benchmark.descriptors.shards import Shards, widen, write_shards
from datasets.errors import CrossplaceError


def written(folder: Path, rows: np.ndarray, rows_per_shard: int = 4, key: str = "k") -> Shards:
    return write_shards(folder, key, rows.shape[1], len(rows), lambda a, b: rows[a:b], rows_per_shard)


def read(shards: Shards) -> np.ndarray:
    blocks = [(start, block.copy()) for start, block in shards.blocks()]
    assert [start for start, _ in blocks] == np.cumsum([shards.start, *(len(b) for _, b in blocks)])[:-1].tolist()
    return np.concatenate([np.empty((0, shards.manifest.size), np.float32), *(block for _, block in blocks)])


def test_every_finite_half_is_widened_exactly_and_the_others_are_found() -> None:
    half = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(-1, 64)
    finite = half[np.isfinite(half).all(axis=1)]
    wide = np.empty(finite.shape, np.float32)
    assert widen(finite, wide)
    np.testing.assert_array_equal(wide.view(np.int32), finite.astype(np.float32).view(np.int32))
    for row in half[~np.isfinite(half).all(axis=1)]:
        assert not widen(row[None], np.empty((1, 64), np.float32))


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(0, 30),
    size=st.integers(1, 9),
    per_shard=st.integers(1, 12),
    block=st.integers(1, 70),
    cut=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_what_is_read_is_what_was_written(
    n: int, size: int, per_shard: int, block: int, cut: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = np.random.default_rng(n).normal(size=(n, size)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_VALUES", block)
        shards = written(tmp_path_factory.mktemp("map"), rows, per_shard)
        shards.check()
        start, stop = sorted(min(each, n) for each in cut)
        half = rows.astype(np.float16).astype(np.float32)
        assert (len(shards), shards.n_bytes) == (n, 2 * n * size)
        np.testing.assert_array_equal(read(shards), half)
        np.testing.assert_array_equal(read(shards.between(start, stop)), half[start:stop])
        inner = shards.between(start, stop).between(0, stop - start)
        np.testing.assert_array_equal(read(inner), half[start:stop])


def test_a_map_grows_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    rows, asked = np.arange(22.0, dtype=np.float32).reshape(11, 2), []

    def places(start: int, stop: int) -> np.ndarray:
        asked.append((start, stop))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return rows[start:stop]

    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path, "k", 2, 11, places, 4)
    assert len(Shards.read(tmp_path)) == 8
    write_shards(tmp_path, "k", 2, 10, places, 4)
    assert asked == [(0, 4), (4, 8), (8, 11), (8, 10)]
    np.testing.assert_array_equal(read(write_shards(tmp_path, "k", 2, 11, places, 4)), rows)
    assert asked[4:] == [(8, 11)]
    assert len(write_shards(tmp_path, "k", 2, 5, places, 4)) == 5
    assert asked[5:] == []
    write_shards(tmp_path, "other", 2, 3, places, 4)
    assert asked[5:] == [(0, 3)]


def test_damage_is_said_with_its_cure(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    shards, file = written(tmp_path, rows), tmp_path / "shard-1.npy"
    shards.check()
    good = file.read_bytes()
    cases = {
        good[:-2] + b"\x00\x3c": "",  # another value: only its hash tells
        good[:-2] + b"\x00\x7c": "are not all finite; delete that folder",
        good[:-2]: "not 4 places of 3 values; delete that folder",
        good[:20]: "not 4 places of 3 values",
        b"": "not 4 places of 3 values",
        module.npy(rows[:4]): "not 4 places of 3 values",
        module.npy(rows[:3].astype(np.float16)): "not 4 places of 3 values",
    }
    for content, sentence in cases.items():
        file.write_bytes(content)
        with pytest.raises(CrossplaceError, match="damaged since it was written; delete that folder"):
            shards.check()
        if sentence:
            with pytest.raises(CrossplaceError, match=sentence):
                read(shards)
    file.unlink()
    with pytest.raises(CrossplaceError, match="not readable"):
        read(shards)
    file.write_bytes(good)
    np.testing.assert_array_equal(read(shards), rows.astype(np.float16).astype(np.float32))


def test_a_manifest_that_was_edited_is_refused(tmp_path: Path) -> None:
    written(tmp_path, np.zeros((9, 3), np.float32))
    content = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**content, "size": 4}))
    with pytest.raises(CrossplaceError, match=r"damaged or edited .*; delete that folder and give the same command"):
        Shards.read(tmp_path)
    first, *_, last = content["shards"]
    plain = {k: v for k, v in content.items() if k != "seal"}
    (tmp_path / MANIFEST).write_text(json.dumps({**plain, "shards": [last, first]}))
    with pytest.raises(CrossplaceError, match="a shard before the last is not full"):
        Shards.read(tmp_path)


def test_values_beyond_half_precision_and_places_beyond_the_map_are_refused(tmp_path: Path) -> None:
    rows = np.ones((6, 2), np.float32)
    rows[5, 1] = 7e4
    with pytest.raises(CrossplaceError, match="place 5: a value is not finite in half precision, whose largest"):
        written(tmp_path, rows)
    with pytest.raises(CrossplaceError, match="places 2 to 7 of 5"):
        written(tmp_path, rows[:5]).between(2, 7)
