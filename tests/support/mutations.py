"""Seeded damage to files, and what differs between what was read before and after: for the tests of readers.

A reader of damaged files answers with a sentence, with the same data, with data less what it counts as dropped, or with
a change that nothing can tell; any other exception and any other difference is a defect.
"""

import copy
import json
import math
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

Mutation = Callable[[bytes, random.Random], bytes]
Read = Callable[[Path], Any]

# --- mutations -----------------------------------------------------------------------------------

NUMBER = re.compile(rb"-?\d+\.?\d*(?:[eE][+-]?\d+)?")


def truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def flip_bit(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def cut_out(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + content[at + rng.randint(1, 40) :]


def repeat(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + content[at : at + rng.randint(1, 40)] + content[at:]


def blank(content: bytes, rng: random.Random) -> bytes:
    """A block of zeros, as a crash of the machine leaves it."""
    at = rng.randrange(len(content))
    n = min(rng.randint(1, 40), len(content) - at)
    return content[:at] + bytes(n) + content[at + n :]


def append(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(rng.randint(1, 40))


def other_format(content: bytes, rng: random.Random) -> bytes:
    return rng.choice([b"", b"\n", b"<html>404</html>", b"PK\x03\x04", b"\x93NUMPY\x01\x00", bytes(64)])


def lines(content: bytes, rng: random.Random) -> bytes:
    """One line less, one twice, or two exchanged."""
    rows = content.splitlines(keepends=True)
    i, j = rng.randrange(len(rows)), rng.randrange(len(rows))
    change = rng.choice(["delete", "repeat", "swap"])
    if change == "delete":
        del rows[i]
    elif change == "repeat":
        rows.insert(i, rows[i])
    else:
        rows[i], rows[j] = rows[j], rows[i]
    return b"".join(rows)


def number(content: bytes, rng: random.Random) -> bytes:
    found = list(NUMBER.finditer(content))
    if not found:
        return content
    match = rng.choice(found)
    other = rng.choice([b"nan", b"NaN", b"inf", b"-Infinity", b"far", b"1e999", b"9" * 400, b"", b"-1", b"1.5", b"0x1"])
    return content[: match.start()] + other + content[match.end() :]


def encoding(content: bytes, rng: random.Random) -> bytes:
    """Another text encoding, line ends of another system, or a byte that is no UTF-8."""
    kind = rng.choice(["bom", "utf-16", "crlf", "cr", "latin-1"])
    if kind == "latin-1":
        at = rng.randrange(len(content))
        return content[:at] + "ü".encode("latin-1") + content[at:]
    text = content.decode()
    ends = {"crlf": "\r\n", "cr": "\r"}
    if kind in ends:
        return text.replace("\n", ends[kind]).encode()
    return text.encode("utf-8-sig" if kind == "bom" else "utf-16")


def json_value(content: bytes, rng: random.Random) -> bytes:
    """A key dropped or a value of another type, anywhere in the tree."""
    tree = json.loads(content)
    places = [(node, key) for node in nodes_of(tree) for key in (node if isinstance(node, dict) else range(len(node)))]
    node, key = rng.choice(places)
    if rng.random() < 0.5:
        del node[key]
    else:
        node[key] = rng.choice([None, "text", -7, 0.5, [], {}, True, "1"])
    return json.dumps(tree).encode()


def nodes_of(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict | list):
        yield tree
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from nodes_of(child)


ANY: tuple[Mutation, ...] = (truncate, flip_bit, cut_out, repeat, blank, append, other_format)
TEXT = (*ANY, lines, number, encoding)
JSON = (*TEXT, json_value, json_value)
BINARY = (*ANY, flip_bit, truncate)


# --- what differs --------------------------------------------------------------------------------


def differences(before: Any, after: Any) -> set[str]:
    """Kinds of difference between what was read before and after: text, number, pixels, rows, keys."""
    if isinstance(before, dict) and isinstance(after, dict):
        kinds = set() if before.keys() == after.keys() else {"keys"}
        return kinds.union(*(differences(before[k], after[k]) for k in before.keys() & after.keys()))
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        kinds = set() if len(before) == len(after) else {"rows"}
        return kinds.union(*(differences(b, a) for b, a in zip(before, after, strict=False)))
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return array_differences(before, after)
    if before == after and type(before) is type(after):
        return set()
    if isinstance(before, str) and isinstance(after, str):
        return {"text"}
    if isinstance(before, int | float) and isinstance(after, int | float) and math.isfinite(after):
        return {"number"}
    return {f"{type(before).__name__} became {type(after).__name__}: {after!r}"}


def array_differences(before: np.ndarray, after: np.ndarray) -> set[str]:
    if before.shape == after.shape and before.dtype == after.dtype and before.tolist() == after.tolist():
        return set()
    if before.dtype.kind != after.dtype.kind or before.shape[1:] != after.shape[1:]:
        return {f"array {before.dtype} {before.shape} became {after.dtype} {after.shape}"}
    if after.dtype.kind == "f" and not np.isfinite(after).all():
        return {"not finite"}
    if len(before) != len(after):
        return {"rows"}
    return {{"O": "text", "u": "pixels"}.get(after.dtype.kind, "number")}


def everything_in(dataset: PreparedDataset) -> dict[str, Any]:
    """All that the harness takes from a prepared dataset, frame by frame, and what its preparer dropped."""
    frames = {}
    for row, frame_id in enumerate(dataset.frames.frame_id):
        one = dataset.frames.take(np.array([row]))
        columns = {f.name: getattr(one, f.name) for f in fields(one) if getattr(one, f.name) is not None}
        del columns["cloud"]  # its path changes with a clean copy
        if Path(image := columns["image"][0]).is_absolute():  # a file of the source, of which there are copies
            columns["image"] = np.array(Path(image).parts[-3:], dtype=object)
        frame = dataset.frame(row)
        frames[frame_id] = columns | {"pixels": dataset.load_image(frame), "points": dataset.load_cloud(frame)}
    return {
        "description": [dataset.name, dataset.version, dataset.options, dataset.fingerprint],
        "traversals": {name: asdict(traversal) for name, traversal in dataset.traversals.items()},
        "frames": frames,
        "drops": {name: n for name, n in dataset.counts.items() if name != "kept"},
    }


# --- the test ------------------------------------------------------------------------------------


def mutate_and_judge(
    whole: Path,
    file: Path,
    read: Read,
    mutations: tuple[Mutation, ...],
    undetectable: frozenset[str],
    n_mutations: int,
    scratch: Path,
    may_drop: tuple[str, ...] = (),
) -> Counter[str]:
    """Damage ``file`` of the folder ``whole``, a copy of it each time; returns how often a reader answered how.

    ``read`` is given a copy of ``whole``. ``undetectable`` are the kinds of :func:`differences` that nothing can tell.
    ``may_drop`` are the frames that the damage may cost, if the reader counts that as dropped.
    """
    content, before = file.read_bytes(), read(copied(whole, scratch / "before"))
    counts: Counter[str] = Counter(error=0, unchanged=0, dropped=0, undetectable=0)
    for number_ in range(n_mutations):
        folder = copied(whole, scratch / str(number_))
        mutation, seed = mutations[number_ % len(mutations)], count()
        while (changed := mutation(content, random.Random(f"{file.name} {number_} {next(seed)}"))) == content:
            pass
        path = folder / file.relative_to(whole)
        path.write_bytes(changed)
        what = f"{mutation.__name__}, {path}"
        counts[judge(read, folder, copy.deepcopy(before), undetectable, may_drop, what)] += 1
        shutil.rmtree(folder)
    return counts


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def judge(
    read: Read, folder: Path, before: Any, undetectable: frozenset[str], may_drop: tuple[str, ...], what: str
) -> str:
    try:
        after = read(folder)
    except CrossplaceError as error:
        sentence = str(error)
    else:
        sentence = ""
    if sentence:
        assert "\n" not in sentence, what
        assert str(folder) in sentence, f"{what}: the sentence names no file: {sentence}"
        return "error"
    found = differences(before, after)
    if not found:
        return "unchanged"
    if isinstance(after, dict) and after.get("drops") != before.get("drops"):
        for read_ in (before, after):
            for frame in may_drop:
                read_["frames"].pop(frame, None)
            del read_["drops"]
        left = differences(before, after)
        assert left <= undetectable, f"{what}: more was dropped than counted: {left}"
        return "dropped"
    assert found <= undetectable, f"{what}: {found}"
    return "undetectable"
