import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.cost.measure import N_SAMPLES, measure
from benchmark.cost.probes import memory
from datasets.prepared import PreparedDataset
from methods.batch import Batch

ALL = np.arange(36)


def test_at_least_thirty_samples_of_each_modality_by_the_clock_alone(toy: Any, small_world: PreparedDataset) -> None:
    found = measure(toy.Toy(), small_world, ALL)
    for timing in (found.image, found.cloud):
        assert timing is not None
        assert timing.n_samples == N_SAMPLES >= 30
        assert 0 < timing.preprocess_ms < timing.total_ms <= timing.total_p95_ms
        assert 0 < timing.encode_ms < timing.total_ms
        assert timing.event_total_ms is None
    # image: 48 × 4 weights, 4 biases, 2 × 4 of the normalisation; cloud: 6 × 4 + 4 + 8
    assert found.parameters == 48 * 4 + 4 + 8 + 6 * 4 + 4 + 8
    assert found.descriptor_bytes == 4 * 4
    assert 10 < found.peak_mib < 100_000
    assert found.peak_of.startswith("resident")
    shown = {name: number.value for name, number in found.numbers.items()}
    assert shown == {
        "image": found.image.total_ms,
        "cloud": found.cloud.total_ms,
        "peak": found.peak_mib,
        "place": 16 / 1024,
    }


def test_each_lap_is_one_frame_in_evaluation_mode_without_gradients(
    toy: Any, small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    prepare = toy.Toy.cloud_inputs

    def watched(self: Any, batch: Batch) -> Tensor:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        assert batch.images is None, "the other modality is not loaded"
        (frame,) = batch.frames
        seen.append(frame.frame_id)
        inputs: Tensor = prepare(self, batch)
        return inputs

    monkeypatch.setattr(toy.Toy, "cloud_inputs", watched)
    measure(toy.Toy().train(), small_world, ALL)
    assert len(seen) > N_SAMPLES, "a warm-up before"
    assert len(set(seen[-N_SAMPLES:])) == N_SAMPLES, "over different frames"


def test_time_goes_to_the_part_that_takes_it_and_the_warm_up_is_left_out(
    toy: Any, small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that only the work moves: 5 ms of preparation, 2 ms of encoding, 20 ms more in the first three calls."""
    now, calls = 0.0, 0

    def work(seconds: float) -> None:
        nonlocal now
        now += seconds

    def prepare(self: Any, batch: Batch) -> Tensor:
        nonlocal calls
        calls += 1
        work(0.005 + 0.02 * (calls <= 3))
        return torch.zeros(1, 3, 4, 4)

    def encode(self: Any, inputs: Tensor) -> dict[str, Tensor]:
        work(0.002)
        return {}

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(toy.Toy, "image_inputs", prepare)
    monkeypatch.setattr(toy.Toy, "encode_images", encode)
    timing = measure(toy.Toy(), small_world, ALL).image
    assert timing is not None
    assert (timing.preprocess_ms, timing.encode_ms, timing.total_ms) == pytest.approx((5, 2, 7))
    assert timing.total_p95_ms == pytest.approx(7)


def test_frames_that_lack_a_modality_do_not_thin_out_its_samples(toy: Any, small_world: PreparedDataset) -> None:
    cloud = small_world.frames.cloud.copy()
    cloud[4:] = ""
    found = measure(toy.Toy(), replace(small_world, frames=replace(small_world.frames, cloud=cloud)), ALL)
    assert found.cloud is not None
    assert found.cloud.n_samples == N_SAMPLES


def test_a_modality_that_no_frame_has_is_not_timed(toy: Any, small_world: PreparedDataset) -> None:
    nothing = np.full(36, "", dtype=object)
    found = measure(toy.Toy(), replace(small_world, frames=replace(small_world.frames, cloud=nothing)), ALL)
    assert found.cloud is None
    assert found.image is not None


def test_where_the_kernel_keeps_no_fresh_peak_the_record_says_so(
    toy: Any, small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "reset_resident_peak", lambda: False)
    assert measure(toy.Toy(), small_world, ALL).peak_of == "resident since the process started"


@pytest.mark.gpu
def test_on_a_gpu_events_and_allocated_memory_are_recorded(toy: Any, small_world: PreparedDataset) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = measure(toy.Toy().to("cuda"), small_world, ALL)
    assert found.image is not None
    assert found.image.event_total_ms is not None
    assert found.image.event_total_ms > 0
    assert found.peak_of == "allocated on the GPU"
    assert 0 < found.peak_mib < 1000
