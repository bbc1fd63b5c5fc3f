"""Tables and committed results, from stored results alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmark.runs.scoring import unregistered, write_result

from benchmark.evaluation.evaluate import from_ranker
from benchmark.keys import plain
from benchmark.records.publish import publish
from benchmark.records.schema import (
    RANKS,
    RESULT,
    CostRecord,
    MethodRecord,
    PerturbationRecord,
    RecallRecord,
    Result,
    TimingRecord,
)
from benchmark.report.tables import (
    COLUMNS,
    cells,
    columns_of,
    footnotes,
    markdown,
    means_over_seeds,
    print_summary,
    print_table,
    title,
    write_tables,
)
from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset


def timing(total_ms: float) -> TimingRecord:
    return TimingRecord(
        preprocess_ms=1.0, encode_ms=2.0, total_ms=total_ms, total_p95_ms=9.0, event_total_ms=None, n_samples=30
    )


COST = CostRecord(
    image=timing(12.345), cloud=timing(1234.5), parameters=7, peak_mib=345.6, peak_of="a test", descriptor_bytes=16
)


def trained(**changes: Any) -> MethodRecord:
    record = unregistered("vxp", "trained").model_copy(update={"preset": "quick", "backbone_weights": "none"})
    return record.model_copy(update={"share_of_schedule": 1.0} | changes)


@pytest.fixture
def stored(small_world: PreparedDataset, protocol: Protocol, tmp_path: Path) -> Callable[..., Result]:
    """Write the oracle's result as if a method had made it, with changes; returns it as read."""

    def stored(
        name: str = "run", method: MethodRecord | None = None, cost: CostRecord | None = COST, **changes: Any
    ) -> Result:
        folder = tmp_path / "runs" / name
        result = write_result(
            folder,
            "key",
            dataset=small_world,
            protocol=protocol,
            method=method or trained(),
            distances=from_ranker("oracle", 0),
            cost=cost,
            seed=4,
            environment={"device": "Test CPU", "threads": 2},
            warnings=[],
        )
        changed = result.model_copy(update=changes)
        (folder / RESULT).write_text(changed.model_dump_json())
        return Result.read(folder)

    return stored


def recall(at_1: float | None, at_5: float | None, one_percent: float | None) -> RecallRecord:
    return RecallRecord(
        n_queries=20,
        n_counted=16,
        n_without_positives=4,
        n_pairs=2,
        recall_at=[at_1, *[at_5] * 24],
        recall_at_one_percent=one_percent,
        one_percent_depth=2,
    )


def first_row(result: Result) -> dict[str, str]:
    return dict(zip(COLUMNS, cells([result])[0], strict=True))


def with_recall(result: Result, at_1: float, **changes: Any) -> Result:
    """With one direction and this recall@1, all else equal."""
    record = recall(at_1, 0.5, None)
    direction = result.directions["image->cloud"].model_copy(update={"mean": record, "pooled": record})
    return result.model_copy(update={"directions": {"image->cloud": direction}} | changes)


# --- cells ---------------------------------------------------------------------------------------


def test_every_column_of_a_row(stored: Callable[..., Result]) -> None:
    result = stored()
    direction = result.directions["image->cloud"].model_copy(
        update={
            "mean": recall(0.12345, 0.5, None),
            "pooled": recall(0.9, 0.9, 0.9),
            "intervals": {"1": (0.1, 0.2), "5": None, "1%": None},
        }
    )
    assert first_row(result.model_copy(update={"directions": {"image->cloud": direction}})) == {
        "method": "vxp (quick)",
        "weights": "trained, scratch",
        "seed": "4",
        "direction": "image→cloud",
        "R@1 % [95 %]": "12.3 [10.0, 20.0]",
        "R@5 %": "50.0",
        "R@1% %": "–",
        "queries": "16 of 20",
        "image ms": "12.3",
        "cloud ms": "1,234",
        "peak MiB": "346",
    }


def test_the_headline_is_the_average_that_the_protocol_names(stored: Callable[..., Result]) -> None:
    result = stored()
    direction = result.directions["image->cloud"].model_copy(
        update={"mean": recall(0.1, 0.1, 0.1), "pooled": recall(0.9, 0.9, 0.9), "intervals": {}}
    )
    pooled = result.model_copy(
        update={"directions": {"image->cloud": direction}, "protocol": result.protocol | {"averaging": "queries"}}
    )
    assert first_row(pooled)["R@1 % [95 %]"] == "90.0"
    assert "all queries pooled" in footnotes([pooled])[0]
    assert "mean over ordered traversal pairs" in footnotes([result])[0]


def test_what_was_not_measured_is_a_dash(stored: Callable[..., Result]) -> None:
    row = first_row(stored(cost=None))
    assert (row["image ms"], row["cloud ms"], row["peak MiB"]) == ("–", "–", "–")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (trained(), "trained, scratch"),
        (trained(backbone_weights="timm"), "trained"),
        (trained(share_of_schedule=0.256), "trained, scratch, 26 % of schedule"),
        (trained(share_of_schedule=0.999), "trained, scratch, 99 % of schedule"),
        (trained(origin="shipped", weights="shipped with the suite (a.safetensors), made by: b"), "shipped, scratch"),
        (trained(config={"depth": {"source": "files"}}), "trained, scratch, depth by files"),
        (trained(origin="given", config={"depth": {"source": "network"}}), "given, depth by network"),
        (trained(config={"depth": {"source": {"kind": "plug-in"}}}), "trained, scratch, depth by plug-in"),
        (trained(config={"depth": None}), "trained, scratch"),
        (trained(config={"depth": 12}), "trained, scratch"),
        (trained(origin="untrained", share_of_schedule=None), "untrained"),
        (trained(origin="nothing to train", share_of_schedule=None), "–"),
        (unregistered("oracle", "ranker"), "–"),
        (unregistered("ours", "foreign"), "foreign"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_says_where_its_weights_came_from(
    stored: Callable[..., Result], method: MethodRecord, words: str
) -> None:
    assert first_row(stored(method=method))["weights"] == words


def test_rows_are_grouped_by_direction(stored: Callable[..., Result]) -> None:
    one, other = stored(), stored("other", method=unregistered("oracle", "ranker"))
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in cells([one, other])]
    assert [(row["direction"], row["method"]) for row in rows] == [
        (direction, method)
        for direction in ("image→cloud", "cloud→image", "image→image", "cloud→cloud")
        for method in ("vxp (quick)", "oracle")
    ]


# --- perturbations -------------------------------------------------------------------------------


def perturbed(severity: int) -> PerturbationRecord:
    values = {"value": severity / 8, "unit": "m", "modality": "cloud", "sides": {}, "drawn": {}}
    return PerturbationRecord.model_validate({"name": "range-noise", "version": 1, "severity": severity, **values})


def test_perturbed_rows_are_marked_and_clean_tables_have_no_column_for_it(stored: Callable[..., Result]) -> None:
    clean, noisy = stored(), stored("noisy", perturbation=perturbed(2))
    assert list(columns_of([clean])) == list(COLUMNS)
    columns = list(columns_of([clean, noisy]))
    assert columns == ["method", "perturbation", *list(COLUMNS)[1:]]
    rows = [dict(zip(columns, row, strict=True)) for row in cells([clean, noisy])]
    assert [row["perturbation"] for row in rows[:2]] == ["–", "range-noise 2: 0.25 m"]
    assert markdown([clean, noisy]).count("| range-noise 2: 0.25 m") == 4
    assert len(footnotes([clean, noisy])) == len(footnotes([clean])) + 1


def test_clean_rows_come_before_perturbed_ones_by_severity(stored: Callable[..., Result], tmp_path: Path) -> None:
    for name, severity in (("a", 5), ("b", 1), ("d", 3)):
        stored(name, perturbation=perturbed(severity))
    stored("c")
    _, groups = write_tables(tmp_path / "runs")
    assert [[r.run_id for r in group] for group in groups] == [["c", "b", "d", "a"]]


def test_variants_stand_together_seed_by_seed(stored: Callable[..., Result], tmp_path: Path) -> None:
    for name, variant, seed in (("a", "netvlad", 1), ("b", "", 1), ("c", "netvlad", 0), ("d", "", 0)):
        stored(name, method=trained(variant=variant), seed=seed)
    _, groups = write_tables(tmp_path / "runs")
    assert [[r.run_id for r in group] for group in groups] == [["d", "b", "c", "a"]]


# --- marks ---------------------------------------------------------------------------------------


def test_seeds_of_one_configuration_are_averaged_and_others_left_alone(stored: Callable[..., Result]) -> None:
    of = {origin: stored(origin, trained(origin=origin)) for origin in ("shipped", "trained", "untrained")}
    other = stored("other", trained(config_key="another file of weights"))
    results = [
        with_recall(of["shipped"], 0.1, seed=0),
        with_recall(of["trained"], 0.9, seed=0),
        with_recall(of["trained"], 0.2, seed=1),
        with_recall(of["trained"], 0.6, seed=2),
        with_recall(of["untrained"], 0.9, seed=3),
        with_recall(other, 0.8, seed=4),
    ]
    assert means_over_seeds(results) == [
        ["vxp (quick)", "scratch", "image→cloud", "0, 1, 2", "30.0 (10.0 to 60.0)", "50.0 (50.0 to 50.0)", "–"]
    ]
    assert means_over_seeds(results[:2]) == []
    assert "Means over seeds" in markdown(results)
    assert "Means over seeds" not in markdown(results[4:])


def test_seeds_that_a_budget_cut_at_different_shares_go_together(stored: Callable[..., Result]) -> None:
    results = [
        with_recall(stored(str(share), trained(share_of_schedule=share)), 0.5, seed=seed)
        for seed, share in enumerate((0.43, 0.41, 1.0))
    ]
    weights = {line[1] for n in (2, 3) for line in means_over_seeds(results[:n])}
    assert weights == {"scratch, 41 to 43 % of schedule", "scratch, 41 to 100 % of schedule"}


def of_dataset(result: Result, *, is_real: bool) -> Result:
    return result.model_copy(update={"dataset": result.dataset.model_copy(update={"is_real": is_real})})


def test_stand_ins_and_smoke_runs_are_marked(stored: Callable[..., Result]) -> None:
    real = of_dataset(stored(), is_real=True)
    assert title(real) == "small_world · small v1"
    assert title(of_dataset(real, is_real=False)) == (
        "small_world · small v1 · procedural stand-in, never to be compared with real data"
    )
    smoke = real.model_copy(update={"protocol": real.protocol | {"smoke": True}})
    assert title(smoke) == "small_world · small v1 · SMOKE RUN: recall means nothing"


def test_partial_rows_and_rows_of_few_queries_are_marked(stored: Callable[..., Result]) -> None:
    real = of_dataset(stored(warnings=["partial: test sequences 05, 06 are absent"]), is_real=True)
    partial = real.model_copy(update={"protocol": real.protocol | {"absent": ["05", "06"]}})
    assert title(partial) == "small_world · small v1 · PARTIAL: 2 test traversals are absent"
    assert footnotes([partial])[-1] == "partial: test sequences 05, 06 are absent"
    few = real.model_copy(update={"protocol": real.protocol | {"is_ranked": False}})
    assert title(few) == "small_world · small v1 · NOT RANKED: too few queries"
    n = few.directions["image->cloud"].mean.n_counted
    (note,) = [note for note in footnotes([few]) if "ranked" in note]
    assert note.startswith(f"Only {n} queries, of which one is {100 / n:.1f} percentage points")
    assert not [note for note in footnotes([real]) if "ranked" in note]


def test_partial_results_share_no_table_with_whole_ones_and_old_ones_do(
    stored: Callable[..., Result], tmp_path: Path, protocol: Protocol
) -> None:
    result = stored("whole")
    stored("partial", protocol=result.protocol | {"absent": ["noon"]})
    stored("old", protocol=plain(protocol, with_defaults=False))
    _, groups = write_tables(tmp_path / "runs")
    assert sorted(sorted(r.run_id for r in group) for group in groups) == [["old", "whole"], ["partial"]]


def test_warnings_and_machines_stand_below_the_table_once(stored: Callable[..., Result]) -> None:
    one, other = stored(warnings=["partial: 05 is absent"]), stored("other", warnings=["partial: 05 is absent", "b"])
    notes = footnotes([one, other])
    assert notes[2:] == ["partial: 05 is absent", "b"]
    assert notes[1].endswith("(Test CPU, 2 threads).")
    assert "are left out" in notes[0]
    missed = one.model_copy(update={"protocol": one.protocol | {"no_positive": "miss"}})
    assert "count as misses" in footnotes([missed])[0]


# --- where they are printed ----------------------------------------------------------------------


def test_the_screen_shows_every_cell_on_one_line_a_row(
    stored: Callable[..., Result], capsys: pytest.CaptureFixture[str]
) -> None:
    result = stored()
    print_table([result])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == title(result)
    for row in cells([result]):
        assert any(all(text in line for text in row) for line in lines), row
    assert "\x1b" not in "".join(lines), "no colours where nobody sees them"


def test_markdown_holds_title_rows_and_notes(stored: Callable[..., Result]) -> None:
    result = stored()
    lines = markdown([result]).splitlines()
    assert lines[0] == f"## {title(result)}"
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert table[0] == list(COLUMNS)
    assert table[2:] == cells([result])
    assert [line for line in lines if line.startswith("- ")] == [f"- {note}" for note in footnotes([result])]


def test_tables_of_different_data_or_protocols_are_apart(
    stored: Callable[..., Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = stored("a")
    stored("b", seed=2)
    stored("c", protocol=result.protocol | {"version": 2})
    stored("d", dataset=result.dataset.model_copy(update={"fingerprint": "other"}))
    path, groups = write_tables(tmp_path / "runs")
    assert path == tmp_path / "runs" / "tables" / "recall.md"
    assert sorted([r.run_id for r in group] for group in groups) == [["b", "a"], ["c"], ["d"]], "by seed: 2, 4"
    text = path.read_text()
    assert text.startswith("# Recall and cost\n\nWritten by `crossplace tables`")
    assert text.count("## small_world") == 3
    assert write_tables(tmp_path / "runs")[0].read_text() == text


def test_without_results_the_table_says_so(tmp_path: Path) -> None:
    path, groups = write_tables(tmp_path / "none")
    assert groups == []
    assert "No results yet." in path.read_text()


def test_the_summary_of_a_dataset(small_world: PreparedDataset, capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(small_world)
    out = capsys.readouterr().out
    assert all(name in out for name in ("morning", "evening", "midnight", "dusk"))
    assert '36 frames; {"kept": 36}' in out


# --- publishing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_real", [True, False])
def test_only_aggregates_of_real_data_are_published(
    stored: Callable[..., Result], tmp_path: Path, is_real: bool
) -> None:
    result = of_dataset(stored(), is_real=is_real)
    run = tmp_path / "runs" / "run"
    (run / RESULT).write_text(result.model_dump_json())
    target = publish(run, tmp_path / "results")
    assert target == tmp_path / "results" / "small_world" / "run"
    assert Result.read(target) == result
    assert (target / RANKS).exists() == (not is_real)
    if not is_real:
        assert (target / RANKS).read_bytes() == (run / RANKS).read_bytes()
    publish(run, tmp_path / "results")  # again: replaces


def test_publishing_what_is_no_run_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CrossplaceError, match=r"nowhere/result\.json: not readable .*No such file"):
        publish(tmp_path / "nowhere", tmp_path / "results")
