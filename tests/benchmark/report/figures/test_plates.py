"""Every figure is drawn of the committed results and of a collection full of holes and hostile names."""

import csv
import io
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from twelve_methods import BASE, NAMES, REPOSITORY, synthetic, write

from benchmark.cli.main import main
from benchmark.records.collection import Collection, Group, Run, collect
from benchmark.records.schema import RANKS, Result
from benchmark.report.figures import FIGURES, PICTURES
from benchmark.report.figures.plates import Hole, Plate, _drawn, as_csv, as_png, as_svg, plates, write_figures
from benchmark.report.figures.style import styled
from benchmark.report.figures.topics import file_name
from benchmark.report.table import printable
from datasets.errors import CrossplaceError

SVG = "{http://www.w3.org/2000/svg}"
COMMITTED = ("recall", "cost", "seeds", "pairs", "map", "distances")
"""Figures that need nothing but committed results."""


@pytest.fixture(scope="module")
def committed() -> Collection:
    """All boards and studies, with the rows of two methods and of the rankers."""
    found = collect(REPOSITORY / "results")
    kept = ("rangebev", "vxp")
    groups = [
        Group(runs=[r for r in group.runs if r.result.method.name in kept or r.result.method.origin == "ranker"])
        for group in found.groups
    ]
    return replace(found, groups=groups)


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return synthetic(tmp_path_factory.mktemp("strange"))


KNOWN: dict[tuple[str, int], tuple[Collection, list[Plate], list[Hole]]] = {}
"""Plates that were asked for before, with their collection, which so keeps its identity."""


def drawn(name: str, collection: Collection) -> tuple[list[Plate], list[Hole]]:
    """The plates and holes of a figure, each with a reason and a cure."""
    if (name, id(collection)) not in KNOWN:
        KNOWN[name, id(collection)] = (collection, *plates(name, collection))
    _, found, holes = KNOWN[name, id(collection)]
    assert found or holes, "neither a drawing nor a reason"
    assert all(";" in hole.reason and not re.search(r"[\[({]'|Error|None", hole.reason) for hole in holes), holes
    return found, holes


def words_in(svg: str) -> str:
    return " ".join("".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}text"))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_of_the_committed_results_is_drawn_or_says_why_not(name: str, committed: Collection) -> None:
    found, _ = drawn(name, committed)
    assert bool(found) >= (name in COMMITTED)
    for plate in found[:1]:
        svg = as_svg(plate)
        assert svg == as_svg(plate), "bytes differ from one drawing to the next"
        check_svg(svg, plate)
        with Image.open(io.BytesIO(as_png(plate))) as picture:
            assert picture.format == "PNG"
            assert np.asarray(picture.convert("L")).std() > 5, "empty"
            assert picture.width == 1400


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_survives_holes_and_hostile_names(name: str, strange: Collection) -> None:
    found, _ = drawn(name, strange)
    for plate in found[:1]:
        check_svg(as_svg(plate), plate)
        rows = list(csv.reader(io.StringIO(as_csv(plate))))
        assert len(rows) == 1 + len(plate.table.rows)
        assert not any(cell.startswith(("=", "@")) for row in rows for cell in row), "a formula"


def check_svg(svg: str, plate: Plate) -> None:
    """One picture that parses, holds no script and no text that is too small, and can stand in a page with others."""
    root = ElementTree.fromstring(svg)
    tags = [element.tag for element in root.iter()]
    assert not any(tag.split("}")[-1] in ("script", "foreignObject", "style", "metadata") for tag in tags)
    assert not any(key.lower().startswith("on") for element in root.iter() for key in element.attrib)
    assert (root[0].tag, root[1].tag) == (f"{SVG}title", f"{SVG}desc")
    assert root[0].text == printable(plate.title)
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert root.attrib["aria-labelledby"] in ids
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    assert used <= set(ids)
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)] + [
        float(size) for size in re.findall(r"font: (?:\w+ )*([\d.]+)px", svg)
    ]
    assert sizes
    assert min(sizes) >= 8
    assert "date" not in svg.lower() or "date" in plate.title.lower()
    assert re.fullmatch(r"[a-z0-9_-]{1,110}", plate.name)


def test_names_are_words_and_never_read_as_mathematics_or_markup(strange: Collection) -> None:
    plate = drawn("recall", strange)[0][0]
    svg = as_svg(plate)
    shown = words_in(svg)
    assert "a$b$c" in shown
    assert "<script>" in shown
    assert "<script" not in svg
    assert "\u202e" not in svg
    assert "a very lon" in shown
    assert NAMES[6] not in shown, "a long name is shortened in the drawing"
    assert NAMES[6] in as_csv(plate), "and whole in the data"


def test_ids_of_two_drawings_never_meet(committed: Collection) -> None:
    one, other = drawn("recall", committed)[0][:2]
    ids = [set(re.findall(r' id="([^"]+)"', as_svg(plate))) for plate in (one, other)]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize("name", COMMITTED)
def test_nothing_is_cut_off_at_an_edge(name: str, strange: Collection, committed: Collection) -> None:
    for collection in (committed, strange):
        plate = drawn(name, collection)[0][0]
        with styled(plate.name):
            figure = _drawn(plate)
            figure.draw_without_rendering()
            box = figure.get_tightbbox()
        width_in, height_in = figure.get_size_inches()
        assert min(box.x0, box.y0) > -0.01
        assert max(box.x1 - width_in, box.y1 - height_in) < 0.01


def test_titles_of_panels_do_not_meet(strange: Collection) -> None:
    """A machine with a long name is shortened to its panel."""
    plate = drawn("cost", strange)[0][0]
    with styled(plate.name):
        figure = _drawn(plate)
        figure.draw_without_rendering()
        boxes = [
            child.get_window_extent()
            for axes in figure.axes
            for child in axes.get_children()
            if isinstance(child, Text) and child.get_text() and child.get_text() == axes.get_title(loc="left")
        ]
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_what_cannot_be_drawn_is_told_with_cause_and_cure(strange: Collection) -> None:
    reasons = {name: {hole.reason for hole in drawn(name, strange)[1]} for name in FIGURES}
    assert any("ranks.npz" in reason and "runs/results" in reason for reason in reasons["map"])
    assert any("--dataset" in reason for reason in reasons["gallery"])
    assert any("crossplace publish" in reason for reason in reasons["confidence"])
    assert any("crossplace study" in reason for reason in reasons["severity"])
    assert any("crossplace sensitivity" in reason for reason in reasons["sensitivity"])
    assert not reasons["recall"]


def test_one_method_with_one_seed_and_one_result_is_enough(tmp_path: Path) -> None:
    write(tmp_path, Result.read(BASE).model_copy(update={"cost": None}))
    collection = collect(tmp_path)
    for name in ("recall", "seeds", "pairs", "map", "distances"):
        assert drawn(name, collection)[0], name
        as_svg(drawn(name, collection)[0][0])
    (hole,) = drawn("cost", collection)[1]
    assert hole.reason == "no cost was measured; crossplace bench measures it, crossplace evaluate does not"


def test_rankers_alone_make_no_drawing(committed: Collection) -> None:
    group = committed.groups[0]
    rankers = [run for run in group.runs if run.result.method.origin == "ranker"]
    assert len(rankers) == 3
    found, holes = drawn("recall", Collection(groups=[Group(runs=rankers)]))
    assert not found
    assert "run crossplace bench first" in holes[0].reason
    assert drawn("map", Collection(groups=[Group(runs=rankers)]))[1]


@pytest.mark.parametrize("damage", [b"", b"no zip at all"])
def test_broken_ranks_are_told(damage: bytes, tmp_path: Path) -> None:
    write(tmp_path, Result.read(BASE))
    (next(tmp_path.rglob(RANKS))).write_bytes(damage)
    found, holes = drawn("distances", collect(tmp_path))
    assert not found
    assert all("run bench again" in hole.reason for hole in holes)


def test_files_are_written_with_their_data_and_equal_on_a_second_run(committed: Collection, tmp_path: Path) -> None:
    small = Collection(groups=committed.groups[1:2])
    files, holes = write_figures(small, tmp_path / "a", ["recall", "severity"])
    assert sorted(path.suffix for path in files) == [".csv", ".png", ".svg"]
    assert {hole.figure for hole in holes} == {"severity"}
    again, _ = write_figures(small, tmp_path / "b", ["recall", "severity"])
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]
    rows = [*csv.DictReader(io.StringIO(files[-1].read_text()))]
    assert [*rows[0]][:4] == ["method", "direction", "N", "recall %"]
    kinds = ("rangebev", "vxp")
    firsts = [row for row in rows if (row["direction"], row["N"]) == ("image->cloud", "1.0") and row["method"] in kinds]
    assert rows[0] is firsts[0]
    assert len(firsts) == len(kinds)
    assert firsts == sorted(firsts, key=lambda row: -float(row["recall %"])), "the best method comes first"


def test_frames_of_real_data_never_go_into_committed_results(
    committed: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map of real data goes anywhere but below results/; the advice, another folder, is followed and works."""
    monkeypatch.chdir(tmp_path)
    run = next(run for run in committed.groups[0].runs if run.result.method.origin != "ranker")
    real = Collection(groups=[Group(runs=[as_real(run)])])
    files, holes = write_figures(real, Path("results") / "figures", ["map", "recall"])
    assert {path.name.split("-")[0] for path in files} == {"recall"}
    assert "choose another --output" in holes[0].reason
    files, holes = write_figures(real, Path("figures"), ["map"])
    assert files
    assert not holes


def as_real(run: Run) -> Run:
    data = run.result.dataset.model_copy(update={"is_real": True})
    return replace(run, result=run.result.model_copy(update={"dataset": data}))


def test_an_unknown_figure_and_a_picture_are_refused_with_what_to_type(committed: Collection) -> None:
    with pytest.raises(CrossplaceError, match=r"unknown figure 'recal'\. Did you mean recall"):
        plates("recal", committed)
    with pytest.raises(CrossplaceError, match="crossplace data stats DATASET --figure strip"):
        plates("strip", committed)


def test_tables_of_figures_are_read_and_numbers_made_without_matplotlib() -> None:
    code = (
        "import sys; from pathlib import Path; from benchmark.report.figures import FIGURES, PICTURES; "
        "from benchmark.report.figures.plates import plates; from benchmark.records.collection import collect; "
        "found = [plates(name, collect(Path('results'))) for name in ('recall', 'cost', 'pairs', 'gallery')]; "
        "assert found[0][0]; assert not {'matplotlib', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["map", "../../etc/passwd"], "map-etc-passwd"),
        (["map", "", "Ünï $x$ <b>"], "map-uni-x-b"),
        (["CON", "a" * 200], "con-" + "a" * 96),
        (["map", "…"], "map"),
    ],
)
def test_names_of_files_are_safe(words: Sequence[str], expected: str) -> None:
    assert file_name(words) == expected


def test_two_drawings_never_have_one_name(strange: Collection) -> None:
    for name in ("map", "pairs"):
        found = [plate.name for plate in drawn(name, strange)[0]]
        assert len(found) == len(set(found))


# --- the command ---------------------------------------------------------------------------------


def test_the_command_draws_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = (REPOSITORY / "results" / "town").glob("vxp-quick-town-night-s0-*")
    asked = ["figures", str(folder), "--output", str(tmp_path), "--only", "recall", "pairs", "gallery"]
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert "recall-town-town-night.svg" in told
    assert "and 3 more: one pair of traversals makes no matrix" in " ".join(told.split())
    assert "--dataset" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"recall-town-town-night.{ending}" for ending in ("csv", "png", "svg")
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere: no such folder; name folders with result.json"),
        (["."], "no results here; crossplace bench makes some"),
        ([".", "--only", "recal"], "Did you mean recall"),
        ([".", "--only", "strip"], "crossplace data stats DATASET --figure strip"),
    ],
)
def test_what_the_command_cannot_do_is_one_sentence(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["figures", *arguments]) == 1
    assert told in capsys.readouterr().err


def test_options_without_their_partner_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    results = str(REPOSITORY / "results")
    assert main(["figures", results, "--dataset-options", "preset=tiny"]) == 1
    assert "name it with --dataset" in capsys.readouterr().err
    assert main(["figures", results, "--weights", "nowhere"]) == 1
    assert "crossplace train makes one" in capsys.readouterr().err


def test_figures_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "figures"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in (*FIGURES, *PICTURES))
