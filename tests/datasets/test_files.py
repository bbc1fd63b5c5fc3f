import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import CrossplaceError
from datasets.files import npy, read_json, read_npy, sealed, sha256_of, unsealed, write_atomically


def test_what_is_written_is_there_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    write_atomically(path, b"")
    assert path.read_bytes() == b""
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os if call == "fsync" else Path, call, fail)
    with pytest.raises(CrossplaceError, match=r"file\.txt: cannot be written \(disk full\); .*same command again"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    """A temporary file starts as its owner's alone."""
    write_atomically(tmp_path / "file.txt", b"x")
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [b"", b"crossplace" * 100_000])
def test_sha256_is_that_of_the_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', "{", "", "[" * 100_000])
def test_json_is_strict(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(CrossplaceError, match=r"file\.json: not valid JSON"):
        read_json(tmp_path / "file.json")


def test_json_may_begin_with_a_byte_order_mark_but_must_be_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"a": "ü"}', encoding="utf-8-sig")
    assert read_json(path) == {"a": "ü"}
    path.write_text('{"a": "ü"}', encoding="utf-16")
    with pytest.raises(CrossplaceError, match=r"file\.json: not readable as UTF-8 text"):
        read_json(path)


@given(content=st.dictionaries(st.text(), st.recursive(st.none() | st.floats() | st.text(), st.lists), max_size=4))
def test_a_seal_survives_json_and_tells_every_change(content: dict[str, Any]) -> None:
    content.pop("seal", None)
    stored = json.loads(json.dumps(sealed(content)))
    assert json.dumps(unsealed(stored, Path("f"))) == json.dumps(content)
    with pytest.raises(CrossplaceError, match="f: damaged or edited since it was written"):
        unsealed(stored | {"one more": 1}, Path("f"))


def test_an_array_file_holds_one_native_array(tmp_path: Path) -> None:
    path, array = tmp_path / "a.npy", np.arange(6.0).reshape(2, 3)
    path.write_bytes(npy(array))
    np.testing.assert_array_equal(read_npy(path), array)
    for damaged in (
        npy(array) + b"x",
        npy(array)[:-1],
        npy(array.astype(">f8")),
        npy(array).replace(b"(2, 3)", b"(2, 2)"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(CrossplaceError, match=r"a\.npy: not a readable array"):
            read_npy(path)
