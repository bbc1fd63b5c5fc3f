"""Which tables there are, and what stands in and around them, from stored results alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.pages import filled
from benchmark.evaluation.metrics import Recall
from benchmark.keys import plain
from benchmark.records.collection import Collection, collect
from benchmark.records.leaderboard import Entry
from benchmark.records.schema import RESULT, CostRecord, MethodRecord, PerturbationRecord, Result, TimingRecord
from benchmark.report.comparison import FIRST, Comparison, footnotes, judged, means_over_seeds, title
from benchmark.report.data import summary_table
from benchmark.report.documents import TABLES, document
from benchmark.report.formats import markdown
from benchmark.report.screen import screen
from benchmark.report.table import NONE, Column, Table, parts, text
from benchmark.report.tables import as_text, cost_tables, further_table, recall_table
from datasets.base import Protocol
from datasets.prepared import PreparedDataset
from results import stored_result


def timing(total_ms: float) -> TimingRecord:
    return TimingRecord(
        preprocess_ms=1.0, encode_ms=2.0, total_ms=total_ms, total_p95_ms=9.0, event_total_ms=None, n_samples=30
    )


COST = CostRecord(
    image=timing(12.345), cloud=timing(1234.5), parameters=7, peak_mib=345.6, peak_of="a test", descriptor_bytes=16
)


def trained(**changes: Any) -> MethodRecord:
    record = MethodRecord.unregistered("vxp", "trained").model_copy(
        update={"preset": "quick", "backbone_weights": "none"}
    )
    return record.model_copy(update={"share_of_schedule": 1.0} | changes)


@pytest.fixture
def stored(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> Callable[..., Result]:
    """Write the oracle's result as if a method had made it, with changes; returns it as read."""

    def stored(
        name: str = "run", method: MethodRecord | None = None, cost: CostRecord | None = COST, **changes: Any
    ) -> Result:
        folder = tmp_path / "runs" / name
        result = stored_result(folder, small_world, protocol, method=method or trained(), cost=cost, seed=4)
        changed = result.model_copy(update={"harness": result.harness | {"dirty": False}} | changes)
        (folder / RESULT).write_text(changed.model_dump_json())
        return Result.read(folder)

    return stored


def recall(at_1: float | None, at_5: float | None, one_percent: float | None) -> Recall:
    return Recall(
        n_queries=20,
        n_counted=16,
        n_without_positives=4,
        n_pairs=2,
        recall_at=(at_1, *[at_5] * 24),
        recall_at_one_percent=one_percent,
        one_percent_depth=2,
        values={"R@1": at_1, "R@5": at_5, "R@1%": one_percent},
    )


def with_recall(result: Result, at_1: float, **changes: Any) -> Result:
    """With one direction and this recall@1, all else equal."""
    record = recall(at_1, 0.5, None)
    direction = result.directions["image->cloud"].model_copy(update={"mean": record, "pooled": record})
    return result.model_copy(update={"directions": {"image->cloud": direction}} | changes)


def alone(*results: Result, **options: Any) -> Comparison:
    return Comparison.of(results, alone=True, **options)


def rows_of(table: Table) -> list[list[str]]:
    """The cells of a table, each in one line."""
    return [
        [" ".join(filter(None, parts(cell, column))) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]


def headings(table: Table) -> list[str]:
    return [column.heading for column in table.columns]


# --- rows and columns ----------------------------------------------------------------------------


def test_a_row_is_a_method_and_a_column_a_direction(stored: Callable[..., Result]) -> None:
    result = stored()
    direction = result.directions["image->cloud"].model_copy(
        update={
            "mean": recall(0.12345, 0.5, None),
            "pooled": recall(0.9, 0.9, 0.9),
            "intervals": {"R@1": (0.1, 0.2), "R@5": None, "R@1%": None},
        }
    )
    found = alone(result.model_copy(update={"directions": result.directions | {"image->cloud": direction}}))
    first = recall_table(found, FIRST)
    assert headings(first) == ["method", "image→cloud", "cloud→image", "image→image", "cloud→cloud"]
    assert rows_of(first)[0][:2] == ["vxp seed 4", "12.3 [10.0, 20.0]"]
    assert rows_of(further_table(found))[0][:2] == ["vxp", f"50.0 / {NONE}"]
    (costs,) = cost_tables(found)
    assert headings(costs) == ["method", "image ms", "cloud ms", "peak MiB", "place KiB"]
    assert rows_of(costs) == [["vxp", "12.3", "1,234", "345.6", "0.0"]]
    assert "16 of 20 counted" in footnotes(found)[1]


def test_the_headline_is_the_average_that_the_protocol_names(stored: Callable[..., Result]) -> None:
    result = stored()
    direction = result.directions["image->cloud"].model_copy(
        update={"mean": recall(0.1, 0.1, 0.1), "pooled": recall(0.9, 0.9, 0.9), "intervals": {}}
    )
    pooled = result.model_copy(
        update={"directions": {"image->cloud": direction}, "protocol": result.protocol | {"averaging": "queries"}}
    )
    assert rows_of(recall_table(alone(pooled), FIRST))[0][1] == "90.0"
    assert "all queries pooled" in footnotes(alone(pooled))[0]
    assert "mean over ordered traversal pairs" in footnotes(alone(result))[0]


def test_what_was_not_measured_is_in_no_table(stored: Callable[..., Result]) -> None:
    assert cost_tables(alone(stored(cost=None))) == []
    (costs,) = cost_tables(alone(stored(cost=None), stored("other")))
    assert len(costs.rows) == 1


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (trained(), "seed 4"),
        (trained(backbone_weights="timm"), "seed 4, from timm's weights"),
        (trained(backbone_weights="package"), "seed 4"),
        (trained(backbone_weights="vgg.pth"), "seed 4, from vgg.pth"),
        (trained(share_of_schedule=0.256), "seed 4, 26 % of schedule"),
        (trained(share_of_schedule=0.999), "seed 4, 99 % of schedule"),
        (trained(origin="shipped", weights="shipped with the suite (a.safetensors), made by: b"), "shipped"),
        (trained(config={"depth": {"source": "files"}}), "seed 4, depth by files"),
        (trained(origin="given", config={"depth": {"source": "network"}}), "given, depth by network"),
        (trained(config={"depth": {"source": {"kind": "plug-in"}}}), "seed 4, depth by plug-in"),
        (trained(config={"depth": None}), "seed 4"),
        (trained(config={"depth": 12}), "seed 4"),
        (trained(origin="untrained", share_of_schedule=None), "seed 4, untrained"),
        (trained(origin="nothing to train", share_of_schedule=None), ""),
        (MethodRecord.unregistered("ours", "foreign"), "foreign"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_says_where_its_weights_came_from(
    stored: Callable[..., Result], method: MethodRecord, words: str
) -> None:
    [[name, *_]] = rows_of(recall_table(alone(stored(method=method)), FIRST))
    assert name == f"{method.name} {words}".strip()


def test_a_row_of_a_changed_suite_says_so(stored: Callable[..., Result]) -> None:
    [[name, *_]] = rows_of(recall_table(alone(stored(harness={"dirty": True})), FIRST))
    assert name == "vxp seed 4, files of the suite were changed"


def test_what_all_rows_share_stands_below_once(stored: Callable[..., Result]) -> None:
    one, other = stored(), stored("other", trained(backbone_weights="timm"))
    assert "All methods with the preset quick; trained from scratch: no pretrained backbone." in footnotes(alone(one))
    assert "All methods with the preset quick." in footnotes(alone(one, other))
    names = {name for name, *_ in rows_of(recall_table(alone(one, other), FIRST))}
    assert names == {"vxp seed 4, scratch", "vxp seed 4, from timm's weights"}
    large = stored("large", trained(preset="gpu"))
    names = {name for name, *_ in rows_of(recall_table(alone(one, large), FIRST))}
    assert names == {"vxp quick, seed 4", "vxp gpu, seed 4"}


def test_rows_from_imagenet_are_marked_and_the_mark_is_explained(stored: Callable[..., Result]) -> None:
    one, other = stored(), stored("other", trained(preset="pretrained", backbone_weights="package"))
    note = "from ImageNet: the image backbone starts from ImageNet weights."
    assert note not in footnotes(alone(one))
    assert note in footnotes(alone(one, other))
    names = {name for name, *_ in rows_of(recall_table(alone(one, other), FIRST))}
    assert names == {"vxp quick, seed 4, scratch", "vxp pretrained, seed 4, from ImageNet"}
    assert {name for name, *_ in rows_of(further_table(alone(one, other)))} == {"vxp", "vxp pretrained"}
    shared = next(words for words in footnotes(alone(other)) if "All methods with the preset pretrained" in words)
    assert shared.endswith(note)


def test_rows_are_sorted_by_the_first_direction(stored: Callable[..., Result]) -> None:
    results = [with_recall(stored(name), at_1, seed=seed) for seed, (name, at_1) in enumerate([("a", 0.2), ("b", 0.7)])]
    assert [entry.seeds for entry in alone(*results).entries] == [(1,), (0,)]


def test_bounds_are_a_line_below_and_no_rows(stored: Callable[..., Result], tmp_path: Path) -> None:
    bound = stored("bound", MethodRecord.unregistered("oracle", "ranker"))
    same, differs = with_recall(bound, 1.0), stored("random", MethodRecord.unregistered("random", "ranker"))
    found = alone(stored(), bound, differs)
    assert [row[0] for row in rows_of(recall_table(found, FIRST))] == ["vxp seed 4"]
    (note,) = recall_table(found, FIRST).notes
    assert note.startswith("Bounds of R@1: by chance (exact expectation) ")
    assert note.endswith("oracle 100.0.")
    assert recall_table(alone(with_recall(stored(), 0.3), same), FIRST).notes == ["Bounds of R@1: oracle 100.0."]


def test_the_first_sentence_says_what_was_found(stored: Callable[..., Result]) -> None:
    own = with_recall(stored(), 0.116)
    chance = with_recall(stored("r", MethodRecord.unregistered("random", "ranker")), 0.021)
    assert alone(own, chance).sentence() == (
        "vxp finds the place of 11.6 % of the images at first try; by chance 2.1 %."
    )
    assert alone(own).sentence() == "vxp finds the place of 11.6 % of the images at first try."
    cloud_first = own.model_copy(update={"directions": {"cloud->image": own.directions["image->cloud"]}})
    assert "11.6 % of the clouds" in alone(cloud_first).sentence()


def test_a_method_without_a_result_is_a_hole_with_its_reason(stored: Callable[..., Result]) -> None:
    found = alone(stored(), holes={"lc2": "it failed"})
    assert rows_of(recall_table(found, FIRST))[-1] == ["lc2", "no result", NONE, NONE, NONE]
    assert "No result of lc2: it failed" in footnotes(found)


# --- beside others -------------------------------------------------------------------------------


def test_published_rows_of_other_methods_stand_beside(
    stored: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = with_recall(stored(), 0.5)
    others = [
        Entry.of(with_recall(own, at_1)).model_copy(update={"method": name, "is_published": True})
        for name, at_1 in (("lc2", 0.9), ("vxp", 0.8), ("liploc", 0.1))
    ]
    monkeypatch.setattr("benchmark.report.comparison.published", lambda board: others)
    found = Comparison.of([own])
    names = [name for name, *_ in rows_of(recall_table(found, FIRST))]
    assert names == ["lc2 seed 4, published here", "vxp seed 4", "liploc seed 4, published here"]
    assert found.sentence().startswith("vxp finds the place of 50.0 %"), "of the row of this machine"
    assert [entry.method for entry in alone(own).entries] == ["vxp"]
    perturbed_row = own.model_copy(update={"perturbation": perturbed(2)})
    assert [entry.method for entry in Comparison.of([perturbed_row]).entries] == ["vxp"], (
        "no published row is perturbed"
    )


# --- perturbations -------------------------------------------------------------------------------


def perturbed(severity: int) -> PerturbationRecord:
    values = {"value": severity / 8, "unit": "m", "modality": "cloud", "sides": {}, "drawn": {}}
    return PerturbationRecord.model_validate({"name": "range-noise", "version": 1, "severity": severity, **values})


def test_perturbed_rows_are_marked(stored: Callable[..., Result]) -> None:
    clean, noisy = stored(), stored("noisy", perturbation=perturbed(2))
    names = {name for name, *_ in rows_of(recall_table(alone(clean, noisy), FIRST))}
    assert names == {"vxp seed 4", "vxp range-noise 2: 0.25 m, seed 4"}
    assert len(footnotes(alone(clean, noisy))) == len(footnotes(alone(clean))) + 1


def test_clean_rows_come_before_perturbed_ones_by_severity(stored: Callable[..., Result], tmp_path: Path) -> None:
    for name, severity in (("a", 5), ("b", 1), ("d", 3)):
        stored(name, perturbation=perturbed(severity))
    stored("c")
    groups = collect(tmp_path / "runs").groups
    assert [[r.run_id for r in group.results] for group in groups] == [["c", "b", "d", "a"]]


def test_variants_stand_together_seed_by_seed(stored: Callable[..., Result], tmp_path: Path) -> None:
    for name, variant, seed in (("a", "netvlad", 1), ("b", "", 1), ("c", "netvlad", 0), ("d", "", 0)):
        stored(name, method=trained(variant=variant), seed=seed)
    groups = collect(tmp_path / "runs").groups
    assert [[r.run_id for r in group.results] for group in groups] == [["d", "b", "c", "a"]]


# --- seeds ---------------------------------------------------------------------------------------


def test_seeds_of_one_configuration_are_averaged_and_others_left_alone(stored: Callable[..., Result]) -> None:
    of = {origin: stored(origin, trained(origin=origin)) for origin in ("shipped", "trained", "untrained")}
    other = stored("other", trained(config_key="another file of weights"))
    results = [
        with_recall(of["shipped"], 0.1, seed=0),
        with_recall(of["trained"], 0.9, seed=0),
        with_recall(of["trained"], 0.2, seed=1),
        with_recall(of["trained"], 0.6, seed=2),
        with_recall(of["untrained"], 0.95, seed=3),
        with_recall(other, 0.8, seed=4),
    ]
    every = alone(*results)
    means = means_over_seeds(every)
    assert [[name, value.split(" [")[0]] for name, value in rows_of(recall_table(means, FIRST))] == [
        ["vxp seed 3, untrained", "95.0"],
        ["vxp seed 4", "80.0"],
        ["vxp 3 seeds, shipped", "30.0 ± 26.5"],
    ]


def test_seeds_that_a_budget_cut_at_different_shares_go_together(stored: Callable[..., Result]) -> None:
    results = [
        with_recall(stored(str(share), trained(share_of_schedule=share)), 0.5, seed=seed)
        for seed, share in enumerate((0.43, 0.41, 1.0))
    ]

    def words(*chosen: Result) -> Sequence[str]:
        return [row[0] for row in rows_of(recall_table(means_over_seeds(alone(*chosen)), FIRST))]

    assert words(*results[:2]) == ["vxp 2 seeds, 41 to 43 % of schedule"]
    assert words(*results) == ["vxp 3 seeds, 41 to 100 % of schedule"]


# --- marks ---------------------------------------------------------------------------------------


def of_dataset(result: Result, *, is_real: bool) -> Result:
    return result.model_copy(update={"dataset": result.dataset.model_copy(update={"is_real": is_real})})


def test_stand_ins_and_smoke_runs_are_marked(stored: Callable[..., Result]) -> None:
    real = of_dataset(stored(), is_real=True)
    assert title(alone(real).board) == "small_world · small v1"
    assert title(alone(of_dataset(real, is_real=False)).board) == (
        "small_world · small v1 · procedural stand-in, never to be compared with real data"
    )
    smoke = real.model_copy(update={"protocol": real.protocol | {"smoke": True}})
    assert title(alone(smoke).board) == "small_world · small v1 · SMOKE RUN: recall means nothing"


def test_partial_rows_and_rows_of_few_queries_are_marked(stored: Callable[..., Result]) -> None:
    real = of_dataset(stored(warnings=["partial: test sequences 05, 06 are absent"]), is_real=True)
    partial = real.model_copy(update={"protocol": real.protocol | {"absent": ["05", "06"]}})
    assert title(alone(partial).board) == "small_world · small v1 · PARTIAL: 2 test traversals are absent"
    assert footnotes(alone(partial))[-1] == "partial: test sequences 05, 06 are absent"
    few = real.model_copy(update={"protocol": real.protocol | {"is_ranked": False}})
    assert title(alone(few).board) == "small_world · small v1 · NOT RANKED: too few queries"
    n = few.directions["image->cloud"].mean.n_counted
    (note,) = [note for note in footnotes(alone(few)) if "rank" in note]
    assert note.startswith(f"One query of the {n} is {100 / n:.1f} percentage points")
    assert not [note for note in footnotes(alone(real)) if "rank" in note]


def test_partial_results_share_no_table_with_whole_ones_and_old_ones_do(
    stored: Callable[..., Result], tmp_path: Path, protocol: Protocol
) -> None:
    result = stored("whole")
    stored("partial", protocol=result.protocol | {"absent": ["noon"]})
    stored("old", seed=5, protocol=plain(protocol, with_defaults=False))
    groups = collect(tmp_path / "runs").groups
    assert sorted(sorted(r.run_id for r in group.results) for group in groups) == [["old", "whole"], ["partial"]]


def test_warnings_and_machines_stand_below_once(stored: Callable[..., Result]) -> None:
    one, other = stored(warnings=["partial: 05 is absent"]), stored("other", warnings=["partial: 05 is absent", "b"])
    found = alone(one, other)
    assert footnotes(found)[-2:] == ["partial: 05 is absent", "b"]
    (costs,) = cost_tables(found)
    assert costs.title == "Cost on Test CPU, 2 threads"
    assert "are left out" in footnotes(found)[1]
    missed = one.model_copy(update={"protocol": one.protocol | {"no_positive": "miss"}})
    assert "count as misses" in footnotes(alone(missed))[1]


# --- where they are shown ------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_screen_shows_every_number_and_name(stored: Callable[..., Result], width: int) -> None:
    found = alone(stored(), stored("other", trained(name="height_histogram")))  # type: ignore[arg-type]
    shown = as_text(found, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    for table in (recall_table(found, FIRST), further_table(found)):
        for row in table.rows:
            for cell, column in zip(row, table.columns, strict=True):
                assert parts(cell, column)[0] in shown


def test_tables_of_different_data_or_protocols_are_apart(stored: Callable[..., Result], tmp_path: Path) -> None:
    result = stored("a")
    stored("b", seed=2)
    stored("c", protocol=result.protocol | {"version": 2})
    stored("d", dataset=result.dataset.model_copy(update={"fingerprint": "other"}))
    collection = collect(tmp_path / "runs")
    groups = collection.groups
    assert sorted([r.run_id for r in group.results] for group in groups) == [["b", "a"], ["c"], ["d"]], "by seed: 2, 4"
    kind = TABLES["recall"]
    written = document(kind, kind.sections(collection))
    assert written.startswith("# Recall\n\nWritten by `crossplace tables`")
    assert written.count("## small_world") == 3
    found = judged(means_over_seeds(alone(*groups[0].results)), groups[0])
    assert f"## {title(found.board)}" in written
    assert markdown(recall_table(found, FIRST)) in written
    assert all(f"- {note}" in written for note in footnotes(found))


def test_without_results_the_table_says_so(tmp_path: Path) -> None:
    collection = collect(tmp_path / "none")
    assert collection.groups == []
    assert "No results yet." in document(TABLES["recall"], TABLES["recall"].sections(collection))


def test_the_summary_of_a_dataset(small_world: PreparedDataset) -> None:
    out = screen(summary_table(small_world), 120)
    assert all(name in out for name in ("morning", "evening", "midnight", "dusk"))
    assert "36 frames; kept 36" in out


def test_tables_are_written_between_their_markers_and_nowhere_else() -> None:
    table = Table(columns=[Column(name="x")], rows=[[text("y")]])
    tables = {"one": lambda _: table, "two": lambda _: table}
    page = "a\n<!-- one -->\nold\n<!-- /one -->\nb\n<!-- other -->\n<!-- /other -->\n"
    expected = f"a\n<!-- one -->\n{markdown(table)}<!-- /one -->\nb\n<!-- other -->\n<!-- /other -->\n"
    assert filled(page, tables, Collection(groups=[])) == expected
    assert filled("nothing to fill", tables, Collection(groups=[])) == "nothing to fill"
