"""What every registrar must do: the contract of registration, as checks that run on any registered one."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.contract.overfitting import SPLIT, places_apart
from benchmark.contract.pairs_by_heart import learn_pairs
from benchmark.contract.subject import (
    GPU_TOLERANCE,
    SPARSE_CLOUDS,
    TOLERANCE,
    USUAL,
    BrokenContractError,
    require,
    require_preset,
)
from benchmark.contract.trying import Verdict, require_declared, require_training, verdicts_of
from benchmark.device import torch_device
from benchmark.registry import REGISTRARS
from benchmark.training.checkpoint import load_weights, save_weights
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.batch import load_sample
from methods.layers.poses import composed, inverse, rigid, rotation_of_vector
from methods.registration import PoseStage, Registered, Registrar, RegistrationBatch

SAME_POSE = 2e-2
"""Metres and radians by which poses may differ if the same map is given in other axes: points change pixels."""
_MILLIMETRE = 1e-3
_QUARTER_TURN = ((0.0, -1.0, 0.0, 64.0), (1.0, 0.0, 0.0, -32.0), (0.0, 0.0, 1.0, 8.0), (0.0, 0.0, 0.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class RegistrarSubject:
    """A registrar and the frames that it is tried on."""

    name: str
    registrar: Registrar
    """One of its presets, untrained, in evaluation mode."""
    dataset: PreparedDataset
    preset: str = USUAL

    @classmethod
    def of(cls, name: str, dataset: PreparedDataset, preset: str = USUAL) -> "RegistrarSubject":
        """The registrar with random weights."""
        return cls(name=name, registrar=new_registrar(name, preset), dataset=dataset, preset=preset)

    def batch(self) -> RegistrationBatch:
        """Three frames, evenly spread, each with its own cloud as map and a rough pose some decimetres away."""
        rows = np.linspace(0, len(self.dataset.frames) - 1, 3).astype(int).tolist()
        return batch_of_own_clouds(self.dataset, rows)


def batch_of_own_clouds(dataset: PreparedDataset, rows: list[int]) -> RegistrationBatch:
    """Frames with their own clouds as maps, in the axes of the LiDAR; rough poses are off by up to 1 m and 0.1 rad."""
    samples = [load_sample(dataset, dataset.frame(row), ("image", "cloud")) for row in rows]
    off = torch.rand(len(rows), 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    camera_from_map, intrinsics, images, points = [], [], [], []
    for sample in samples:
        parts = (sample.image, sample.points, sample.intrinsics, sample.camera_from_lidar)
        image, cloud, k, matrix = parts
        if image is None or cloud is None or k is None or matrix is None:
            raise CrossplaceError(f"frame {sample.frame.frame_id}: registration needs image, cloud and calibration")
        images.append(image)
        points.append(cloud)
        intrinsics.append(k)
        camera_from_map.append(matrix)
    truth = inverse(torch.stack(camera_from_map))
    start = rigid(rotation_of_vector(0.1 * off[:, 3:]), off[:, :3])
    return RegistrationBatch(
        frames=tuple(sample.frame for sample in samples),
        images=images,
        intrinsics=torch.stack(intrinsics),
        points=points,
        rough_map_from_camera=composed(truth, start),
        true_map_from_camera=truth,
    )


def new_registrar(name: str, preset: str = USUAL, *, seed: int = 0) -> Registrar:
    """A registrar as a preset configures it, untrained."""
    torch.manual_seed(seed)
    kind = REGISTRARS.get(name)
    require_preset(kind, preset)
    return kind(kind.presets[preset]).eval()


def registered(registrar: Registrar, batch: RegistrationBatch) -> Registered:
    """What a registrar finds; the truth is there only for those that say that they look at it."""
    with torch.inference_mode():
        return registrar.register(batch if registrar.sees_truth else batch.without_truth())


def has_a_complete_card(subject: RegistrarSubject) -> None:
    """Every field of the card says something."""
    require_declared(subject.registrar)


def finds_rigid_poses(subject: RegistrarSubject) -> None:
    """Poses are rigid, covariances are symmetric without negative variances, beliefs are probabilities."""
    batch = subject.batch()
    _require_sound(registered(subject.registrar, batch), len(batch), "some frames")


def _require_sound(found: Registered, n: int, what: str) -> None:
    pose, covariance = found.map_from_camera, found.covariance
    require(pose.shape == (n, 4, 4), f"{what}: poses have shape {tuple(pose.shape)}, expected {(n, 4, 4)}")
    require(covariance.shape == (n, 6, 6), f"{what}: covariances have shape {tuple(covariance.shape)}")
    require(found.belief.shape == (n,), f"{what}: beliefs have shape {tuple(found.belief.shape)}")
    parts = (pose, covariance, found.belief)
    require(all(part.isfinite().all() for part in parts), f"{what}: something found is not finite")
    rotation = pose[:, :3, :3].double()
    off = (rotation @ rotation.transpose(1, 2) - torch.eye(3, dtype=torch.float64)).abs().max()
    require(off < 1e-3, f"{what}: rotations are off by {off:.2g} from orthonormal")
    require(torch.linalg.det(rotation).min() > 0, f"{what}: a pose mirrors")
    skewness = (covariance - covariance.transpose(1, 2)).abs().max()
    require(skewness <= 1e-5 * covariance.abs().max(), f"{what}: a covariance is not symmetric")
    least = torch.linalg.eigvalsh(covariance.double()).min()
    require(least >= -1e-6, f"{what}: a covariance has a variance of {least:.2g}")
    require(((found.belief >= 0) & (found.belief <= 1)).all(), f"{what}: a belief is no probability")


def is_deterministic(subject: RegistrarSubject) -> None:
    """Registering twice gives the same bits, whatever torch's generator is at."""
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(registered(subject.registrar, subject.batch()))
    _require_same(found[0], found[1], "twice the same batch", 0.0)


def is_alone_in_a_batch(subject: RegistrarSubject) -> None:
    """A frame's pose does not depend on what else is in the batch."""
    batch = subject.batch()
    together = registered(subject.registrar, batch)
    for number in range(len(batch)):
        alone = registered(subject.registrar, batch.only(number))
        _require_same(alone, _only(together, number), f"frame {batch.frames[number].frame_id} alone and in a batch")


def is_careful_with_its_input(subject: RegistrarSubject) -> None:
    """Registering leaves the batch as it was."""
    batch, untouched = subject.batch(), subject.batch()
    registered(subject.registrar, batch)
    same = torch.equal(batch.rough_map_from_camera, untouched.rough_map_from_camera)
    for before, after in ((untouched.images, batch.images), (untouched.points, batch.points)):
        same &= all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    require(same and torch.equal(batch.intrinsics, untouched.intrinsics), "registering changes the batch")


def takes_sparse_maps(subject: RegistrarSubject) -> None:
    """Maps with one point or none give finite poses, and disturb no other frame."""
    batch = subject.batch()
    alone = registered(subject.registrar, batch.only(0))
    for what, points in SPARSE_CLOUDS.items():
        sparse = replace(batch, points=[batch.points[0], points, batch.points[2]])
        found = registered(subject.registrar, sparse)
        _require_sound(found, len(batch), f"a map with {what}")
        _require_same(alone, _only(found, 0), f"beside a map with {what}")


def does_not_see_the_truth(subject: RegistrarSubject) -> None:
    """The true pose changes nothing, unless the registrar says that it looks at it."""
    if subject.registrar.sees_truth:
        return
    batch = subject.batch()
    with torch.inference_mode():
        with_truth = subject.registrar.register(batch)
    _require_same(with_truth, registered(subject.registrar, batch), "with and without the true pose", 0.0)


def follows_the_axes_of_the_map(subject: RegistrarSubject) -> None:
    """The same map in other axes gives the same pose in these axes, as far as it does with points a millimetre off."""
    batch = subject.batch()
    expected = registered(subject.registrar, batch)
    usual = _changes(registered(subject.registrar, _shaken(batch)).map_from_camera, expected.map_from_camera)
    turn = batch.rough_map_from_camera.new_tensor(_QUARTER_TURN).expand(len(batch), 4, 4)
    truth = batch.true_map_from_camera
    turned = replace(
        batch,
        points=[points @ turn[0, :3, :3].T + turn[0, :3, 3] for points in batch.points],
        rough_map_from_camera=composed(turn, batch.rough_map_from_camera),
        true_map_from_camera=None if truth is None else composed(turn, truth),
    )
    found = composed(inverse(turn), registered(subject.registrar, turned).map_from_camera)
    for off, shaken in zip(_changes(found, expected.map_from_camera), usual, strict=True):
        fault = (
            f"a map in other axes changes a pose by {off:.2g}, and a millimetre's noise of its points by {shaken:.2g}"
        )
        require(off < max(SAME_POSE, shaken), fault)


def _shaken(batch: RegistrationBatch) -> RegistrationBatch:
    """The batch with every coordinate of its maps up to a millimetre off."""
    noise = torch.Generator().manual_seed(1)
    points = [p + _MILLIMETRE * (2 * torch.rand(p.shape, generator=noise) - 1) for p in batch.points]
    return replace(batch, points=points)


def _changes(found: Tensor, expected: Tensor) -> list[float]:
    """The largest change of a number in the pose of each frame."""
    changes: list[float] = (found - expected).abs().flatten(1).amax(1).tolist()
    return changes


def survives_a_file(subject: RegistrarSubject) -> None:
    """Weights written and read by another instance give the same poses."""
    batch, other = subject.batch(), new_registrar(subject.name, subject.preset, seed=1)
    expected = registered(subject.registrar, batch)
    if subject.registrar.is_trainable:
        before = registered(other, batch)
        learnt = not torch.equal(before.map_from_camera, expected.map_from_camera)
        require(learnt, "two seeds give the same poses: is_trainable should be False, or weights are not used")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_weights(subject.registrar, path)
        load_weights(other, path)
    _require_same(registered(other, batch), expected, "before and after a weights file")


def works_on_a_gpu(subject: RegistrarSubject) -> None:
    """Poses on the first CUDA device are those of the CPU, as far as they are with points a millimetre off."""
    registrar, batch = subject.registrar, subject.batch()
    expected = registered(registrar, batch)
    usual = _changes(registered(registrar, _shaken(batch)).map_from_camera, expected.map_from_camera)
    try:
        device = torch_device("cuda")
        found = registered(registrar.to(device), batch.to(device))
    finally:
        registrar.to("cpu")
    require(found.map_from_camera.device.type == "cuda", "the poses left the GPU")
    for off, shaken in zip(_changes(found.map_from_camera.cpu(), expected.map_from_camera), usual, strict=True):
        require(off < max(SAME_POSE, GPU_TOLERANCE, shaken), f"a pose differs by {off:.2g} between CPU and GPU")


def trains(subject: RegistrarSubject) -> None:
    """Each stage has a finite loss on a batch of its sampler, and gradients for exactly what it says it trains."""
    require_training(new_registrar(subject.name, subject.preset), subject.dataset)


def learns_by_heart(subject: RegistrarSubject) -> str:
    """Trained for up to five minutes, it finds the poses of 16 frames that lie 50 m apart."""
    if not subject.registrar.is_trainable:
        return "nothing to train"
    if not isinstance(subject.registrar.stages(SPLIT)[0], PoseStage):
        return "its stages do not learn poses"
    memory = learn_pairs(new_registrar(subject.name, subject.preset), subject.dataset)
    require(memory.is_learnt, str(memory))
    return str(memory)


REGISTRAR_CHECKS: tuple[Callable[[RegistrarSubject], str | None], ...] = (
    has_a_complete_card,
    finds_rigid_poses,
    is_deterministic,
    is_alone_in_a_batch,
    is_careful_with_its_input,
    takes_sparse_maps,
    does_not_see_the_truth,
    follows_the_axes_of_the_map,
    survives_a_file,
    works_on_a_gpu,
    trains,
)
"""Everything that is asked of a registrar; the first line of each docstring says what."""


def run_registrar_checks(name: str, dataset: PreparedDataset, *, by_heart: bool = False) -> Iterator[Verdict]:
    """Every check on the registrar ``name``, on frames of ``dataset``; ``learns_by_heart`` if wanted.

    Raises:
        CrossplaceError: ``dataset`` is too small for what is wanted.
    """
    if by_heart:
        places_apart(dataset.frames)
    wanted = (*REGISTRAR_CHECKS, learns_by_heart) if by_heart else REGISTRAR_CHECKS
    yield from verdicts_of(lambda: RegistrarSubject.of(name, dataset), "The quick preset can be made.", wanted)


def _only(found: Registered, number: int) -> Registered:
    some = slice(number, number + 1)
    return Registered(
        map_from_camera=found.map_from_camera[some], covariance=found.covariance[some], belief=found.belief[some]
    )


def _require_same(found: Registered, expected: Registered, fault: str, tolerance: float = 10 * TOLERANCE) -> None:
    pairs: list[tuple[str, Tensor, Tensor]] = [
        ("poses", found.map_from_camera, expected.map_from_camera),
        ("covariances", found.covariance, expected.covariance),
        ("beliefs", found.belief, expected.belief),
    ]
    for what, a, b in pairs:
        if not torch.allclose(a, b, atol=tolerance, rtol=tolerance):
            raise BrokenContractError(f"{fault}: {what} differ by {(a - b).abs().max():.2g}")
