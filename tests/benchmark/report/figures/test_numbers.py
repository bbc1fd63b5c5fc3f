"""The numbers of each figure, by hand on small records."""

import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twelve_methods import BASE, REPOSITORY, of_method, write

from benchmark.evaluation.metrics import Recall
from benchmark.frames.preparing import locate, prepare
from benchmark.records.collection import Collection, Group, Run, collect
from benchmark.records.confidence import confidence_records
from benchmark.records.schema import RANKS, Result
from benchmark.records.sensitivity import AxisRecord, LeftOutRecord, PointRecord, RecallRecord, SensitivityRecord
from benchmark.records.study import LineRecord, StudyRecord
from benchmark.report.figures import style
from benchmark.report.figures.cost import is_on_front
from benchmark.report.figures.local_features import Local, alignment, in_colours
from benchmark.report.figures.plates import Plate, as_csv, as_svg, plates
from benchmark.report.figures.topics import Sources, cells, chosen, content
from benchmark.report.table import Table
from datasets.prepared import PreparedDataset


def recall_of(at: float | None, at_5: float | None = 0.5) -> Recall:
    """Recall@1 of ``at``, and 0.5 at every further depth."""
    return Recall(
        n_queries=8,
        n_counted=0 if at is None else 8,
        n_without_positives=0,
        n_pairs=2,
        recall_at=(at, *[None if at is None else at_5] * 24),
        recall_at_one_percent=None,
        one_percent_depth=None,
        values={"R@1": at, "R@5": None if at is None else at_5},
    )


def with_recall(result: Result, at: float | None, **changes: Any) -> Result:
    """The result with image->cloud alone, and this recall."""
    record = result.directions["image->cloud"]
    found = record.model_copy(
        update={"mean": recall_of(at), "pooled": recall_of(at), "intervals": {"R@1": (0.05, 0.3), "R@5": None}}
    )
    return result.model_copy(update={"directions": {"image->cloud": found}} | changes)


@pytest.fixture(scope="module")
def base() -> Result:
    return Result.read(BASE)


def table_of(name: str, *results: Result, folder: Path = BASE) -> Table:
    (plate,) = plates_of(name, *results, folder=folder)
    return plate.table


def plates_of(name: str, *results: Result, folder: Path = BASE, sources: Sources | None = None) -> list[Plate]:
    collection = Collection(groups=[Group(runs=[Run(folder=folder, result=result) for result in results])])
    found, holes = plates(name, collection, sources)
    assert not holes, holes
    return found


# --- recall, cost, seeds, pairs ------------------------------------------------------------------


def test_recall_is_the_mean_over_seeds_with_deviation_and_interval(base: Result) -> None:
    seeds = [with_recall(of_method(base, "m", 0, seed), at) for seed, at in enumerate((0.1, 0.2, 0.3))]
    table = table_of("recall", *seeds)
    assert len(table.rows) == 25
    first = table.rows[0][-1]
    assert first.value == pytest.approx(20)
    assert first.deviation == pytest.approx(10)
    assert (first.low, first.high) == (pytest.approx(5), pytest.approx(30))
    assert table.rows[4][-1].value == pytest.approx(50)
    assert (table.rows[4][-1].low, table.rows[4][-1].deviation) == (None, 0)
    assert cells(table, "N")[-1] == (25.0,)


def test_the_data_beside_a_drawing_is_plain_csv(base: Result) -> None:
    (plate,) = plates_of("seeds", with_recall(of_method(base, "=m", 0, 3), 0.25))
    assert as_csv(plate) == (
        "method,direction,of,R@1 %,R@1 % low,R@1 % high\n"
        "'=m,image->cloud,mean,25.0,5.0,30.0\n"
        "'=m,image->cloud,seed 3,25.0,,\n"
    )


def test_a_seed_without_a_counted_query_leaves_the_mean_empty(base: Result) -> None:
    seeds = [with_recall(of_method(base, "m", 0, seed), at) for seed, at in enumerate((0.1, None))]
    recall = table_of("recall", *seeds)
    assert recall.rows[0][-1].value is None
    assert "Without a curve, because no query counts: m (image→cloud)." in recall.notes
    found = [content(row[-1]) for row in table_of("seeds", *seeds).rows]
    assert found == [None, pytest.approx(10), None]


def test_one_seed_has_an_interval_and_no_deviation(base: Result) -> None:
    cell = table_of("seeds", with_recall(of_method(base, "m", 0, 0), 0.2)).rows[0][-1]
    assert (cell.low, cell.high, cell.deviation) == (pytest.approx(5), pytest.approx(30), None)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    given_points = [(float(cost), float(recall)) for cost, recall in points]
    front = {point for point in given_points if is_on_front(point, given_points)}
    assert front, "something is always on it"
    for cost, recall in given_points:
        is_below = any(c <= cost and r >= recall and (c < cost or r > recall) for c, r in given_points)
        assert ((cost, recall) in front) == (not is_below)


def test_cost_names_its_machine_and_never_mixes_two(base: Result) -> None:
    assert base.cost is not None
    numbers = {name: n.model_copy(update={"value": 1.0}) for name, n in base.cost.numbers.items()}
    cheap = base.cost.model_copy(update={"numbers": numbers})
    here = with_recall(of_method(base, "dear", 0, 0), 0.4)
    there = with_recall(of_method(base, "cheap", 1, 0), 0.2, cost=cheap, environment={"device": "Other", "threads": 1})
    own = f"{base.environment['device']}, {base.environment['threads']} threads"
    table = table_of("cost", here, there)
    found = {(m, c, w): front for m, c, w, front in cells(table, "method", "cost", "machine", "on the front")}
    assert found == {
        ("dear", "image", own): "yes",
        ("cheap", "image", "Other, 1 threads"): "yes",
        ("dear", "place", "any"): "yes",
        ("cheap", "place", "any"): "yes",
    }
    same = with_recall(of_method(base, "worse", 2, 0), 0.3)
    fronts = cells(chosen(table_of("cost", here, same), "cost", "image"), "method", "on the front")
    assert fronts == [("dear", "yes"), ("worse", "no")]


def test_a_matrix_holds_means_over_seeds_and_conditions(base: Result) -> None:
    found = plates_of("pairs", base, of_method(base, base.method.name, 0, 1))
    table = found[0].table
    assert found[0].topic.direction == "image->cloud"
    assert len(table.rows) == 6
    expected = {(p.query, p.database): 100 * p.values["R@1"] for p in base.directions["image->cloud"].pairs}  # type: ignore[operator]
    assert {(q, d): v for q, d, v in cells(table, "query", "database", "R@1")} == pytest.approx(expected)
    assert set(cells(table, "query", "query condition")) == {
        ("test-day", "day"),
        ("test-overcast", "overcast"),
        ("test-evening", "evening"),
    }


def test_a_matrix_of_older_results_has_no_conditions_and_says_so(base: Result) -> None:
    older = base.model_copy(update={"dataset": base.dataset.model_copy(update={"conditions": {}})})
    table = plates_of("pairs", older)[0].table
    assert set(cells(table, "query condition")) == {(None,)}
    assert "Conditions are not known here" in table.notes[0]


def test_rows_are_named_by_what_tells_them_apart(base: Result) -> None:
    untrained = base.model_copy(
        update={"run_id": "u", "method": base.method.model_copy(update={"origin": "untrained", "weights_sha256": "x"})}
    )
    variant = base.model_copy(
        update={"run_id": "v", "method": base.method.model_copy(update={"variant": "wide", "config_key": "k"})}
    )
    table = table_of("seeds", base, untrained, variant)
    assert {name for (name,) in cells(table, "method")} == {
        "rangebev (quick)",
        "rangebev (quick, untrained)",
        "rangebev (quick+wide)",
    }


# --- what needs ranks ----------------------------------------------------------------------------


def ranks() -> Mapping[str, np.ndarray]:
    with np.load(BASE / RANKS) as stored:
        return {name: stored[name] for name in stored.files}


def test_hits_of_the_map_add_up_to_recall(base: Result) -> None:
    table = table_of("map", base)
    for direction, record in base.directions.items():
        found = cells(chosen(table, "direction", direction), "asked", "hit")
        asked, hit = (sum(column) for column in zip(*found, strict=True))
        assert asked == record.pooled.n_counted
        assert hit / asked == pytest.approx(record.pooled.values["R@1"])
    stored = ranks()
    name, east_m = table.rows[0][1].words, table.rows[0][4].value
    assert east_m == pytest.approx(stored["frame_east_m"][stored["frame_id"].tolist().index(name)])


def test_distances_are_quantiles_of_the_stored_ones(base: Result) -> None:
    table = plates_of("distances", base)[0].table
    stored = ranks()
    of = stored["query_direction"] == 0
    hit = stored["query_first_positive_rank"][of] == 1
    first = stored["query_top_distance"][of, 0].astype(float)
    rows = {kind: values for kind, *values in cells(table, "distance to", "queries", "median", "95 %")}
    assert rows["first frame, if right"] == [hit.sum(), np.median(first[hit]), np.percentile(first[hit], 95)]
    assert rows["first frame, if wrong"][0] == (~hit).sum()
    negative = stored["query_best_negative_distance"][of].astype(float)
    assert rows["nearest wrong frame"][1] == np.median(negative[np.isfinite(negative)])


def test_distances_that_are_not_there_are_a_hole_or_a_note(base: Result, tmp_path: Path) -> None:
    """Ranks without distances, as those of rankers: alone a hole, beside others a note that names the method."""
    bare = {name: column for name, column in ranks().items() if not name.endswith("_distance")}
    write(tmp_path, of_method(base, "bare", 0, 0), has_ranks=False)
    np.savez_compressed(tmp_path / "run-0-s0" / RANKS, **bare)
    found, holes = plates("distances", collect(tmp_path))
    assert not found
    assert "run crossplace bench again" in holes[0].reason
    write(tmp_path, of_method(base, "whole", 1, 0))
    found, _ = plates("distances", collect(tmp_path))
    assert "Without bare" in found[0].table.notes[1]


def test_confidence_is_what_the_record_says_and_a_hole_without(base: Result) -> None:
    known = confidence_records(base_with_distances(), ranks_of_vxp())
    table = plates_of("confidence", known, folder=VXP)[0].table
    record = known.directions["image->cloud"].confidence
    assert record is not None
    curve = cells(chosen(table, "part", "precision and recall"), "recall or predicted", "precision or right")
    assert curve[-1] == (pytest.approx(100 * record.curve.recall[-1]), pytest.approx(100 * record.curve.precision[-1]))
    bins = chosen(table, "part", "calibration")
    assert sum(n for (n,) in cells(bins, "queries")) == sum(each.n_queries for each in record.reliability)
    plate = plates_of("confidence", known, folder=VXP)[0]
    assert as_svg(plate) == as_svg(plate)


FIRST_SEED = (REPOSITORY / "results" / "town").glob("vxp-quick-town-s0-*")
VXP = next(folder for folder in FIRST_SEED if Result.read(folder).method.origin == "shipped")


def base_with_distances() -> Result:
    return Result.read(VXP)


def ranks_of_vxp() -> Mapping[str, np.ndarray]:
    with np.load(VXP / RANKS) as stored:
        return {name: stored[name] for name in stored.files}


# --- studies and curves --------------------------------------------------------------------------


def line(question: str, name: str, *recall: float, error: str = "") -> LineRecord:
    return LineRecord(
        question=question,
        name=name,
        runs=[],
        recall={"image->cloud": list(recall)} if recall else {},
        difference={},
        training_s=None,
        error=error,
    )


def study(*lines: LineRecord) -> Collection:
    record = StudyRecord(
        study="robustness",
        method="m$",
        preset="quick",
        share_of_schedule=1,
        dataset="town",
        is_real=False,
        protocol="town v2",
        seeds=[0, 1],
        machine="",
        revision="",
        lines=[line("", "unchanged", 0.5, 0.7), *lines],
    )
    return Collection(groups=[], studies=[record])


def test_severities_are_sorted_and_averaged_over_seeds() -> None:
    collection = study(
        line("Noise (m)", "range-noise 0.5", 0.1, 0.3),
        line("Noise (m)", "range-noise 0.1", 0.4, 0.4),
        line("Noise (m)", "range-noise 0.9", error="no memory"),
        line("Blur (px)", "blur 1", 0.2, 0.2),
    )
    (plate,), holes = plates("severity", collection)
    assert not holes
    noise = chosen(plate.table, "perturbation", "Noise (m)")
    assert cells(noise, "strength", "R@1") == [(0.1, pytest.approx(40)), (0.5, pytest.approx(20))]
    assert noise.rows[1][-1].deviation == pytest.approx(100 * math.sqrt(0.02))
    assert cells(chosen(plate.table, "perturbation", "none"), "R@1") == [(pytest.approx(60),)]
    assert any("range-noise 0.9 failed: no memory" in note for note in plate.table.notes)
    assert "m$" in as_svg(plate)


def test_a_learning_curve_goes_from_few_places_to_all_of_them() -> None:
    lines = (line("How many?", "places 25 %", 0.3, 0.5), line("How many?", "places 10 %", error="no memory"))
    collection = study(*lines, line("How many?", "places 50 %", 0.5, 0.5))
    (record,) = collection.studies
    curve = Collection(groups=[], studies=[record.model_copy(update={"study": "learning-curve"})])
    (plate,), holes = plates("learning-curve", curve)
    assert not holes
    assert cells(plate.table, "places", "R@1") == [(n, pytest.approx(v)) for n, v in ((25, 40), (50, 50), (100, 60))]
    assert plate.table.rows[0][-1].deviation == pytest.approx(100 * math.sqrt(0.02))
    assert "places 10 % failed: no memory" in plate.table.notes
    assert "training places, %" in as_svg(plate)
    found, (hole,) = plates("learning-curve", collection)
    assert not found
    assert "crossplace study learning-curve makes one" in hole.reason


def test_the_training_of_a_method_is_drawn_from_the_history_in_its_results(tmp_path: Path) -> None:
    history = [{"epoch": 1, "train_loss": 20.0, "validation_loss": 30.0}, {"epoch": 2, "train_loss": 10.0}]
    base = Result.read(BASE)
    stages = {"teach": {"history": history}, "align": {}, "adapt": {"history": [{"epoch": 1, "train_loss": 40.0}]}}
    training = {"stages": stages}
    write(tmp_path / "new", base.model_copy(update={"method": base.method.model_copy(update={"training": training})}))
    (plate,), holes = plates("training", collect(tmp_path / "new"))
    assert not holes
    found = cells(plate.table, "stage", "epoch", "part", "loss")
    taught = [("teach", 1, "training", 20.0), ("teach", 1, "validation", 30.0), ("teach", 2, "training", 10.0)]
    assert found == [*taught, ("adapt", 1, "training", 40.0)]
    assert "validation" in as_svg(plate)
    assert not re.search(r">[012]\.\d+<", as_svg(plate)), "there is no half epoch"
    write(tmp_path / "older", base.model_copy(update={"method": base.method.model_copy(update={"training": {}})}))
    none, (hole,) = plates("training", collect(tmp_path / "older"))
    assert not none
    assert "crossplace bench --retrain" in hole.reason


def test_an_ablation_makes_no_curve() -> None:
    found, (hole,) = plates("severity", study(line("Pooling?", "netvlad", 0.1, 0.2)))
    assert not found
    assert "crossplace study robustness" in hole.reason


def point(value: float | None, at: float | None, *, is_own: bool = False) -> PointRecord:
    record = RecallRecord(
        values={"R@1": at},
        intervals={"R@1": None if at is None else (at / 2, at)},
        n_queries=4,
        n_counted=0 if at is None else 4,
        n_pairs=1,
        n_database=9,
    )
    return PointRecord(value=value, is_own=is_own, directions={"image->cloud": record})


def curves(base: Result, **axes: AxisRecord) -> Collection:
    record = SensitivityRecord(
        key="",
        created="",
        harness={},
        environment={},
        method=base.method,
        dataset=base.dataset,
        protocol=base.protocol,
        seed=0,
        warnings=[],
        foreign=[],
        axes=axes,
    )
    return Collection(groups=[], sensitivities=[record])


def test_curves_of_sensitivity_keep_missing_limits_and_holes(base: Result) -> None:
    heading = AxisRecord(
        title="Heading limit: of what", unit="rad", points=[point(0.5, 0.2, is_own=True), point(None, 0.4)], left_out=[]
    )
    radius = AxisRecord(
        title="Place radius", unit="m", points=[point(5.0, None), point(20.0, 0.3)],
        left_out=[LeftOutRecord(value=50.0, reason="no frame is that far")],
    )  # fmt: skip
    alone = AxisRecord(title="Distractors", unit="times", points=[point(0.0, 0.2)], left_out=[])
    (plate,), holes = plates("sensitivity", curves(base, heading=heading, radius=radius, distractors=alone))
    assert not holes
    assert cells(plate.table, "axis", "value", "own", "R@1") == [
        ("heading", 0.5, "yes", pytest.approx(20)),
        ("heading", "no limit", "no", pytest.approx(40)),
        ("radius", 5.0, "no", None),
        ("radius", 20.0, "no", pytest.approx(30)),
    ]
    assert any("radius 50 m is left out: no frame is that far" in note for note in plate.table.notes)
    assert any("distractors has fewer than 2 values" in note for note in plate.table.notes)
    svg = as_svg(plate)
    assert "no limit" in svg
    assert svg == as_svg(plate)
    found, (hole,) = plates("sensitivity", curves(base, distractors=alone))
    assert not found
    assert "run crossplace sensitivity without --axes" in hole.reason


# --- local features ------------------------------------------------------------------------------


def local(random: np.random.Generator, n: int, *, is_aligned: bool) -> Local:
    pixels = random.normal(size=(3, 4, 6))
    places = np.stack([random.integers(0, 3, n), random.integers(0, 4, n)], axis=1)
    voxels = pixels[places[:, 0], places[:, 1]] if is_aligned else random.normal(size=(n, 6))
    return Local(pixels=pixels, voxels=voxels, uv=random.uniform(size=(n, 2)), cells=places)


def test_aligned_features_have_equal_colours_and_a_cosine_of_one() -> None:
    random = np.random.default_rng(0)
    frames = [local(random, 50, is_aligned=True) for _ in range(2)]
    own, other = alignment(frames)
    assert own == pytest.approx(1)
    assert other < 0.6
    for frame, (pixels, voxels) in zip(frames, in_colours(frames), strict=True):
        np.testing.assert_allclose(voxels, pixels[frame.cells[:, 0], frame.cells[:, 1]])
        assert pixels.min() >= 0
        assert pixels.max() <= 1
    own, other = alignment([local(random, 400, is_aligned=False)])
    assert abs(own - other) < 0.2


def test_few_channels_and_equal_features_have_colours_too() -> None:
    """Two channels leave the third colour constant, and features without any difference are one colour."""
    random = np.random.default_rng(0)
    two = Local(
        pixels=random.normal(size=(2, 2, 2)), voxels=random.normal(size=(3, 2)), uv=np.zeros((3, 2)),
        cells=np.zeros((3, 2), dtype=np.int64),
    )  # fmt: skip
    ((pixels, voxels),) = in_colours([two])
    assert np.isfinite(pixels).all()
    assert np.isfinite(voxels).all()
    same = Local(
        pixels=np.ones((2, 2, 4)), voxels=np.ones((3, 4)), uv=np.zeros((3, 2)), cells=np.zeros((3, 2), dtype=np.int64)
    )
    ((pixels, voxels),) = in_colours([same])
    assert len(np.unique(np.concatenate([pixels.reshape(-1, 3), voxels]), axis=0)) == 1


# --- figures of frames, on the town's smallest preset --------------------------------------------


@pytest.fixture(scope="module")
def tiny(tiny_town: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Sources]:
    """A run of the default method with weights as initialised, on the smallest town."""
    from benchmark.cli.main import main

    runs = tmp_path_factory.mktemp("runs")
    asked = ["evaluate", "--untrained", "--dataset-options", "preset=tiny", "--runs", str(runs)]
    assert main(asked) == 0
    group, *_ = collect(runs / "results").groups
    run = next(run for run in group.runs if run.result.method.origin == "untrained")
    return run, Sources(dataset=prepare(locate("town", None, ["preset=tiny"])))


def test_a_gallery_shows_hits_and_misses_as_the_ranks_have_them(tiny: tuple[Run, Sources]) -> None:
    run, sources = tiny
    (plate,) = plates_of("gallery", run.result, folder=run.folder, sources=sources)
    with np.load(run.folder / RANKS) as stored:
        ids, first = stored["frame_id"].tolist(), stored["query_first_positive_rank"]
        frame, tops = stored["query_frame"], stored["query_top_frame"]
    verdicts = set()
    for number in {number for (number,) in cells(plate.table, "query number")}:
        shown = cells(chosen(plate.table, "query number", number), "frame", "right", "shown as")
        (query, verdict, kind), found = shown[0], shown[1:]
        assert (verdict, kind) == (None, "image")
        assert {kind for *_, kind in found} == {"cloud"}
        rows = [
            row
            for row in np.flatnonzero(frame == ids.index(query))
            if [ids[top] for top in tops[row, : len(found)]] == [name for name, *_ in found]
        ]
        right = [place for place, (_, verdict, _) in enumerate(found, start=1) if verdict == "yes"]
        expected = {first[row] for row in rows if 1 <= first[row] <= len(found)}
        assert (right[0] in expected) if right else not expected
        verdicts |= {verdict for _, verdict, _ in found}
    assert verdicts == {"yes", "no"}
    svg = as_svg(plate)
    assert svg == as_svg(plate)
    assert svg.count("<image") >= 6


def test_a_gallery_of_other_data_is_refused_with_what_to_name(tiny: tuple[Run, Sources], base: Result) -> None:
    run, sources = tiny
    collection = Collection(groups=[Group(runs=[Run(folder=BASE, result=base)])])
    _, (hole,) = plates("gallery", collection, sources)
    assert "is not the one of the results; name the dataset of these results with --dataset" in hole.reason
    _, (hole,) = plates("local-features", Collection(groups=[Group(runs=[run])]), sources)
    assert "draw a trained result" in hole.reason


def test_local_features_need_the_very_weights_of_the_result(tiny: tuple[Run, Sources], tmp_path: Path) -> None:
    """Other weights are refused by their hash; with its own the figure is drawn, equal every time."""
    from benchmark.registry import METHODS
    from benchmark.request import MethodOptions
    from benchmark.training.checkpoint import save_weights
    from benchmark.training.configuring import configure
    from datasets.files import sha256_of

    run, sources = tiny
    name = run.result.method.name
    file = tmp_path / "own.safetensors"
    kind = METHODS.get(name)
    save_weights(kind(configure(kind, MethodOptions(name=name, weights="none"))), file)

    def drawn(sha256: str, weights: Path | None) -> tuple[list[Plate], str]:
        method = run.result.method.model_copy(update={"origin": "trained", "weights_sha256": sha256})
        result = run.result.model_copy(update={"method": method})
        collection = Collection(groups=[Group(runs=[Run(folder=run.folder, result=result)])])
        found, holes = plates("local-features", collection, Sources(dataset=sources.dataset, weights=weights))
        return found, " ".join(hole.reason for hole in holes)

    assert "name their file with --weights" in drawn("other", None)[1]
    assert "own.safetensors does not hold the weights of this result" in drawn("other", file)[1]
    (plate,), reasons = drawn(sha256_of(file), file)
    assert not reasons
    assert as_svg(plate) == as_svg(plate)
    assert {of for (of,) in cells(plate.table, "of")} == {"pixel", "voxel"}
    assert all(0 <= value <= 1 for row in cells(plate.table, "u", "v", "red", "green", "blue") for value in row)


# --- how it looks --------------------------------------------------------------------------------


def lightness(colour: str) -> float:
    """CIE L* of a colour, 0 to 100."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    y = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return 116 * np.cbrt(y) - 16 if y > 0.008856 else 903.3 * y


def test_neighbours_differ_in_lightness_marker_and_line() -> None:
    for one, other in zip(style.COLOURS, (*style.COLOURS[1:], style.COLOURS[0]), strict=True):
        assert abs(lightness(one) - lightness(other)) >= 15, f"{one} and {other} are alike in grey print"
    assert abs(lightness(style.RIGHT) - lightness(style.WRONG)) >= 15
    found = [style.Look.of(number) for number in range(style.MOST_SERIES)]
    assert len({(look.colour, look.marker) for look in found}) == style.MOST_SERIES
    assert all(a.marker != b.marker and a.line != b.line for a, b in itertools.pairwise(found))


@given(st.lists(st.floats(0, 1), max_size=14))
def test_names_beside_curves_keep_their_order_and_distance(wanted: list[float]) -> None:
    apart = 0.07
    places = style.spread_out(wanted, apart)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(np.array(places)[order]) >= apart - 1e-6).all()
    assert all(-1e-6 <= place <= 1 + 1e-6 for place in places)


def test_long_names_keep_their_end() -> None:
    assert style.short("a" * 30 + "-seed-7") == "a" * 17 + "…a-seed-7"
    assert style.short("two\nlines\u202e") == "two lines"
