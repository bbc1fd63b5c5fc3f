"""Fifty seeded mutations of every file that is read: a sentence, the same data, or a change that nothing can tell.

What nothing can tell is named per reader (``undetectable``) and listed in docs/faults.md; any other exception and any
other difference is a defect.
"""

import copy
import json
import logging
import math
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from benchmark.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from benchmark.comparison import recall_difference
from benchmark.descriptors import Descriptors
from benchmark.encoding import encode
from benchmark.evaluation import from_ranker
from benchmark.result import Result
from benchmark.scoring import unregistered, write_result
from benchmark.training_report import StageReport, TrainingReport
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.files import sealed
from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset

N_MUTATIONS = 50
log = logging.getLogger(__name__)

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


ANY = (truncate, flip_bit, cut_out, repeat, blank, append, other_format)
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


# --- readers -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One kind of file: how to make it, how it is read, and which differences nothing can tell."""

    make: Callable[["Bed", Path], Path]
    """Write everything needed into an empty folder; returns the file to mutate."""
    read: Callable[["Bed", Path], Any]
    """What the suite makes of the folder."""
    mutations: tuple[Callable[[bytes, random.Random], bytes], ...]
    undetectable: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Bed:
    """What files are made from."""

    world: PreparedDataset
    protocol: Protocol
    method: Any


def kitti_file(name: str) -> Callable[[Bed, Path], Path]:
    def make(bed: Bed, folder: Path) -> Path:
        drive, random_ = folder / "raw" / "sequences" / "00", np.random.default_rng(0)
        for part in ("image_2", "velodyne"):
            (drive / part).mkdir(parents=True)
        for i in range(4):
            pixels = random_.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(drive / "image_2" / f"{i:06d}.png")
            random_.normal(size=(9, 4)).astype("<f4").tofile(drive / "velodyne" / f"{i:06d}.bin")
        p2, tr = "700 0 600 70 0 700 180 0 0 0 1 0", "0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27"
        (drive / "calib.txt").write_text(f"P0: {p2}\nP2: {p2}\nTr: {tr}\n")
        (drive / "times.txt").write_text("".join(f"{i / 10:e}\n" for i in range(4)))
        (drive / "poses.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {10 * i}\n" for i in range(4)))
        return drive / name

    return make


def read_kitti(bed: Bed, folder: Path) -> Any:
    out = folder / "out"
    out.mkdir()
    list(Kitti().prepare(folder / "raw", out))
    # The fingerprint tells every change of the texts and of the sizes of the others: such data gets another folder.
    return everything_in(replace(PreparedDataset.read(out), fingerprint=""))


def everything_in(dataset: PreparedDataset) -> dict[str, Any]:
    """All that the harness takes from a prepared dataset, frame by frame, and what its preparer dropped."""
    frames = {}
    for row, frame_id in enumerate(dataset.frames.frame_id):
        columns = {f.name: getattr(dataset.frames, f.name)[row : row + 1] for f in fields(dataset.frames)}
        del columns["cloud"]  # its path changes with a clean copy
        frame = dataset.frame(row)
        frames[frame_id] = columns | {"pixels": dataset.load_image(frame), "points": dataset.load_cloud(frame)}
    return {
        "description": [dataset.name, dataset.version, dataset.options, dataset.fingerprint],
        "traversals": {name: asdict(traversal) for name, traversal in dataset.traversals.items()},
        "frames": frames,
        "drops": {name: n for name, n in dataset.counts.items() if name != "kept"},
    }


def prepared_file(name: str, own: bool = False) -> Callable[[Bed, Path], Path]:
    """A file of the small world; ``own`` is a folder as a person writes it, without a hash of the table."""

    def make(bed: Bed, folder: Path) -> Path:
        frames = bed.world.frames.take(np.arange(4))
        for i, row in enumerate(range(4)):
            for part in ("images", "clouds"):
                (folder / part).mkdir(exist_ok=True)
            frame = bed.world.frame(row)
            Image.fromarray(bed.world.load_image(frame)).save(folder / f"images/{i}.{'jpg' if i else 'png'}")
            points = bed.world.load_cloud(frame)[:20]
            np.save(folder / f"clouds/{i}.npy", points)
            np.pad(points, ((0, 0), (0, 1))).tofile(folder / f"clouds/{i}.bin")
        frames.image[:] = [f"images/{i}.{'jpg' if i else 'png'}" for i in range(4)]
        frames.cloud[:] = [f"clouds/{i}.{'bin' if i else 'npy'}" for i in range(4)]
        write_small(bed, folder, frames)
        if own:
            described = json.loads((folder / "dataset.json").read_text())
            del described["frames_sha256"]
            (folder / "dataset.json").write_text(json.dumps(described, indent=1))
        return folder / name

    return make


def write_small(bed: Bed, folder: Path, frames: Any) -> None:
    from datasets.prepared import write_prepared

    traversals = [bed.world.traversals["morning"]]
    write_prepared(
        folder,
        name="own",
        version=1,
        options={"spacing_m": 2.5},
        fingerprint="f00d",
        traversals=traversals,
        frames=frames,
        counts={"kept": 4},
    )


def result_file(name: str) -> Callable[[Bed, Path], Path]:
    def make(bed: Bed, folder: Path) -> Path:
        write_result(
            folder,
            "key",
            dataset=bed.world,
            protocol=bed.protocol,
            method=unregistered("random", "ranker"),
            distances=from_ranker("random", 0),
            cost=None,
            seed=0,
            environment={"threads": 2},
            warnings=["a warning"],
        )
        return folder / name

    return make


def read_result(bed: Bed, folder: Path) -> Any:
    return Result.read(folder).model_dump()


def read_ranks(bed: Bed, folder: Path) -> Any:
    difference, interval = recall_difference([folder], [folder], "image->cloud", 5)
    return [difference, interval.low, interval.high]


def descriptor_file(name: str, foreign: bool = False) -> Callable[[Bed, Path], Path]:
    """Descriptors that the suite wrote, or (``foreign``) that anyone made, without a manifest."""

    def make(bed: Bed, folder: Path) -> Path:
        encode(bed.method, bed.world, np.arange(6), folder, {"weights": "w"})
        if foreign:
            (folder / "morning" / "both" / "manifest.json").unlink()
        return folder / name

    return make


def read_descriptors(bed: Bed, folder: Path) -> Any:
    return asdict(Descriptors.read(folder))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def checkpoint_file(name: str) -> Callable[[Bed, Path], Path]:
    def make(bed: Bed, folder: Path) -> Path:
        module = network()
        optimizer = torch.optim.Adam(module.parameters())
        module(torch.arange(8.0).view(4, 2)).sum().backward()
        optimizer.step()
        history = [{"epoch": 1, "train_loss": 0.25}]
        progress = {"epoch": 1, "best_epoch": None, "best_score": 0.5, "seconds": 1.5, "sampler": {"batch_size": 9}}
        save_checkpoint(folder, module, optimizer, progress | {"history": history})
        return folder / name

    return make


def read_checkpoint(bed: Bed, folder: Path) -> Any:
    module = network()
    optimizer = torch.optim.Adam(module.parameters())
    progress = load_checkpoint(folder, module, optimizer)
    slots = {i: {k: t.numpy() for k, t in slot.items()} for i, slot in optimizer.state_dict()["state"].items()}
    return [progress, tensors_of(module), slots]


def tensors_of(module: nn.Module) -> dict[str, Any]:
    return {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}


def weights_file(foreign: bool = False) -> Callable[[Bed, Path], Path]:
    def make(bed: Bed, folder: Path) -> Path:
        save = save_weights if not foreign else lambda module, path: save_file(module.state_dict(), path)
        save(network(), folder / "w.safetensors")
        return folder / "w.safetensors"

    return make


def read_weights(bed: Bed, folder: Path) -> Any:
    module = network()
    load_weights(module, folder / "w.safetensors")
    return tensors_of(module)


def training_report(bed: Bed, folder: Path) -> Path:
    stage = StageReport(epochs_done=2, epochs_planned=3, best_epoch=1, seconds=0.5)
    report = TrainingReport(weights_sha256="f00d", stages={"teach": stage})
    (folder / "training.json").write_text(json.dumps(sealed(asdict(report)), indent=1))
    return folder / "training.json"


def read_training_report(bed: Bed, folder: Path) -> Any:
    return asdict(TrainingReport.read(folder))


def read_prepared(bed: Bed, folder: Path) -> Any:
    return everything_in(PreparedDataset.read(folder))


VALUES = frozenset({"number"})
"""A number that became another plausible number."""
POINTS = frozenset({"number", "rows"})
"""Float bits, and whole points fewer or more."""
OWN = frozenset({"number", "text", "keys"})
"""A table or text of a person: other names, other numbers, a line less."""
IMAGE_2, VELODYNE, BOTH = "image_2/000002.png", "velodyne/000002.bin", "morning/both"
MUTATED = "00/000002"

READERS: dict[str, Reader] = {
    "KITTI calib.txt": Reader(make=kitti_file("calib.txt"), read=read_kitti, mutations=TEXT, undetectable=VALUES),
    "KITTI times.txt": Reader(make=kitti_file("times.txt"), read=read_kitti, mutations=TEXT, undetectable=VALUES),
    "KITTI poses": Reader(make=kitti_file("poses.txt"), read=read_kitti, mutations=TEXT, undetectable=VALUES),
    "KITTI .bin": Reader(make=kitti_file(VELODYNE), read=read_kitti, mutations=BINARY, undetectable=POINTS),
    "KITTI .png": Reader(make=kitti_file(IMAGE_2), read=read_kitti, mutations=BINARY),
    "frames.csv": Reader(make=prepared_file("frames.csv"), read=read_prepared, mutations=TEXT),
    "frames.csv of a person": Reader(
        make=prepared_file("frames.csv", own=True), read=read_prepared, mutations=TEXT, undetectable=OWN
    ),
    "dataset.json": Reader(make=prepared_file("dataset.json"), read=read_prepared, mutations=JSON, undetectable=OWN),
    "prepared .npy": Reader(
        make=prepared_file("clouds/0.npy"), read=read_prepared, mutations=BINARY, undetectable=VALUES
    ),
    "prepared .bin": Reader(
        make=prepared_file("clouds/2.bin"), read=read_prepared, mutations=BINARY, undetectable=POINTS
    ),
    "prepared .png": Reader(make=prepared_file("images/0.png"), read=read_prepared, mutations=BINARY),
    "prepared .jpg": Reader(
        make=prepared_file("images/2.jpg"),
        read=read_prepared,
        mutations=BINARY,
        undetectable=frozenset({"pixels"}),
    ),
    "result.json": Reader(make=result_file("result.json"), read=read_result, mutations=JSON),
    "ranks.npz": Reader(make=result_file("ranks.npz"), read=read_ranks, mutations=BINARY),
    "descriptors": Reader(make=descriptor_file(f"{BOTH}/images.npy"), read=read_descriptors, mutations=BINARY),
    "frame_ids.txt": Reader(make=descriptor_file(f"{BOTH}/frame_ids.txt"), read=read_descriptors, mutations=TEXT),
    "manifest.json": Reader(make=descriptor_file(f"{BOTH}/manifest.json"), read=read_descriptors, mutations=JSON),
    "descriptors.json": Reader(make=descriptor_file("descriptors.json"), read=read_descriptors, mutations=JSON),
    "descriptors of others": Reader(
        make=descriptor_file(f"{BOTH}/images.npy", foreign=True),
        read=read_descriptors,
        mutations=BINARY,
        undetectable=VALUES,
    ),
    "frame_ids.txt of others": Reader(
        make=descriptor_file(f"{BOTH}/frame_ids.txt", foreign=True),
        read=read_descriptors,
        mutations=TEXT,
        undetectable=frozenset({"keys", "number"}),
    ),
    "progress.json": Reader(make=checkpoint_file("progress.json"), read=read_checkpoint, mutations=JSON),
    "checkpoint tensors": Reader(
        make=checkpoint_file("epoch-0001.safetensors"), read=read_checkpoint, mutations=BINARY
    ),
    "weights": Reader(make=weights_file(), read=read_weights, mutations=BINARY),
    "weights of others": Reader(
        make=weights_file(foreign=True), read=read_weights, mutations=BINARY, undetectable=VALUES
    ),
    "training.json": Reader(make=training_report, read=read_training_report, mutations=JSON),
}


@pytest.fixture
def bed(toy: Any, small_world: PreparedDataset, protocol: Protocol) -> Bed:
    torch.manual_seed(0)
    return Bed(world=small_world, protocol=protocol, method=toy.Toy().eval())


@pytest.mark.parametrize("name", READERS)
def test_fifty_mutations_are_a_sentence_or_change_nothing_that_could_be_told(
    name: str, bed: Bed, tmp_path: Path
) -> None:
    reader, counts = READERS[name], Counter(error=0, unchanged=0, dropped=0, undetectable=0)
    whole = tmp_path / "whole"
    whole.mkdir()
    file = reader.make(bed, whole).relative_to(whole)
    content, before = (whole / file).read_bytes(), reader.read(bed, copied(whole, tmp_path / "before"))
    for number_ in range(N_MUTATIONS):
        folder = copied(whole, tmp_path / str(number_))
        mutation, seed = reader.mutations[number_ % len(reader.mutations)], count()
        while (changed := mutation(content, random.Random(f"{name} {number_} {next(seed)}"))) == content:
            pass
        path = folder / file
        path.write_bytes(changed)
        counts[judge(reader, bed, folder, copy.deepcopy(before), f"{name}, {mutation.__name__}, {path}")] += 1
    log.info("%s: %s", name, dict(counts))
    assert counts["error"] >= N_MUTATIONS / 4, "else the mutations never reach the reader"


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def judge(reader: Reader, bed: Bed, folder: Path, before: Any, what: str) -> str:
    try:
        after = reader.read(bed, folder)
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
        for read in (before, after):
            read["frames"].pop(MUTATED, None)
            del read["drops"]
        assert not differences(before, after), f"{what}: more was dropped than counted"
        return "dropped"
    assert found <= reader.undetectable, f"{what}: {found}"
    return "undetectable"
