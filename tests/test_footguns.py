"""Every number of docs/footguns.md is measured again, and every command and sentence in it is one of the suite."""

import re
import shlex
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import footguns
import pytest
import small_kitti
import tyro
from footguns import RealKitti
from measuring import IMAGE_TO_CLOUD, Encoded, Number, Rows, evaluated
from raw_kitti_meanings import write_two_laps
from real_poses import kitti_frames, of_every_place, pointnetvlad_places

from benchmark.cli.main import Command
from benchmark.cli.spellings import of_today
from benchmark.evaluation.evaluate import PairEvaluation
from benchmark.evaluation.metrics import one_percent_depth
from benchmark.protocol.leaks import leak_warnings
from datasets.base import Frames, OnePercent, Protocol
from datasets.doctor.examination import Examination
from datasets.doctor.rules import RULES
from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from datasets.samples.kitti import RawKitti

PAGE = (Path(__file__).parents[1] / "docs" / "footguns.md").read_text()
COMMANDS = list(dict.fromkeys(re.findall(r"^    (crossplace .+)$", PAGE, flags=re.MULTILINE)))


def tables_of(page: str) -> dict[str, list[list[list[str]]]]:
    """The rows of every table, without head and rule, by the heading that it stands under."""
    tables: dict[str, list[list[list[str]]]] = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"(?:^\|.*\n?)+", section, flags=re.MULTILINE)
        rows = [[[cell.strip() for cell in line.strip("|").split("|")] for line in b.splitlines()] for b in blocks]
        tables[section.splitlines()[0]] = [table[2:] for table in rows]
    return tables


def require_same(heading: str, measured: Rows, number: int = 0) -> None:
    """A table of the page holds what was measured, to the printed digits or within the slack of a number."""
    fresh = "\n".join(f"| {' | '.join(map(str, row))} |" for row in measured)
    tables = tables_of(PAGE).get(heading, [])
    assert len(tables) > number, f"no such table; measured:\n{fresh}"
    printed = tables[number]
    assert [len(row) for row in printed] == [len(row) for row in measured], f"measured:\n{fresh}"
    for printed_row, row in zip(printed, measured, strict=True):
        for text, cell in zip(printed_row, row, strict=True):
            if isinstance(cell, Number) and cell.slack and text != str(cell):
                assert abs(float(text) - cell.value) <= cell.slack, f"{text} is now {cell}; measured:\n{fresh}"
            else:
                assert text == str(cell), f"measured:\n{fresh}"


# --- the tiny town ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def town(tiny_town: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    return Encoded.of(tiny_town, footguns.TEST_DRIVES, tmp_path_factory.mktemp("descriptors"))


@pytest.fixture(scope="module")
def examinations(tiny_town: PreparedDataset) -> dict[str, Examination]:
    return footguns.examinations(tiny_town)


@pytest.mark.slow
def test_a_wrong_calibration(tiny_town: PreparedDataset, examinations: dict[str, Examination]) -> None:
    require_same("The camera's pose is inverted", footguns.calibration(tiny_town, examinations))


@pytest.mark.slow
def test_the_doctor_says_these_sentences(examinations: dict[str, Examination]) -> None:
    section = PAGE.split("## The camera's pose is inverted")[1].split("\n## ")[0]
    quoted = re.findall(r"^    (?!crossplace)(.+)$", section, flags=re.MULTILINE)
    (inverted,) = [found for title, found in examinations.items() if title.startswith("inverted")]
    assert quoted == inverted.faults()


@pytest.mark.slow
def test_test_places_that_were_trained_on(tiny_town: PreparedDataset) -> None:
    require_same("Test places are trained on", footguns.training(tiny_town))
    (sentence,) = leak_warnings(tiny_town.frames, footguns.trained_on(footguns.TEST_DRIVES))
    assert f"    {sentence}\n" in PAGE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("heading", "measure"),
    [
        ("The opposite lane counts, or does not", footguns.opposite),
        ("Ties are broken in the query's favour", footguns.ties),
        ("Error bars from single queries", footguns.bars),
    ],
)
def test_numbers_on_the_town(town: Encoded, heading: str, measure: Callable[[Encoded], Rows]) -> None:
    require_same(heading, measure(town))


@pytest.mark.slow
def test_descriptors_that_depend_on_the_batch(town: Encoded) -> None:
    table, complaint = footguns.batches(town)
    require_same("Descriptors depend on the batch", table)
    said = complaint[: complaint.index(" differs by ")]  # by how much is a matter of the CPU
    assert said
    assert f"    {said} differs by " in PAGE


def test_coverage_of_intervals_from_single_queries() -> None:
    require_same("Error bars from single queries", footguns.coverages(), number=1)


# --- the town as KITTI would have recorded it ------------------------------------------------------


@pytest.fixture(scope="module")
def town_as_kitti(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    """Sequence 00: two drives through the same streets, a frame a metre, with other cars and in another order."""
    folder = tmp_path_factory.mktemp("town-as-kitti")
    lap = RawKitti(n_frames=150, spacing_m=1.0, image_size=(80, 60))
    write_two_laps(folder / "source", lap, replace(lap, occasion=2), "00")
    dataset = small_kitti.prepare(folder / "source", folder / "prepared", "00")
    return Encoded.of(dataset, ["00"], folder / "descriptors")


@pytest.mark.slow
def test_one_drive_of_the_town(town_as_kitti: Encoded) -> None:
    require_same("One drive, and no time between query and answer", footguns.synchronous(town_as_kitti))


# --- real trajectories -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kitti(real_data: Callable[[str], Path]) -> RealKitti:
    return RealKitti(frames=kitti_frames(real_data("kitti-odometry-poses"), ("05", "06", "07", "09")))


@pytest.fixture(scope="module")
def kitti_09(real_data: Callable[[str], Path]) -> Frames:
    return kitti_frames(real_data("kitti-odometry-poses"), ("09",))


@pytest.fixture(scope="module")
def kitti_00(real_data: Callable[[str], Path]) -> list[PairEvaluation]:
    frames = kitti_frames(real_data("kitti-odometry-poses"), ("00",))
    found = evaluated(frames, PROTOCOLS["kitti-revisit"], IMAGE_TO_CLOUD, {"": footguns.drifting(frames)})
    return found[""]


@pytest.fixture(scope="module")
def runs(real_data: Callable[[str], Path]) -> list[PairEvaluation]:
    frames, _ = pointnetvlad_places(real_data("oxford-pointnetvlad-eval"))
    protocol = of_every_place(PROTOCOLS["oxford-pointnetvlad"])
    return evaluated(frames, protocol, IMAGE_TO_CLOUD, {"": footguns.drifting(frames)})[""]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("heading", "measure", "number"),
    [
        ("One drive, and no time between query and answer", footguns.made_up, 1),
        ("Neighbours are fetched, and then filtered", footguns.truncated, 0),
        ("Pooled queries, or a mean over pairs", footguns.averages, 0),
    ],
)
def test_numbers_on_trajectories_of_kitti(
    kitti: RealKitti, heading: str, measure: Callable[[RealKitti], Rows], number: int
) -> None:
    require_same(heading, measure(kitti), number)


@pytest.mark.data
def test_distance_over_other_axes(kitti_09: Frames) -> None:
    require_same("Distances are measured over the wrong axes", footguns.axes(kitti_09))


@pytest.mark.data
@pytest.mark.slow
def test_queries_that_find_themselves(town: Encoded, kitti_09: Frames) -> None:
    require_same("The query finds itself", footguns.own_frame(town, kitti_09))


@pytest.mark.data
@pytest.mark.slow
def test_readings_of_one_percent(runs: list[PairEvaluation], kitti_00: list[PairEvaluation]) -> None:
    require_same("One percent of what, and rounded how", footguns.one_percent(runs, kitti_00))
    sizes = {len(pair.database_rows) for pair in runs}
    assert (min(sizes), max(sizes), len(kitti_00[0].database_rows)) == (347, 445, 4_541)
    assert [one_percent_depth(n, OnePercent()) for n in (149, 250, 350, 2_549, 2_550)] == [1, 2, 4, 25, 26]
    for words in (
        "347 to 445 places",
        "4,541 frames",
        "Up to 149 places",
        "250 places make 2, 350 make 4",
        "below 2,550",
    ):
        assert words in PAGE.replace("\n", " ")


@pytest.mark.data
@pytest.mark.slow
def test_queries_without_an_answer(runs: list[PairEvaluation]) -> None:
    require_same("Queries without an answer", footguns.unanswerable(runs))
    n_without, n_asked = (sum(getattr(p.recall, n) for p in runs) for n in ("n_without_positives", "n_queries"))
    assert f"{n_without:,} of {n_asked:,} questions" in PAGE


# --- the page --------------------------------------------------------------------------------------


def test_every_section_has_a_table_and_says_how_the_suite_protects() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert len(sections) == 13
    for section in sections:
        assert "\n| " in section, section.splitlines()[0]
        assert "\n**Here:** " in section, section.splitlines()[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_is_one(command: str) -> None:
    tyro.cli(Command, prog="crossplace", args=of_today(shlex.split(command)[1:]))  # type: ignore[call-overload]
    for protocol in re.findall(r"(?:--protocol|leaks|export) (\S+)", command):
        assert protocol in PROTOCOLS


def test_what_the_page_says_of_protocols() -> None:
    """Fields that the page calls the same everywhere, and the exceptions that it names."""

    def having(**fields: object) -> set[str]:
        return {p.name for p in PROTOCOLS.values() if all(getattr(p, f) == value for f, value in fields.items())}

    assert having(no_positive="skip") == set(PROTOCOLS)
    assert set(PROTOCOLS) - having(search_depth=None) == {"kitti-vxp-as-published"}
    assert set(PROTOCOLS) - having(distance_axes=("east", "north")) == {"liploc-as-published"}
    assert all("own frame kept" in PROTOCOLS[name].title for name in having(own_frame="keep"))
    assert Kitti.default_protocol == "kitti-synchronous-10m"
    for field in re.findall(r"`Protocol\.(\w+)`", PAGE):
        assert field in {f.name for f in fields(Protocol)}
    for rule in re.findall(r"(?:fault|doubt) `([\w-]+)`", PAGE):
        assert rule in RULES
