from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest
import torch

from benchmark.cost import session
from benchmark.cost.conditions import CLOCK_CHANGE, OTHERS_CORES
from benchmark.cost.inputs import N_FRAMES
from benchmark.cost.measure import N_SAMPLES
from benchmark.cost.parts import MOST_BYTES, N_NEAREST, PARTS, Specimen
from benchmark.cost.presets import WHOLE, PresetChoice, chosen
from benchmark.cost.probes import PROBES, Probe, latency
from benchmark.cost.readings import LEAST_FOR_P99, MANY, WIDEST, Reading, exact
from benchmark.cost.session import AT_ONCE, ROUNDS, Subjects, run_session
from benchmark.cost.stopwatch import SETTLED
from benchmark.records.cost import AGREE, CostSheet
from benchmark.registry import METHODS
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

DOCUMENT = (Path(__file__).parents[3] / "docs" / "cost.md").read_text()
TOY = [PresetChoice(name="toy", preset="quick")]
HISTOGRAM = PresetChoice(name="height_histogram", preset="quick")
Read = Callable[[Specimen, float], Sequence[Reading]]


@pytest.fixture
def subjects(small_world: PreparedDataset, tmp_path: Path) -> Subjects:
    return Subjects(dataset=small_world, device=torch.device("cpu"), folder=tmp_path)


@dataclass(frozen=True, kw_only=True)
class FakeProbe(Probe):
    """A probe that reads what it is told to."""

    reader: Read

    @property
    def read(self) -> Read:
        return self.reader


def fake(weight: float, reader: Read, *, is_apart: bool = False) -> FakeProbe:
    return FakeProbe(title="fake", module="", weight=weight, reader=reader, is_apart=is_apart)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces all probes by one."""

    def install(read: Read, weight: float = 1.0) -> None:
        monkeypatch.setattr(session, "PROBES", {"fake": fake(weight, read)})

    return install


def reading(value: float) -> Reading:
    return Reading(part="image", quantity="latency", unit="ms", samples=[float(value)] * 3)


# --- which presets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_has_a_row_or_a_hole_in_quick_and_in_its_papers_architecture(name: str) -> None:
    quick, paper = chosen([name], ["quick", "paper"])
    assert (quick.name, quick.preset, quick.hole) == (name, "quick", "")
    presets = METHODS.get(name).presets
    assert (paper.preset in presets) != bool(paper.hole)
    if not paper.hole:
        assert paper.preset.startswith(("paper", "full"))
    else:
        assert paper.hole == f"{name} has no preset with a paper's architecture, only {', '.join(presets)}"


def test_a_preset_that_two_words_mean_is_measured_once() -> None:
    found = chosen(["range_plain", "height_histogram"], ["paper", "quick", "full", "quick"])
    assert [(choice.name, choice.preset) for choice in found] == [
        *(("range_plain", "full"), ("range_plain", "quick")),
        *(("height_histogram", "paper"), ("height_histogram", "quick"), ("height_histogram", "full")),
    ]


def test_a_preset_that_some_methods_lack_is_their_hole_and_one_that_none_has_is_refused() -> None:
    assert [choice.hole for choice in chosen(["vxp", "height_histogram"], ["gpu"])] == [
        "",
        "height_histogram has no preset gpu, only quick",
    ]
    with pytest.raises(CrossplaceError, match=r"unknown preset 'quik'.*quick"):
        chosen(["vxp", "height_histogram"], ["quik"])
    assert chosen(["vxp", "height_histogram"], ["quick"])


# --- a session ---------------------------------------------------------------------------------------


def test_methods_are_read_in_turn_and_share_the_time(
    toy: Any, subjects: Subjects, probe: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = 100.0, []

    def read(specimen: Specimen, seconds: float) -> list[Reading]:
        nonlocal now
        asked.append((specimen.name, seconds))
        now += 4.0 if len(asked) == 1 else seconds
        return [reading(1)]

    monkeypatch.setattr(session.time, "monotonic", lambda: now)
    probe(read)
    run_session(subjects, [*TOY, HISTOGRAM], minutes=0.1)
    assert [name for name, _ in asked] == ["toy", "height_histogram"] * ROUNDS
    n_reads = 2 * ROUNDS
    shares = [6 / n_reads, *[2 / (n_reads - 1)] * (n_reads - 1)]
    assert [seconds for _, seconds in asked] == pytest.approx(shares), "6 s; the first one took 4 of them"


def test_exact_probes_read_once_and_those_that_vary_in_rounds(
    toy: Any, subjects: Subjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def reader(name: str) -> Read:
        def read(specimen: Specimen, seconds: float) -> list[Reading]:
            order.append(name)
            return [exact("method", name, "M", 1.0)]

        return read

    probes = {name: fake(weight, reader(name)) for name, weight in (("a", 1.0), ("b", 0.0), ("c", 2.0))}
    monkeypatch.setattr(session, "PROBES", probes)
    (sheet,) = run_session(subjects, TOY, minutes=0.01)
    assert order == ["b", *["a", "c"] * ROUNDS]
    assert [measure.quantity for measure in sheet.measures] == ["a", "b", "c"], "in the order of the table"


def test_rows_whose_probe_has_its_own_process_are_read_at_once_and_before_all_others(
    toy: Any, subjects: Subjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    both = Barrier(AT_ONCE, timeout=60)  # each reading waits until the other one runs

    def apart(specimen: Specimen, seconds: float) -> list[Reading]:
        both.wait()
        order.append("apart")
        return [exact("method", "apart", "MiB", float(specimen.name == "toy"))]

    def alone(specimen: Specimen, seconds: float) -> list[Reading]:
        order.append("alone")
        return [exact("method", "alone", "M", 1.0)]

    monkeypatch.setattr(session, "PROBES", {"alone": fake(0.0, alone), "apart": fake(0.0, apart, is_apart=True)})
    sheets = run_session(subjects, [*TOY, HISTOGRAM], minutes=0.01)
    assert order == ["apart", "apart", "alone", "alone"]
    found = {sheet.method: {measure.quantity: measure.value for measure in sheet.measures} for sheet in sheets}
    assert found == {"toy": {"alone": 1.0, "apart": 1.0}, "height_histogram": {"alone": 1.0, "apart": 0.0}}


def test_an_interrupted_session_starts_no_further_process(
    toy: Any, subjects: Subjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    cancelled = Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            cancelled.set()
            super().shutdown(wait=wait)

    def interrupted(specimen: Specimen, seconds: float) -> list[Reading]:
        begun.append(specimen.name)
        if len(begun) == 1:
            raise KeyboardInterrupt
        cancelled.wait(60)
        return []

    monkeypatch.setattr(session, "AT_ONCE", 1)
    monkeypatch.setattr(session, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(session, "PROBES", {"apart": fake(0.0, interrupted, is_apart=True)})
    with pytest.raises(KeyboardInterrupt):
        run_session(subjects, [*TOY, HISTOGRAM] * 20, minutes=0.01)
    assert len(begun) <= 2, "the one that was interrupted, and the one that ran by then"


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured(
    toy: Any, subjects: Subjects, probe: Callable[..., None], tmp_path: Path
) -> None:
    probe(lambda specimen, seconds: pytest.fail("measured"))
    (tmp_path / "file").touch()
    with pytest.raises(CrossplaceError, match=r"file/cost: cannot be written .* choose another folder"):
        run_session(replace(subjects, folder=tmp_path / "file"), TOY, minutes=0.01)
    probe(lambda specimen, seconds: [reading(10)])
    assert run_session(replace(subjects, folder=tmp_path / "folder"), TOY, minutes=0.01)[0].measures


def test_a_second_session_finds_the_sheet(toy: Any, subjects: Subjects, probe: Callable[..., None]) -> None:
    probe(lambda specimen, seconds: [reading(10)])
    first = run_session(subjects, TOY, minutes=0.01)
    probe(lambda specimen, seconds: pytest.fail("measured again"))
    assert run_session(subjects, TOY, minutes=0.01) == first
    path = first[0].path_in(subjects.folder)
    assert path.relative_to(subjects.folder).parts[::2] == ("cost", "toy-quick.json")
    assert CostSheet.read(path) == first[0]


def test_another_configuration_is_measured_anew(
    toy: Any, subjects: Subjects, probe: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    probe(lambda specimen, seconds: [reading(10)])
    (first,) = run_session(subjects, TOY, minutes=0.01)
    monkeypatch.setitem(
        toy.Toy.presets, "quick", replace(toy.ToyConfig(), teach=replace(toy.ToyConfig().teach, epochs=9))
    )
    probe(lambda specimen, seconds: [reading(20)])
    (second,) = run_session(subjects, TOY, minutes=0.01)
    assert first.key != second.key
    assert (second.measures[0].value, second.before) == (20, []), "no session of this configuration was before"


@pytest.mark.parametrize(
    ("later", "unstable"), [(10.9, ""), (11.1, "the session before measured 10 ms"), (8.9, "the session before")]
)
def test_a_session_again_stands_beside_the_one_before(
    toy: Any, subjects: Subjects, probe: Callable[..., None], later: float, unstable: str
) -> None:
    probe(lambda specimen, seconds: [reading(10)])
    run_session(subjects, TOY, minutes=0.01)
    probe(lambda specimen, seconds: [reading(later)])
    (sheet,) = run_session(subjects, TOY, minutes=0.01, again=True)
    assert [measure.value for measure in sheet.before] == [10]
    assert (sheet.measures[0].value, sheet.measures[0].unstable[: len(unstable) or None]) == (later, unstable)


def test_a_method_that_cannot_be_built_is_a_hole_and_is_tried_again(
    toy: Any, subjects: Subjects, probe: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    probe(lambda specimen, seconds: [reading(10)])
    with monkeypatch.context() as broken:
        broken.setattr(toy.Toy, "__init__", lambda self, config: 1 // 0)
        found = run_session(subjects, [*TOY, HISTOGRAM], minutes=0.01)
    holes = {sheet.method: sheet.hole for sheet in found}
    assert holes == {"toy": "ZeroDivisionError: integer division or modulo by zero", "height_histogram": ""}
    (sheet,) = run_session(subjects, TOY, minutes=0.01)
    assert (sheet.hole, len(sheet.measures)) == ("", 1)


def test_a_probe_that_fails_is_a_hole_and_the_others_go_on(
    toy: Any, subjects: Subjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(specimen: Specimen, seconds: float) -> list[Reading]:
        raise CrossplaceError("too large; take a smaller one")

    probes = {"bad": fake(0.0, fail), "good": fake(0.0, lambda *_: [exact("method", "size", "M", 1.0)])}
    monkeypatch.setattr(session, "PROBES", probes)
    bad, good = run_session(subjects, TOY, minutes=0.01)[0].measures
    assert (bad.part, bad.quantity, bad.hole) == ("method", "bad", "too large; take a smaller one")
    assert good.value == 1.0


def test_a_method_without_the_preset_is_a_sheet_with_a_hole(subjects: Subjects, probe: Callable[..., None]) -> None:
    probe(lambda specimen, seconds: [reading(10)])
    (sheet,) = run_session(subjects, chosen(["height_histogram"], ["paper"]), minutes=0.01)
    assert (sheet.preset, sheet.measures) == ("paper", [])
    assert sheet.hole.startswith("height_histogram has no preset")
    assert CostSheet.read(sheet.path_in(subjects.folder)).hole == sheet.hole


def test_the_sheet_says_what_it_was_measured_with(toy: Any, subjects: Subjects, probe: Callable[..., None]) -> None:
    probe(lambda specimen, seconds: [reading(10)])
    (sheet,) = run_session(subjects, TOY, minutes=0.01)
    found = sheet.environment
    assert {"device", "cores", "torch", "python", "threads", "clock_mhz", "precision", "tf32", "driver"} <= found.keys()
    assert (found["precision"], found["tf32"], found["sparse_backend"]) == ("32-true", False, "torch")
    assert sheet.inputs.model_dump() == {
        **{"dataset": "small_world", "fingerprint": subjects.dataset.fingerprint, "options": {}, "n_frames": 16},
        **{"points": 500.0, "image_size": (32, 24)},
    }
    assert sheet.setting.endswith("frames of small_world")


# --- the document ------------------------------------------------------------------------------------


def test_the_probe_of_the_document_reads_as_it_stands_there(
    toy: Any, subjects: Subjects, probe: Callable[..., None]
) -> None:
    code, _, line = (
        DOCUMENT.partition("```python\n")[2].partition("```")[0].partition("# benchmark/cost/probes/__init__")
    )
    names: dict[str, Any] = {"Specimen": Specimen, "Reading": Reading, "exact": exact, "Probe": Probe}
    exec(compile(code, "docs/cost.md", "exec"), names)
    entries = eval("{" + line.partition("\n")[2] + "}", names)
    assert (entries["layers"].module, entries["layers"].weight) == ("layers", 0)
    probe(names["read"], weight=0.0)
    (sheet,) = run_session(subjects, TOY, minutes=0.01)
    assert sheet.measures[0].values == {"value": float(len(list(toy.Toy().modules())))}


@pytest.mark.parametrize(
    "words",
    [
        f"{N_FRAMES} frames",
        f"at least {('no', 'one', 'two', 'three')[latency.LEAST]} laps a round",
        f"{('no', 'once', 'twice', 'three times', 'four times', 'five times', 'six times')[ROUNDS]} over",
        "its rounds disagree: without the fastest and the slowest one" if ROUNDS >= MANY else "its rounds disagree:",
        f"differ by at most {100 * SETTLED:.0f} %",
        f"more than {100 * AGREE:.0f} % above the smallest",
        f"more than {100 * WIDEST:.0f} % of the median",
        f"its clock by more than {100 * CLOCK_CHANGE:.0f} %",
        f"more than {OTHERS_CORES} cores busy",
        f"from {LEAST_FOR_P99} samples",
        f"its {N_NEAREST} nearest places",
        f"fit into {MOST_BYTES / 2**30:.0f} GiB",
        f"stopwatch, {N_SAMPLES} frames",
        *(f"`{name}`" for name in (*PARTS, *PROBES, *WHOLE)),
    ],
)
def test_the_document_names_every_limit_every_part_and_every_probe(words: str) -> None:
    assert words in " ".join(DOCUMENT.split())


def test_every_probe_of_the_table_can_be_imported() -> None:
    assert all(callable(probe.read) for probe in PROBES.values())
