import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, with_config

from datasets.errors import CrossplaceError
from datasets.files import STRICT, npy, read_as, read_json, read_npy, sealed, sha256_of, unsealed, write_atomically


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
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    for damaged, words in (
        (npy(array) + b"x", "it goes on after the array"),
        (npy(array)[:-1], "it is cut off or damaged"),
        (npy(array)[:20], "it is cut off or damaged"),
        (npy(array.astype(">f8")), "its byte order is not this machine's"),
        (npy(array).replace(b"(2, 3)", b"(2, 2)"), "it goes on after the array"),
        (buffer.getvalue(), "it holds Python objects"),
        (b"<html>", "it does not begin as .npy files do"),
        (b"", "it does not begin as .npy files do"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(CrossplaceError) as raised:
            read_npy(path)
        assert str(raised.value) == (
            f"{path}: not a readable array ({words}); write it again, with numpy.save or what wrote it"
        )


# --- files as types ------------------------------------------------------------------------------


def even(number: int) -> int:
    if number % 2:
        raise ValueError("no even number")
    return number


@dataclass(frozen=True)
class Inner:
    size: Annotated[int, AfterValidator(even)]


@with_config(STRICT)
@dataclass(frozen=True)
class Outer:
    name: str
    parts: dict[str, Inner]


class Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str


WHOLE = {"name": "a", "parts": {"first": {"size": 2}}}


@pytest.mark.parametrize("seal", [sealed, dict])
def test_a_file_is_read_as_its_type_with_or_without_a_seal(tmp_path: Path, seal: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps(seal(WHOLE)))
    assert read_as(tmp_path / "a.json", Outer, "write it again") == Outer("a", {"first": Inner(2)})
    assert read_as(tmp_path / "a.json", Lenient, "write it again") == Lenient(name="a")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", r"a\.json: not valid JSON \(.*\); write it again"),
        ("[1]", "a.json: expected an object, found list; write it again"),
        ('{"parts": {}}', "a.json: name: Field required; write it again"),
        ('{"name": "a", "parts": {}, "x": 1}', r"a.json: x: Extra inputs are not permitted; write it again"),
        ('{"name": "a", "parts": {"b": {"size": 1}}}', "a.json: parts.b.size: no even number; write it again"),
        ('{"name": "a", "parts": {"b": {"size": 2, "y": 1}}}', "a.json: parts.b.y: Extra inputs .*; write it again"),
        ('{"name": "a", "parts": {}, "seal": "0"}', "a.json: damaged or edited .*; write it again"),
        ('{"name": "old", "parts": {}}', "a.json: too old; write it again"),
    ],
)
def test_every_fault_of_a_file_is_said_in_one_form(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.json").write_text(text)

    def refuse(content: Any) -> str:
        return "too old" if "old" in str(content) else ""

    with pytest.raises(CrossplaceError, match=f"{sentence}$"):
        read_as(tmp_path / "a.json", Outer, "write it again", refuse)


def test_a_file_that_is_not_there_has_two_remedies(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"a\.json: not readable \(.*\); put it there again, or write it anew$"):
        read_as(tmp_path / "a.json", Outer, "write it anew")
