"""Fifty seeded mutations of every file that is read: a sentence, the same data, or a change that nothing can tell.

What nothing can tell is named per reader (``undetectable``) and listed in docs/faults.md; any other exception and any
other difference is a defect.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from drives import calibration_of, kitti, poses_of, tum
from mutations import BINARY, JSON, TEXT, Mutation, everything_in, mutate_and_judge
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from benchmark.descriptors.encoding import encode
from benchmark.descriptors.files import Descriptors
from benchmark.records.comparison import differences
from benchmark.records.schema import Result
from benchmark.records.study import STUDY, LineRecord, StudyRecord
from benchmark.training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from benchmark.training.report import StageReport, TrainingReport
from datasets.base import Protocol
from datasets.files import sealed
from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset
from datasets.readers import read_points
from datasets.trajectory.calibration import read_calibration
from datasets.trajectory.poses import read_poses
from results import stored_result

N_MUTATIONS = 50
log = logging.getLogger(__name__)

# --- readers -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One kind of file: how to make it, how it is read, and which differences nothing can tell."""

    make: Callable[["Bed", Path], Path]
    """Write everything needed into an empty folder; returns the file to mutate."""
    read: Callable[["Bed", Path], Any]
    """What the suite makes of the folder."""
    mutations: tuple[Mutation, ...]
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
        stored_result(folder, bed.world, bed.protocol, ranker="random", warnings=["a warning"])
        return folder / name

    return make


def read_result(bed: Bed, folder: Path) -> Any:
    return Result.read(folder).model_dump()


def read_ranks(bed: Bed, folder: Path) -> Any:
    found = differences([folder], [folder], 5)["image->cloud"]
    difference, interval = found.value, found.interval
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


def study(bed: Bed, folder: Path) -> Path:
    line = LineRecord(
        question="",
        name="unchanged",
        runs=["a", "b"],
        recall={"image->cloud": [0.25, 0.5]},
        difference={"image->cloud": (0.0, -0.5, 0.5)},
        training_s=1.5,
    )
    record = StudyRecord(
        study="ablation",
        method="toy",
        preset="quick",
        share_of_schedule=0.5,
        dataset="town",
        is_real=False,
        protocol="town v2",
        seeds=[0, 1],
        machine="cpu, 1 threads",
        revision="f00d",
        lines=[line],
    )
    record.write(folder / STUDY)
    return folder / STUDY


def read_study(bed: Bed, folder: Path) -> Any:
    return StudyRecord.read(folder / STUDY).model_dump()


def read_prepared(bed: Bed, folder: Path) -> Any:
    return everything_in(PreparedDataset.read(folder))


def own_cloud(suffix: str) -> Callable[[Bed, Path], Path]:
    """A binary cloud as another program writes it."""

    def make(bed: Bed, folder: Path) -> Path:
        points = bed.world.load_cloud(bed.world.frame(0))[:20]
        types = [(axis, "<f4") for axis in "xyz"]
        heads = {
            ".pcd": "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 20\nHEIGHT 1\n"
            "VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 20\nDATA binary\n",
            ".ply": "ply\nformat binary_little_endian 1.0\nelement vertex 20\nproperty float x\nproperty float y\n"
            "property float z\nend_header\n",
        }
        path = folder / f"cloud{suffix}"
        path.write_bytes(heads[suffix].encode() + points.astype("<f4").view(types).tobytes())
        return path

    return make


def read_own_cloud(bed: Bed, folder: Path) -> Any:
    (path,) = folder.glob("cloud.*")
    return read_points(path).astype(np.float64)


def trajectory(name: str) -> Callable[[Bed, Path], Path]:
    """A drive of a person, or (``00.txt``) the same poses as KITTI writes them."""

    def make(bed: Bed, folder: Path) -> Path:
        times_ns, poses = poses_of(bed.world, "morning")
        (folder / "poses.txt").write_text(tum(times_ns, poses))
        (folder / "00.txt").write_text(kitti(poses))
        (folder / "times.txt").write_text("".join(f"{t / 1e9}\n" for t in times_ns.tolist()))
        content = calibration_of(bed.world, "morning", "lidar")
        (folder / "calibration.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return folder / name

    return make


def read_trajectory(bed: Bed, folder: Path) -> Any:
    forms = read_poses(folder / "poses.txt", None, None), read_poses(folder / "00.txt", folder / "times.txt", None)
    return [[poses.form, poses.times.time_ns, poses.world_from_sensor] for poses in forms]


def read_own_calibration(bed: Bed, folder: Path) -> Any:
    return read_calibration(folder / "calibration.yaml").model_dump(exclude_none=True)


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
        make=prepared_file("clouds/0.npy"), read=read_prepared, mutations=BINARY, undetectable=POINTS
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
    "cloud .pcd": Reader(make=own_cloud(".pcd"), read=read_own_cloud, mutations=BINARY, undetectable=POINTS),
    "cloud .ply": Reader(make=own_cloud(".ply"), read=read_own_cloud, mutations=BINARY, undetectable=POINTS),
    "TUM poses": Reader(make=trajectory("poses.txt"), read=read_trajectory, mutations=TEXT, undetectable=POINTS),
    "KITTI poses of a person": Reader(
        make=trajectory("00.txt"), read=read_trajectory, mutations=TEXT, undetectable=VALUES
    ),
    "times.txt of a person": Reader(
        make=trajectory("times.txt"), read=read_trajectory, mutations=TEXT, undetectable=VALUES
    ),
    "calibration.yaml": Reader(
        make=trajectory("calibration.yaml"), read=read_own_calibration, mutations=TEXT, undetectable=OWN
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
    "study.json": Reader(make=study, read=read_study, mutations=JSON),
}


@pytest.fixture
def bed(toy: Any, small_world: PreparedDataset, protocol: Protocol) -> Bed:
    torch.manual_seed(0)
    return Bed(world=small_world, protocol=protocol, method=toy.Toy().eval())


@pytest.mark.parametrize("name", READERS)
def test_fifty_mutations_are_a_sentence_or_change_nothing_that_could_be_told(
    name: str, bed: Bed, tmp_path: Path
) -> None:
    reader, whole = READERS[name], tmp_path / "whole"
    whole.mkdir()
    file = reader.make(bed, whole)
    counts = mutate_and_judge(
        whole,
        file,
        lambda folder: reader.read(bed, folder),
        reader.mutations,
        reader.undetectable,
        N_MUTATIONS,
        tmp_path,
        may_drop=(MUTATED,),
    )
    log.info("%s: %s", name, dict(counts))
    assert counts["error"] >= N_MUTATIONS / 4, "else the mutations never reach the reader"
