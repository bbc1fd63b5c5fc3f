"""What every registered method and dataset must do, whatever it is."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.checkpoint import load_weights, save_weights
from benchmark.encoding import encode_batch
from benchmark.loading import load_sample
from benchmark.registry import DATASETS, METHODS
from datasets.base import Selection, Split
from datasets.errors import CrossplaceError
from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from methods.base import Batch, Method, Sample, collate

SPLIT = Split(train=Selection(), validation=Selection())
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
NO_POINTS = torch.zeros(0, 3)
SPARSE_CLOUDS = {
    "no point": NO_POINTS,
    "one point": torch.tensor([[10.0, 0.5, 0.2]]),
    "one point out of view": torch.tensor([[-10.0, 0.0, 0.0]]),
}

Descriptors = dict[tuple[str, str], Tensor]
"""By modality and descriptor name, (batch, views, size)."""


def new_method(name: str, seed: int = 0) -> Method:
    """The quick preset of a method, untrained."""
    torch.manual_seed(seed)
    kind = METHODS.get(name)
    return kind(replace(kind.presets["quick"], weights="none")).eval()


@pytest.fixture(scope="module", params=METHODS.names())
def method(request: pytest.FixtureRequest, small_world: PreparedDataset) -> Method:
    """A method whose batch-norm statistics are those of some frames: untrained ones make all descriptors equal."""
    method = new_method(request.param)
    norms = [m for m in method.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # take the next batch's statistics as they are
    encode(method.train(), samples_of(small_world, [0, 6, 11]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return method.eval()


@pytest.fixture(scope="module")
def prepared_kitti(kitti_mini: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("kitti")
    for _ in Kitti().prepare(kitti_mini, folder):
        pass
    return PreparedDataset.read(folder)


def samples_of(dataset: PreparedDataset, rows: list[int]) -> list[Sample]:
    return [load_sample(dataset, dataset.frame(row), ("image", "cloud")) for row in rows]


@pytest.fixture
def samples(small_world: PreparedDataset) -> list[Sample]:
    """Four small frames of different places, one with an image of another size."""
    found = samples_of(small_world, [0, 3, 17, 34])
    found[1].image = torch.randint(0, 256, (3, 30, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return found


@pytest.fixture(
    scope="module", params=["small_world", "tiny_town", pytest.param("prepared_kitti", marks=pytest.mark.data)]
)
def frames(request: pytest.FixtureRequest) -> list[Sample]:
    """Three frames far apart, on KITTI with images of two sizes."""
    dataset: PreparedDataset = request.getfixturevalue(request.param)
    return samples_of(dataset, [0, len(dataset.frames) // 2, len(dataset.frames) - 1])


def encode(method: Method, samples: list[Sample]) -> Descriptors:
    with torch.inference_mode():
        encoded = encode_batch(method, collate(samples))
    return {(modality, name): d for modality, named in encoded.items() for name, d in named.items()}


def assert_same(found: Descriptors, expected: Descriptors, rows: list[int] | None = None) -> None:
    """``found`` equals ``expected``, or its ``rows``."""
    assert found.keys() == expected.keys()
    for key, tensor in found.items():
        torch.testing.assert_close(tensor, expected[key] if rows is None else expected[key][rows], **TOLERANCE)


# --- descriptors ---------------------------------------------------------------------------------


def test_descriptors_are_what_is_declared_and_finite(method: Method, frames: list[Sample]) -> None:
    encoded = encode(method, frames)
    assert method.descriptors[0].name == "main"
    assert set(encoded) == {(m, spec.name) for m in ("image", "cloud") for spec in method.descriptors}
    for spec in method.descriptors:
        for modality in ("image", "cloud"):
            found = encoded[modality, spec.name]
            assert (len(found), found.shape[2]) == (len(frames), spec.size)
            assert found.isfinite().all()
            assert (found[0] - found[1]).abs().max() > 1e-3  # else the tests below could not fail


def test_descriptors_do_not_depend_on_chance(method: Method, frames: list[Sample]) -> None:
    torch.manual_seed(1)
    first = encode(method, frames)
    torch.manual_seed(2)
    second = encode(method.eval(), frames)
    for key, tensor in first.items():
        assert torch.equal(second[key], tensor)


def test_a_frame_s_descriptor_does_not_depend_on_what_else_is_in_the_batch(
    method: Method, frames: list[Sample]
) -> None:
    alone = [encode(method, [frame]) for frame in frames]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0, 1]):
        together = encode(method, [frames[i] for i in order])
        for position, i in enumerate(order):
            assert_same(alone[i], together, [position])


def test_encoding_leaves_the_batch_as_it_was(method: Method, samples: list[Sample]) -> None:
    batch, untouched = collate(samples), collate([replace(s, image=s.image.clone()) for s in samples])
    with torch.inference_mode():
        encode_batch(method, batch)
    assert all(torch.equal(a, b) for a, b in zip(batch.images, untouched.images, strict=True))
    assert torch.equal(batch.clouds.points, untouched.clouds.points)
    assert torch.equal(batch.camera_from_lidar, untouched.camera_from_lidar)


@pytest.mark.parametrize("points", SPARSE_CLOUDS.values(), ids=SPARSE_CLOUDS)
def test_a_nearly_empty_cloud_is_encoded_alike_anywhere_in_a_batch(
    method: Method, samples: list[Sample], points: Tensor
) -> None:
    alone = [encode(method, [sample]) for sample in samples]
    for position in range(len(samples)):
        batch = [*samples]
        batch[position] = replace(samples[position], points=points)
        found, sparse = encode(method, batch), encode(method, [batch[position]])
        assert all(d.isfinite().all() for d in found.values())
        for row in range(len(samples)):
            assert_same(sparse if row == position else alone[row], found, [row])


def test_a_batch_of_empty_clouds_is_encoded(method: Method, samples: list[Sample]) -> None:
    found = encode(method, [replace(sample, points=NO_POINTS) for sample in samples])
    for spec in method.descriptors:
        cloud = found["cloud", spec.name]
        assert (len(cloud), cloud.shape[2]) == (len(samples), spec.size)
        assert cloud.isfinite().all()
        torch.testing.assert_close(cloud, cloud[:1].expand_as(cloud), **TOLERANCE)


def test_missing_calibration_is_no_obstacle_or_an_error_that_names_the_frame(
    method: Method, samples: list[Sample]
) -> None:
    bare = replace(samples[2].frame, intrinsics=None, camera_from_lidar=None)
    samples[2] = replace(samples[2], frame=bare, intrinsics=None, camera_from_lidar=None)
    batch = collate(samples)
    for inputs, encoder in (
        (method.image_inputs, method.encode_images),
        (method.cloud_inputs, method.encode_clouds),
    ):
        try:
            found = encoder(inputs(batch))
        except CrossplaceError as error:
            assert bare.frame_id in str(error)  # noqa: PT017 - some methods need no calibration
        else:
            assert all(d.isfinite().all() for d in found.values())


@pytest.mark.parametrize("modality", ["image", "cloud"])
def test_a_missing_modality_is_an_error_that_names_the_frame(
    method: Method, samples: list[Sample], modality: str
) -> None:
    bare = replace(samples[1].frame, **{modality: ""})
    samples[1] = replace(samples[1], frame=bare, **{"image": None} if modality == "image" else {"points": None})
    with pytest.raises(CrossplaceError, match=bare.frame_id):
        (method.image_inputs if modality == "image" else method.cloud_inputs)(collate(samples))


def test_weights_survive_the_way_through_a_file(method: Method, samples: list[Sample], tmp_path: Path) -> None:
    save_weights(method, tmp_path / "weights.safetensors")
    other = new_method(method.card.name, seed=1)
    if method.is_trainable:
        before = encode(other, samples)
        assert any(not torch.equal(before[key], tensor) for key, tensor in encode(method, samples).items())
    load_weights(other, tmp_path / "weights.safetensors")
    assert_same(encode(other, samples), encode(method, samples))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_method_works_on_a_gpu_and_comes_back(method: Method, samples: list[Sample]) -> None:
    expected = encode(method, samples)
    try:
        with torch.inference_mode():
            encoded = encode_batch(method.to("cuda"), collate(samples).to("cuda"))
    finally:
        method.to("cpu")
    for (modality, name), tensor in expected.items():
        assert encoded[modality][name].device.type == "cuda"
        torch.testing.assert_close(encoded[modality][name].cpu(), tensor, atol=1e-2, rtol=1e-2)  # TF32
    assert_same(encode(method, samples), expected)


# --- training ------------------------------------------------------------------------------------


def test_stages_train_on_batches_of_their_sampler(method: Method, small_world: PreparedDataset) -> None:
    trained = new_method(method.card.name)
    stages = trained.stages(SPLIT)
    assert bool(stages) == method.is_trainable
    assert len({stage.name for stage in stages}) == len(stages)
    for stage in stages:
        trained.requires_grad_(False)
        stage.eval()
        for module in stage.trainable():
            module.requires_grad_(True).train()
        rng = np.random.default_rng(0)
        sampler = stage.sampler(small_world.frames, training=True)
        rows = sampler.batches(rng)[0]
        batch: Batch = collate(
            [stage.augment(load_sample(small_world, small_world.frame(row), stage.modalities), rng) for row in rows]
        )
        output = stage(batch)
        assert (output.loss_sum / output.count.clamp(min=1)).isfinite()
        output.loss_sum.backward()
        gradients = {name for name, p in trained.named_parameters() if p.grad is not None}
        assert gradients == {name for name, p in trained.named_parameters() if p.requires_grad}
        trained.zero_grad()
        sampler.load_state(sampler.state())
        assert stage.score({"loss": 1.0, **{name: float(value) for name, value in output.statistics.items()}}) >= 0


# --- cards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS.names())
def test_method_cards_are_complete(name: str) -> None:
    kind = METHODS.get(name)
    assert kind.card.name == name
    assert 2000 < kind.card.year < 2100
    empty = [f.name for f in fields(kind.card) if getattr(kind.card, f.name) == ""]
    assert not empty, f"{name}: {', '.join(empty)} of its card is empty"
    assert "quick" in kind.presets


@pytest.mark.parametrize("name", DATASETS.names())
def test_dataset_cards_are_complete(name: str) -> None:
    kind = DATASETS.get(name)
    assert kind.card.name == name
    assert 2000 < kind.card.year < 2100
    optional = {"notes"} if kind.card.is_real else {"notes", "layout"}
    empty = [f.name for f in fields(kind.card) if f.name not in optional and getattr(kind.card, f.name) == ""]
    assert not empty, f"{name}: {', '.join(empty)} of its card is empty"
    if kind.default_protocol:
        assert PROTOCOLS[kind.default_protocol].dataset == name


@pytest.mark.parametrize("name", DATASETS.names())
def test_a_check_without_source_says_what_to_give_unless_nothing_is_needed(name: str) -> None:
    dataset = DATASETS.get(name)()
    findings = dataset.check(None)
    assert findings
    assert all(finding.what for finding in findings)
    if all(finding.ok for finding in findings):
        assert dataset.fingerprint(None) == dataset.fingerprint(None)
    else:
        assert any("--source" in finding.what for finding in findings if not finding.ok)
        with pytest.raises(CrossplaceError):
            dataset.fingerprint(None)
