"""What every method must do, whatever it is: the contract, as checks that run on any registered method from anywhere.

``crossplace check-method NAME`` runs them; so do the tests, on every entry of the registry.
"""

import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.contract.overfitting import learn_by_heart, places_apart
from benchmark.contract.subject import (
    GPU_TOLERANCE,
    LEAST_COSINE,
    NO_POINTS,
    SPARSE_CLOUDS,
    BrokenContractError,
    Subject,
    are_close,
    encode,
    new_method,
    require,
    require_same,
)
from benchmark.contract.trying import Verdict, require_declared, require_training, verdicts_of
from benchmark.descriptors.encoding import encode_batch
from benchmark.descriptors.returned import fault_of
from benchmark.device import torch_device
from benchmark.training.checkpoint import load_weights, save_weights
from datasets.base import Modality
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.batch import Batch, Sample, collate
from methods.layers.inference import Precision, for_inference

# --- descriptors ---------------------------------------------------------------------------------


def is_what_is_declared(subject: Subject) -> None:
    """Descriptors have the declared names, views and sizes, are finite, and differ between frames."""
    method, samples = subject.method, subject.samples()
    require(method.descriptors[0].name == "main", "the first descriptor must be called 'main'")
    with torch.inference_mode():
        encoded = encode_batch(method, collate(samples))
    for modality, returned in encoded.items():
        fault = fault_of(method, modality, returned, [sample.frame for sample in samples])
        require(not fault, f"encode_{modality}s returned {fault}")
        for name, found in returned.items():
            differs = (found[0] - found[-1]).abs().max() > 1e-3
            require(differs, f"the {modality} descriptor {name!r} hardly differs between places")


def is_deterministic(subject: Subject) -> None:
    """Encoding twice gives the same bits, whatever torch's generator is at."""
    samples, found = subject.samples(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(encode(subject.method, samples))
    for (modality, name), tensor in found[0].items():
        require(torch.equal(tensor, found[1][modality, name]), f"the {modality} descriptor {name!r} varies by chance")


def is_alone_in_a_batch(subject: Subject) -> None:
    """A frame's descriptor does not depend on what else is in the batch."""
    samples = subject.samples()
    alone = [encode(subject.method, [sample]) for sample in samples]
    for order in ([0, 1, 2, 3], [3, 0, 2], [1, 2, 0, 1]):
        together = encode(subject.method, [samples[i] for i in order])
        for position, i in enumerate(order):
            require_same(alone[i], together, f"frame {samples[i].frame.frame_id} alone and in a batch", position)


def is_careful_with_its_input(subject: Subject) -> None:
    """Encoding leaves the batch as it was."""
    batch, untouched = collate(subject.samples()), collate(subject.samples())
    with torch.inference_mode():
        encode_batch(subject.method, batch)
    pairs = [*zip(batch.images or [], untouched.images or [], strict=True)]
    pairs += [(b.clouds.points, u.clouds.points) for b, u in [(batch, untouched)] if b.clouds and u.clouds]
    if batch.camera_from_lidar is not None and untouched.camera_from_lidar is not None:
        pairs.append((batch.camera_from_lidar, untouched.camera_from_lidar))
    require(all(torch.equal(a, b) for a, b in pairs), "encoding changes the batch that it is given")


def takes_sparse_clouds(subject: Subject) -> None:
    """Clouds with one point or none have a finite descriptor, the same anywhere in a batch, and disturb no other."""
    samples = subject.samples()
    alone = [encode(subject.method, [sample]) for sample in samples]
    for what, points in SPARSE_CLOUDS.items():
        for position in range(len(samples)):
            batch = [*samples]
            batch[position] = replace(samples[position], points=points)
            found, sparse = encode(subject.method, batch), encode(subject.method, [batch[position]])
            finite = all(d.isfinite().all() for d in found.values())
            require(finite, f"a cloud with {what} gives a descriptor that is not finite")
            for row in range(len(samples)):
                expected = sparse if row == position else alone[row]
                require_same(expected, found, f"a cloud with {what} at place {position}, seen at {row}", row)


def takes_a_batch_of_empty_clouds(subject: Subject) -> None:
    """All of them have the same finite descriptor."""
    found = encode(subject.method, [replace(sample, points=NO_POINTS) for sample in subject.samples()])
    for (modality, name), tensor in found.items():
        if modality == "cloud":
            require(tensor.isfinite().all(), f"descriptor {name!r} of empty clouds is not finite")
            same = are_close(tensor, tensor[:1].expand_as(tensor))
            require(same, f"descriptors {name!r} of empty clouds differ")


def names_frames_without_calibration(subject: Subject) -> None:
    """Missing calibration is no obstacle, or one sentence that names the frame."""
    samples = subject.samples()
    bare = replace(samples[2].frame, intrinsics=None, camera_from_lidar=None)
    samples[2] = replace(samples[2], frame=bare, intrinsics=None, camera_from_lidar=None)
    for encoded in _encoders(subject.method, collate(samples)).values():
        try:
            found = encoded()
        except CrossplaceError as error:
            require(bare.frame_id in str(error), f"the error does not name frame {bare.frame_id}: {error}")
        else:
            require(all(d.isfinite().all() for d in found.values()), "no calibration gives what is not finite")


def names_frames_without_a_modality(subject: Subject) -> None:
    """A missing image or cloud is one sentence that names the frame."""
    full = subject.samples()
    frame = full[1].frame
    lacking: dict[Modality, Sample] = {
        "image": replace(full[1], frame=replace(frame, image=""), image=None),
        "cloud": replace(full[1], frame=replace(frame, cloud=""), points=None),
    }
    for modality, bare in lacking.items():
        try:
            _encoders(subject.method, collate([full[0], bare, *full[2:]]))[modality]()
        except CrossplaceError as error:
            require(frame.frame_id in str(error), f"the error does not name frame {frame.frame_id}: {error}")
        else:
            raise BrokenContractError(f"a frame without {modality} is encoded as if it had one")


def _encoders(method: Method, batch: Batch) -> dict[Modality, Callable[[], dict[str, Tensor]]]:
    return {
        "image": lambda: method.encode_images(method.image_inputs(batch)),
        "cloud": lambda: method.encode_clouds(method.cloud_inputs(batch)),
    }


def is_the_same_for_inference(subject: Subject) -> None:
    """The faster copy for inference describes frames as the method does, and leaves the method as it was.

    Shipped weights are taken where the preset has some: without its mean, an untrained descriptor is mostly noise.
    """
    samples, method = subject.samples(), copy.deepcopy(subject.method)
    for shipped in method.shipped:
        if shipped.preset == subject.preset:
            load_weights(method, shipped.file)
    expected = encode(method, samples)
    precisions: tuple[Precision, ...] = ("float32", "auto")
    for precision in precisions:
        for (modality, name), found in encode(for_inference(method, precision), samples).items():
            cosine = functional.cosine_similarity(found, expected[modality, name], dim=2).min().item()
            fault = f"the {modality} descriptor {name!r} for inference ({precision}) has a cosine of {cosine:.6f}"
            require(cosine >= LEAST_COSINE, f"{fault} with the method's, below {LEAST_COSINE}")
    require_same(encode(method, samples), expected, "before and after making the copy for inference")


def survives_a_file(subject: Subject) -> None:
    """Weights written and read by another instance give the same descriptors."""
    samples, other = subject.samples(), new_method(subject.name, subject.preset, seed=1)
    expected = encode(subject.method, samples)
    if subject.method.is_trainable:
        before = encode(other, samples)
        learnt = any(not torch.equal(before[key], tensor) for key, tensor in expected.items())
        require(learnt, "two seeds give the same descriptors: is_trainable should be False, or weights are not used")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_weights(subject.method, path)
        load_weights(other, path)
    require_same(encode(other, samples), expected, "before and after a weights file")


def works_on_a_gpu(subject: Subject) -> None:
    """Descriptors on the first CUDA device are those of the CPU, and the method comes back unchanged."""
    samples, method = subject.samples(), subject.method
    expected = encode(method, samples)
    try:
        with torch.inference_mode():
            device = torch_device("cuda")
            encoded = encode_batch(method.to(device), collate(samples).to(device))
    finally:
        method.to("cpu")
    for (modality, name), tensor in expected.items():
        found = encoded[modality][name]
        require(found.device.type == "cuda", f"the {modality} descriptor {name!r} left the GPU")
        same = torch.allclose(found.cpu(), tensor, atol=GPU_TOLERANCE, rtol=GPU_TOLERANCE)
        require(same, f"the {modality} descriptor {name!r} differs between CPU and GPU")
    require_same(encode(method, samples), expected, "before and after the way to the GPU")


# --- training ------------------------------------------------------------------------------------


def trains(subject: Subject) -> None:
    """Each stage has a finite loss on a batch of its sampler, and gradients for exactly what it says it trains."""
    require_training(new_method(subject.name, subject.preset), subject.dataset)


def learns_by_heart(subject: Subject) -> str:
    """Trained for up to five minutes, it finds the cloud of each of 16 images that lie 50 m apart."""
    if not subject.method.is_trainable:
        return "nothing to train"
    memory = learn_by_heart(new_method(subject.name, subject.preset), subject.dataset)
    require(memory.recall == 1, str(memory))
    return str(memory)


def has_a_complete_card(subject: Subject) -> None:
    """Every field of the card says something."""
    require_declared(subject.method)


CHECKS: tuple[Callable[[Subject], str | None], ...] = (
    has_a_complete_card,
    is_what_is_declared,
    is_deterministic,
    is_alone_in_a_batch,
    is_careful_with_its_input,
    takes_sparse_clouds,
    takes_a_batch_of_empty_clouds,
    names_frames_without_calibration,
    names_frames_without_a_modality,
    is_the_same_for_inference,
    survives_a_file,
    works_on_a_gpu,
    trains,
)
"""Everything that is asked of a method; the first line of each docstring says what. A check may return a remark."""


def run_checks(name: str, dataset: PreparedDataset, *, by_heart: bool = False) -> Iterator[Verdict]:
    """Every check on the registered method ``name``, on frames of ``dataset``; ``learns_by_heart`` if wanted.

    Raises:
        CrossplaceError: ``dataset`` is too small for what is wanted.
    """
    if by_heart:
        places_apart(dataset.frames)
    wanted = (*CHECKS, learns_by_heart) if by_heart else CHECKS
    yield from verdicts_of(lambda: Subject.of(name, dataset), "The quick preset encodes four frames.", wanted)
