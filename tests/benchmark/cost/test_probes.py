import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.cost import parts
from benchmark.cost.inputs import Inputs
from benchmark.cost.parts import PARTS, SEARCHED, SPANS, Specimen, new_specimen, parts_of, starts
from benchmark.cost.probes import energy, flops, latency, memory, size, throughput
from benchmark.cost.probes.energy import Rapl
from benchmark.cost.probes.flops import counted
from benchmark.cost.readings import Reading
from benchmark.evaluation.distances import distances
from datasets.base import DistanceKind
from datasets.prepared import PreparedDataset
from methods.base import DescriptorSpec
from methods.layers.sparse.modules import SparseConv3d, SparseTensor, SubmanifoldConv3d
from methods.layers.sparse.sites import Sites

CPU = torch.device("cpu")


@pytest.fixture
def specimen(toy: Any, small_world: PreparedDataset) -> Specimen:
    inputs = Inputs.of(small_world, np.arange(len(small_world.frames)), CPU)
    return new_specimen("toy", "quick", toy.Toy(), inputs)


def by_part(readings: list[Reading]) -> dict[str, Reading]:
    return {reading.part: reading for reading in readings}


def without_images(dataset: PreparedDataset) -> PreparedDataset:
    nothing = np.full(len(dataset.frames), "", dtype=object)
    return replace(dataset, frames=replace(dataset.frames, image=nothing))


# --- parts -------------------------------------------------------------------------------------------


def test_parts_of_a_span_follow_each_other() -> None:
    assert ("image", "cloud", *(f"search.{n}" for n in SEARCHED)) == SPANS
    assert [*parts_of("cloud")] == ["cloud.inputs", "cloud.encode"]
    assert {name for span in SPANS for name in parts_of(span)} == set(PARTS)


@pytest.mark.parametrize("kind", ["l2", "cosine", "dot"])
@pytest.mark.parametrize("views", [(1, 1), (1, 3), (4, 1), (2, 3)])
def test_the_search_finds_what_exact_distances_find(
    kind: DistanceKind, views: tuple[int, int], specimen: Specimen
) -> None:
    spec = DescriptorSpec(size=8, distance=kind, image_views=views[0], cloud_views=views[1])
    specimen.method.descriptors = (spec,)
    for number in (0, 5):
        _, places, query = given = starts(specimen, "search.1000")(number, 1)
        assert len(places) == 1000
        expected = np.argsort(distances(query, places.descriptors, kind)[0], kind="stable")[:25]
        assert PARTS["search.1000"].run(specimen, given).tolist() == [expected.tolist()]


def test_methods_with_equal_descriptors_share_a_map_that_is_kept_between_rounds(specimen: Specimen) -> None:
    specimen.method.descriptors = (DescriptorSpec(size=8, distance="l2"),)
    other = new_specimen("other", "quick", specimen.method, specimen.inputs)
    longer = new_specimen("longer", "quick", type(specimen.method)(), specimen.inputs)
    longer.method.descriptors = (DescriptorSpec(size=9, distance="l2"),)
    one, same, another = (starts(s, "search.1000")(0, 1)[1] for s in (specimen, other, longer))
    assert one is same
    assert another.descriptors.shape == (1000, 1, 9)
    assert starts(specimen, "search.1000")(0, 1)[1] is one, "in the next round"


def test_maps_that_do_not_fit_into_memory_are_made_again(specimen: Specimen, monkeypatch: pytest.MonkeyPatch) -> None:
    specimen.method.descriptors = (DescriptorSpec(size=8, distance="l2"),)
    room = parts.VALUE_BYTES * 8 * 1000
    monkeypatch.setattr(parts, "kept_bytes", lambda: room)
    kept = [starts(specimen, "search.1000")(0, 1)[1] for _ in range(2)]
    large = [starts(specimen, "search.10000")(0, 1)[1] for _ in range(2)]
    assert kept[0] is kept[1]
    assert large[0] is not large[1]
    np.testing.assert_array_equal(large[0].descriptors, large[1].descriptors)
    assert [shape[0] for shape, _ in specimen.inputs.maps] == [1000]


# --- latency -----------------------------------------------------------------------------------------


def clock_of(specimen: Specimen, monkeypatch: pytest.MonkeyPatch, **ms: Callable[[int], float]) -> None:
    """A clock that only the work moves: each step takes as long as a function of its batch's size says."""
    now, kind = 0.0, type(specimen.method)

    def spend(step: str, size: int) -> None:
        nonlocal now
        now += ms[step](size) / 1e3

    def prepare(self: Any, batch: Any) -> Tensor:
        spend("prepare", len(batch))
        return torch.zeros(len(batch), 48)

    def encode(self: Any, inputs: Tensor) -> dict[str, Tensor]:
        spend("encode", len(inputs))
        return {}

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    found = np.empty((1, 0), dtype=np.int64)
    monkeypatch.setattr(parts, "nearest", lambda query, places, *_: (found, spend("search", len(places))))
    for name, step in {"image_inputs": prepare, "cloud_inputs": prepare}.items():
        monkeypatch.setattr(kind, name, step)
    for name in ("encode_images", "encode_clouds"):
        monkeypatch.setattr(kind, name, encode)


def test_every_part_and_both_wholes_have_their_time(specimen: Specimen, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_of(specimen, monkeypatch, prepare=lambda n: 5, encode=lambda n: 2, search=lambda n: n / 1000)
    found = by_part(latency.read(specimen, 0.4))
    assert {name: reading.samples[0] for name, reading in found.items()} == pytest.approx(
        {
            **{"image.inputs": 5, "image.encode": 2, "image": 7, "cloud.inputs": 5, "cloud.encode": 2, "cloud": 7},
            **{"search.1000": 1, "search.10000": 10},
        }
    )
    assert len(found["image"].samples) == pytest.approx(0.075 / 0.007, abs=1), "three quarters of the span's 0.1 s"
    assert len(found["search.10000"].samples) == pytest.approx(7, abs=1)
    assert found["cloud.encode"].inputs == tuple(range(16))[: len(found["cloud"].samples)] or all(
        n == i % 16 for i, n in enumerate(found["cloud.encode"].inputs)
    )


def test_a_slow_part_gets_its_least_samples_whatever_the_time(
    specimen: Specimen, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_of(specimen, monkeypatch, prepare=lambda n: 5, encode=lambda n: 9_000, search=lambda n: 1)
    found = by_part(latency.read(specimen, 0.1))
    assert len(found["image"].samples) == latency.LEAST == 2


def test_a_modality_that_no_frame_has_is_a_hole(toy: Any, small_world: PreparedDataset) -> None:
    inputs = Inputs.of(without_images(small_world), np.arange(36), CPU)
    specimen = new_specimen("toy", "quick", toy.Toy(), inputs)
    reason = "no image: no frame of small_world has one; name another dataset"
    for probe in (latency, throughput, flops):
        found = by_part(probe.read(specimen, 0.05))  # type: ignore[attr-defined]
        assert found["image"].hole == reason
        assert found["cloud"].hole == ""
    assert by_part(latency.read(specimen, 0.05))["image.encode"].hole == reason
    whole = Inputs.of(small_world, np.arange(36), CPU)  # another dataset, as the sentence says
    assert not by_part(latency.read(replace(specimen, inputs=whole), 0.05))["image"].hole


def test_a_map_that_is_too_large_is_a_hole_and_a_shorter_descriptor_is_none(specimen: Specimen) -> None:
    specimen.method.descriptors = (DescriptorSpec(size=100_000),)
    reason = by_part(latency.read(specimen, 0.05))["search.10000"].hole
    assert reason.startswith("a map of 10,000 places takes 11.2 GiB, more than the 3 GiB")
    specimen.method.descriptors = (DescriptorSpec(size=4),)
    assert not by_part(latency.read(specimen, 0.05))["search.10000"].hole


# --- throughput --------------------------------------------------------------------------------------


def test_the_best_batch_is_the_one_before_it_gets_worse(specimen: Specimen, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 ms a batch and 1 ms a frame, but beyond 8 frames 9 ms a frame: 8 frames take 18 ms."""
    clock_of(specimen, monkeypatch, prepare=lambda n: 10, encode=lambda n: n * (1 if n <= 8 else 9), search=lambda n: 1)
    found = by_part(throughput.read(specimen, 20.0))["cloud"]
    assert found.values == {"batch": 8.0}
    assert sorted(found.samples)[len(found.samples) // 2] == pytest.approx(8 / 0.018)


def test_one_size_that_met_other_work_does_not_end_the_search(
    specimen: Specimen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 ms a batch and 1 ms a frame, but the machine is busy while batches of two are tried."""

    def encode(n: int) -> float:
        return 100 if n == 2 else n * (1 if n <= 8 else 9)

    clock_of(specimen, monkeypatch, prepare=lambda n: 10, encode=encode, search=lambda n: 1)
    assert by_part(throughput.read(specimen, 20.0))["cloud"].values == {"batch": 8.0}


def test_later_rounds_take_the_size_that_the_first_one_found(
    specimen: Specimen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is slower for a while must not change what is measured."""
    clock_of(specimen, monkeypatch, prepare=lambda n: 10, encode=lambda n: n * (1 if n <= 8 else 9), search=lambda n: 1)
    throughput.read(specimen, 20.0)
    clock_of(specimen, monkeypatch, prepare=lambda n: 0, encode=lambda n: 10 * n, search=lambda n: 1)
    found = by_part(throughput.read(specimen, 0.4))["cloud"]
    assert (found.values, [*found.samples]) == ({"batch": 8.0}, pytest.approx([100, 100])), "in 0.2 s"


def test_a_batch_that_does_not_fit_ends_the_search_and_hides_nothing(
    specimen: Specimen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(n: int) -> float:
        if n > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 1.0

    clock_of(specimen, monkeypatch, prepare=lambda n: 1, encode=encode, search=lambda n: 1)
    found = by_part(throughput.read(specimen, 10.0))["image"]
    assert (found.values, found.samples[0]) == ({"batch": 4.0}, pytest.approx(2000))


def test_where_time_is_short_the_first_size_has_to_do(specimen: Specimen, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_of(specimen, monkeypatch, prepare=lambda n: 0, encode=lambda n: 5_000 * n, search=lambda n: 1)
    found = by_part(throughput.read(specimen, 0.1))["image"]
    assert (found.values, [*found.samples]) == ({"batch": 1.0}, pytest.approx([0.2]))


# --- operations --------------------------------------------------------------------------------------


def flop(run: Callable[[], Any]) -> int:
    with torch.no_grad():
        return counted(run)[1]


def test_operations_of_dense_layers_by_hand() -> None:
    image, rows = torch.zeros(2, 3, 8, 10), torch.zeros(5, 7)
    assert flop(lambda: nn.Linear(7, 11)(rows)) == 2 * 5 * 7 * 11
    assert flop(lambda: nn.Conv2d(3, 6, 3, padding=1, stride=2)(image)) == 2 * (2 * 6 * 4 * 5) * (3 * 3 * 3)
    assert flop(lambda: nn.Conv2d(6, 6, 3, groups=6)(torch.zeros(1, 6, 8, 8))) == 2 * (6 * 6 * 6) * 9


def test_operations_of_attention_by_hand() -> None:
    """Two products of 9 × 9 pairs and 4 numbers in each of 2 heads; and with the four projections of 8 numbers."""
    q, k, v = (torch.rand(1, 2, 9, 4) for _ in range(3))
    pairs = 2 * 2 * (2 * 9 * 9 * 4)
    assert flop(lambda: functional.scaled_dot_product_attention(q, k, v)) == pairs
    attention, tokens = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.rand(1, 9, 8)
    assert flop(lambda: attention(tokens, tokens, tokens, need_weights=False)) == pairs + 4 * 2 * 9 * 8 * 8


def test_operations_of_sparse_convolutions_are_the_pairs_of_their_rulebooks() -> None:
    """Three sites in a row and one apart: 4 pairs with themselves, 2 × 2 with a neighbour, none across the gap."""
    indices = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 2], [0, 4, 4, 4]])
    x = SparseTensor(torch.rand(4, 5), Sites(indices, (6, 6, 6), 1))
    assert flop(lambda: SubmanifoldConv3d(5, 7)(x)) == 2 * (4 + 4) * 5 * 7
    # A kernel of 2 with stride 2 feeds each site into one cell.
    assert flop(lambda: SparseConv3d(5, 3, kernel_size=2, stride=2, padding=0)(x)) == 2 * 4 * 5 * 3
    # A kernel of 1 does so too, but only sites with even coordinates are met: 0, 2 and the one apart.
    assert flop(lambda: SparseConv3d(5, 3, kernel_size=1, stride=2, padding=0)(x)) == 2 * 3 * 5 * 3


def test_operations_of_a_method_are_those_of_its_layers(specimen: Specimen) -> None:
    found = by_part(flops.read(specimen, 0.0))
    assert found["image.encode"].values == pytest.approx(dict.fromkeys(("value", "least", "most"), 2 * 48 * 4 / 1e9))
    assert found["cloud"].values["value"] == pytest.approx(2 * 6 * 4 / 1e9)
    assert found["image.inputs"].values["value"] == 0


def test_counting_leaves_fast_attention_as_it_was() -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(ZeroDivisionError):
        counted(lambda: 1 // 0)
    assert torch.backends.mha.get_fastpath_enabled() == before


# --- sizes -------------------------------------------------------------------------------------------


def test_sizes_of_the_toy_by_hand(specimen: Specimen) -> None:
    """228 parameters of the layers and 16 of the normalisations, whose buffers are 16 floats and 2 counters."""
    found = {(r.part, r.quantity): r.values["value"] for r in size.read(specimen, 0.0)}
    n_parameters = 48 * 4 + 4 + 6 * 4 + 4 + 2 * 8
    assert found == pytest.approx(
        {
            ("method", "parameters"): n_parameters / 1e6,
            ("method", "weights"): (4 * n_parameters + 4 * 16 + 2 * 8) / 2**20,
            ("image", "place"): 16 / 1024,
            ("cloud", "place"): 16 / 1024,
        }
    )


# --- memory ------------------------------------------------------------------------------------------


def test_memory_of_a_gpu_is_a_hole_without_one(specimen: Specimen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "in_its_own_process", lambda *_: {"resident": 300.0})
    found = {reading.quantity: reading for reading in memory.read(specimen, 0.0)}
    assert found["resident memory"].values == {"value": 300.0}
    assert found["allocated memory"].hole == found["reserved memory"].hole == memory.NO_GPU


def test_a_fault_in_the_fresh_process_is_the_hole_of_all_memory(
    specimen: Specimen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "in_its_own_process", lambda *_: "it died")
    assert {reading.hole for reading in memory.read(specimen, 0.0)} == {"it died"}


# --- energy ------------------------------------------------------------------------------------------


def rapl(folder: Path, name: str, uj: int, limit: int = 1_000_000) -> Path:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "energy_uj").write_text(f"{uj}\n")
    (folder / name / "max_energy_range_uj").write_text(f"{limit}\n")
    return folder / name / "energy_uj"


def test_counters_of_all_packages_are_added_and_begin_anew(tmp_path: Path) -> None:
    files = [rapl(tmp_path, "intel-rapl:0", 999_000), rapl(tmp_path, "intel-rapl:1", 5_000)]
    counter = Rapl(files)
    assert counter() == 0
    rapl(tmp_path, "intel-rapl:0", 2_000)  # over its greatest value: 1,000 and 2,000 more
    rapl(tmp_path, "intel-rapl:1", 6_000)
    assert counter() == pytest.approx(0.004)
    assert counter() == pytest.approx(0.004), "nothing was used since"


def test_energy_of_a_frame_is_that_of_the_packages_alone(
    specimen: Specimen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each lap takes 10 ms of a clock and 0.2 J of package 0; the core below the package is not counted again."""
    rapl(tmp_path, "intel-rapl:0", 0, limit=10**9)
    rapl(tmp_path, "intel-rapl:0:0", 0, limit=10**9)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    clock_of(specimen, monkeypatch, prepare=lambda n: 10, encode=lambda n: 0, search=lambda n: 0)
    monkeypatch.setattr(Rapl, "__call__", lambda self: 20 * time.perf_counter())
    found = by_part(energy.read(specimen, 1.0))["image"]
    assert [*found.samples] == pytest.approx([0.2])
    assert found.values["watts"] == pytest.approx(20)


def test_without_a_counter_energy_is_a_hole_with_its_reason(
    specimen: Specimen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    assert {r.hole for r in energy.read(specimen, 0.0)} == {
        f"no counter of energy: {tmp_path} has no package of RAPL, as in most virtual machines"
    }


def test_a_counter_that_may_not_be_read_names_the_cure(
    specimen: Specimen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rapl(tmp_path, "intel-rapl:0", 5)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    read_text = Path.read_text

    def refused(self: Path, *arguments: Any, **options: Any) -> str:
        if self == file and not self.stat().st_mode & 0o004:  # tests may run as root, who may read everything
            raise PermissionError(13, "Permission denied")
        return read_text(self, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refused)
    file.chmod(0o600)
    assert energy.counter_of(CPU) == (
        f"{file}: not readable (Permission denied); allow it (sudo chmod a+r) and measure again"
    )
    file.chmod(0o604)
    assert isinstance(energy.counter_of(CPU), Rapl)
