"""Several workers encode what one worker would, byte for byte, and an interrupted shard costs itself alone."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.descriptors import sharding
from benchmark.descriptors.encoding import encode
from benchmark.descriptors.files import MANIFEST
from benchmark.descriptors.sharding import Shard, encode_shard, join_shards, missing_shards, pieces_of
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.base import Method

MADE_OF = {"weights_key": "w", "dataset": "d"}
ALL = np.arange(36)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(n=st.integers(0, 40), of=st.integers(1, 12))
def test_shards_hold_each_number_once_in_equal_parts(n: int, of: int) -> None:
    ranges = [Shard(number, of).range_of(n) for number in range(1, of + 1)]
    assert [i for each in ranges for i in each] == list(range(n))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


@pytest.mark.parametrize("of", [1, 2, 3, 5, 11])
def test_what_is_joined_is_what_one_worker_writes(
    of: int, method: Method, lacking: PreparedDataset, tmp_path: Path
) -> None:
    """Also with more workers than batches, where some have nothing to do, and in any order of work."""
    encode(method, lacking, ALL, tmp_path / "alone", MADE_OF, batch_size=5)
    place = tmp_path / "shards"
    for number in np.random.default_rng(of).permutation(of) + 1:
        encode_shard(method, lacking, ALL, Shard(int(number), of), place, MADE_OF, batch_size=5)
    assert missing_shards(lacking, ALL, of, place, MADE_OF, batch_size=5) == []
    join_shards(lacking, ALL, of, place, tmp_path / "joined", MADE_OF, batch_size=5)
    assert contents(tmp_path / "joined") == contents(tmp_path / "alone")


def test_an_interrupted_shard_is_redone_alone(
    method: Method, lacking: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 3):
        encode_shard(method, lacking, ALL, Shard(number, 3), tmp_path, MADE_OF)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(sharding, "encode_frames", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            encode_shard(method, lacking, ALL, Shard(2, 3), tmp_path, MADE_OF)
    assert missing_shards(lacking, ALL, 3, tmp_path, MADE_OF) == [Shard(2, 3)]
    encode_shard(method, lacking, ALL, Shard(2, 3), tmp_path, MADE_OF)
    assert missing_shards(lacking, ALL, 3, tmp_path, MADE_OF) == []
    assert contents(tmp_path).items() > before.items()


def test_a_shard_of_other_weights_frames_or_bytes_is_missing(
    method: Method, lacking: PreparedDataset, tmp_path: Path
) -> None:
    for number in (1, 2):
        encode_shard(method, lacking, ALL, Shard(number, 2), tmp_path, MADE_OF)
    assert missing_shards(lacking, ALL, 2, tmp_path, MADE_OF) == []
    assert len(missing_shards(lacking, ALL, 2, tmp_path, {**MADE_OF, "weights_key": "v"})) == 2
    assert missing_shards(lacking, ALL[1:], 2, tmp_path, MADE_OF) == [Shard(1, 2)]  # the other has the same frames
    assert len(missing_shards(lacking, ALL, 3, tmp_path, MADE_OF)) == 3
    file = next(Shard(1, 2).folder(tmp_path).glob("*.npy"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert missing_shards(lacking, ALL, 2, tmp_path, MADE_OF) == [Shard(1, 2)]
    (Shard(2, 2).folder(tmp_path) / MANIFEST).unlink()
    assert len(missing_shards(lacking, ALL, 2, tmp_path, MADE_OF)) == 2


def test_pieces_are_whole_batches_of_the_parts(lacking: PreparedDataset) -> None:
    """Parts of 2, 10, 12, 11 and 1 frames are 1, 2, 3, 3 and 1 batches of at most five."""
    pieces = [[(p.part, len(p.members)) for p in pieces_of(lacking, ALL, Shard(n, 2), 5)] for n in (1, 2)]
    (first, second) = pieces
    assert sum(size for _, size in [*first, *second]) == 36
    assert first[-1][0] == second[0][0] == "evening/both"
    assert first[-1][1] % 5 == 0


@pytest.mark.parametrize("words", ["0/4", "5/4", "1", "1/0", "a/b", "-1/4", "1/4/4", ""])
def test_what_is_no_shard_is_refused(words: str) -> None:
    with pytest.raises(CrossplaceError, match=r"is no shard; name one of n equal parts, from 1/n to n/n"):
        Shard.parse(words)
    assert Shard.parse("2/4") == Shard(2, 4)
