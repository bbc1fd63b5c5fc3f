"""Maps of any size as a person asks for them: numbers against brute force, what is cached, and what is said."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import Job, with_protocol
from plain_ranking import plain_distances

from benchmark.cli.main import main
from benchmark.descriptors.files import Descriptors
from benchmark.descriptors.shards import Shards
from benchmark.evaluation.evaluate import Block, from_descriptors, joined, scored
from benchmark.evaluation.ranks import rank_queries
from benchmark.protocol import ground_truth
from benchmark.protocol.directions import Direction
from benchmark.records.collection import collect
from benchmark.records.publish import publish
from benchmark.records.scale import SCALE, ScaleRecord
from benchmark.records.sensitivity import recall_records
from benchmark.report.documents import TABLES, as_markdown
from benchmark.report.figures.plates import as_svg, plates
from benchmark.report.scale import scale_section
from benchmark.request import Request
from benchmark.runs import scale as module
from benchmark.runs.plan import Plan
from benchmark.runs.scale import run_scale
from datasets.base import Protocol, Selection
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

BY_DAY = Selection(traversals=("morning", "evening"))
SIZES = (12, 30, 500)


@pytest.fixture
def request_(
    small_world: PreparedDataset, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Request:
    """The skyline histogram on the small world, morning and evening against each other; nothing to train."""
    with_protocol(monkeypatch, replace(protocol, query=BY_DAY, database=BY_DAY))
    return Request.of(method="height_histogram", dataset=str(small_world.folder), device="cpu", runs=tmp_path / "runs")


@pytest.fixture
def elsewhere(small_world: PreparedDataset, tmp_path: Path) -> str:
    """A prepared folder with the small world's frames under another name: places that are never right."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(small_world.folder, folder)
    described = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**described, "name": "elsewhere"}))
    return str(folder)


def test_recall_in_a_large_map_is_that_of_ranking_everything(
    request_: Request, elsewhere: str, small_world: PreparedDataset
) -> None:
    """Every distance to every place of the map on disk, in float64, for each pair and direction."""
    record, _ = run_scale(request_, SIZES, distractors=[elsewhere], keep_map=True)
    plan = Plan(request_, measured=False)
    (folder,) = (plan.runs / "maps").glob("[!.]*")
    rows = np.concatenate([block.copy() for _, block in Shards.read(folder).blocks()]).astype(np.float64)[:, None]
    descriptors, frames = Descriptors.read(Job(request_).descriptor_folder), small_world.frames
    directions = [d for d in Direction if d.database == "cloud"]
    scorer = from_descriptors(descriptors, frames, directions=directions)
    assert [point.places for point in record.points] == list(SIZES)
    for point in record.points:
        n, blocks = point.places - 12, []
        for part in scored({"": scorer}, plan.selected):
            ranking = rank_queries(part.distances, part.asked.relation)
            query = descriptors.at(part.direction.query, frames, part.asked.query_rows).astype(np.float64)
            far = plain_distances(query, rows[12 : 12 + n], "l2")
            rank = ranking.first_positive_rank
            rank = np.where(rank > 0, rank + (far < ranking.best_positive_distance[:, None]).sum(axis=1), 0)
            blocks.append(
                Block.of(part, replace(ranking, first_positive_rank=rank, n_candidates=ranking.n_candidates + n))
            )
        expected = recall_records(joined(blocks, plan.protocol, n_foreign=n), small_world, plan.protocol, n)
        assert point.directions == expected
        assert (point.n_foreign, point.n_foreign + point.n_synthetic) == (min(n, 36), n)
        assert point.n_bytes == 2 * record.size * point.places
    half = descriptors.at("cloud", frames, plan.selected.database[12:])[:, 0].astype(np.float16)
    np.testing.assert_array_equal(rows[:12, 0], half)  # the map begins with the evening, which the morning is asked of


def test_the_size_of_a_map_is_a_mean_over_pairs_and_not_over_blocks(
    request_: Request, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    uneven = replace(Selection(traversals=("evening",), count=4), also=(Selection(traversals=("morning",)),))
    with_protocol(monkeypatch, replace(protocol, query=BY_DAY, database=uneven))
    monkeypatch.setattr(ground_truth, "BLOCK_ENTRIES", 24)  # of 12 queries, two among 12 frames, or six among 4
    record, _ = run_scale(request_, (8, 30))
    for point in record.points:
        assert {recall.n_database for recall in point.directions.values()} == {point.places}


def test_without_distractors_it_is_the_result_of_bench(request_: Request) -> None:
    result = Job(request_, measured=False).run()[0]
    record, path = run_scale(request_, (12, 40))
    for direction, found in record.points[0].directions.items():
        assert found.values == result.headline(direction).values
        assert found.intervals == result.directions[direction].intervals
    assert list(record.points[0].directions) == ["image->cloud", "cloud->cloud"]
    assert ScaleRecord.read(path) == record
    assert (record.synthetic.n_compared, record.points[1].n_synthetic) == (0, 28)
    images, _ = run_scale(request_, (12,), "image")
    assert list(images.points[0].directions) == ["cloud->image", "image->image"]


def test_a_second_call_does_nothing_and_a_map_is_taken_away(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    first, path = run_scale(request_, (40, 20))
    assert not list((request_.machine.runs / "maps").glob("[!.]*"))
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(module, "territory_of", lambda *_: pytest.fail("this was done before"))
    assert run_scale(request_, (20, 40)) == (first, path)
    assert path.stat().st_mtime_ns == before


def test_an_interrupted_map_goes_on(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "counted", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_scale(request_, (300,))
    (folder,) = (request_.machine.runs / "maps").glob("[!.]*")
    (shard,) = folder.glob("*.npy")
    before = shard.stat().st_mtime_ns
    monkeypatch.setattr(module.shutil, "rmtree", lambda _: None)
    assert run_scale(request_, (300,))[0].points[0].n_synthetic == 288
    assert shard.stat().st_mtime_ns == before


def test_indexes_are_judged_by_exact_search(request_: Request) -> None:
    """A graph over 60 places finds all nearest ones, so that its recall is the exact one."""
    pytest.importorskip("faiss", reason="faiss is not installed (extra compare)")
    record, _ = run_scale(request_, (60, 2000), indexes=["hnsw", "ivf-pq"])
    assert [(p.index, p.places) for p in record.indexes] == [
        (name, n) for n in (60, 2000) for name in ("ivf-pq", "hnsw")
    ]
    hnsw = record.indexes[1]
    assert set(hnsw.agreement.values()) == {1.0}
    assert hnsw.recall == hnsw.recall_exact
    for point in record.indexes:
        assert all(0 <= share <= 1 for share in point.agreement.values())
        assert point.recall_exact.keys() == point.recall.keys() == {"image->cloud", "cloud->cloud"}


def test_an_index_that_would_take_hours_is_left_out(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="faiss is not installed (extra compare)")
    monkeypatch.setitem(module.INDEXES, "hnsw", replace(module.INDEXES["hnsw"], most_places=20))
    record, _ = run_scale(request_, (60,), indexes=["hnsw"])
    assert record.indexes == []
    assert record.indexes_left_out == ["No hnsw of 60 places: it takes long to build beyond 20."]


def test_a_prior_searches_few_places_and_says_how_many(request_: Request) -> None:
    record, _ = run_scale(request_, (12,))
    (near, far), whole = record.priors, record.points[0].directions
    assert 0 < near.candidates < far.candidates <= 12
    for direction in whole:
        assert near.directions[direction].n_counted == whole[direction].n_counted


def test_a_record_is_published_tabled_and_drawn(request_: Request, elsewhere: str, tmp_path: Path) -> None:
    record, path = run_scale(request_, (4, *SIZES), distractors=[elsewhere])
    target = publish(path.parent, tmp_path / "results")
    assert target == tmp_path / "results" / "scale" / path.parent.name
    collection = collect(tmp_path / "results")
    assert collection.scales == [record]
    (section,) = TABLES["scale"].sections(collection)
    shown = as_markdown(section)
    assert "height_histogram (quick) · small_world · small v1 · a map of clouds" in shown
    assert "4 places are left out: the test itself has 12 places." in shown
    assert "they are no places, and recall with them is an extrapolation" in shown
    sizes, likeness = section.tables
    assert [row[0].words for row in sizes.rows] == ["12", "30", "500"]
    for row, point in zip(sizes.rows, record.points, strict=True):
        values = [100 * (recall.values["R@1"] or 0.0) for recall in point.directions.values()]
        assert [cell.value for cell in row[1:3]] == pytest.approx(values)
        assert [cell.value for cell in row[3:5]] == [point.n_foreign, point.n_synthetic]
    assert [row[0].words for row in likeness.rows] == ["36 foreign frames", "36 synthetic"]
    (plate,), holes = plates("scale", collection)
    assert not holes
    assert len(plate.table.rows) == 6
    assert "places in the map" in as_svg(plate)
    said = {load: as_markdown(scale_section(record.model_copy(update={"load": load}))) for load in (None, 0.9, 7.0)}
    assert "How busy the machine was is not known" in said[None]
    assert "7.0 processes wanted each core. Times are too long." in said[7.0]
    assert "busy" not in said[0.9]
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "seed": 7}))
    with pytest.raises(CrossplaceError, match=r"damaged or edited .*run crossplace scale again"):
        ScaleRecord.read(path)


def test_one_size_makes_no_curve(request_: Request) -> None:
    _, path = run_scale(request_, (30,))
    found, (hole,) = plates("scale", collect(path.parent))
    assert not found
    assert "run crossplace scale with several --places" in hole.reason


def test_what_cannot_be_is_refused(request_: Request, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CrossplaceError, match="--places needs numbers of places above 0"):
        run_scale(request_, ())
    with pytest.raises(CrossplaceError, match="--places: the test itself has 12 places; name a larger number"):
        run_scale(request_, (5,))
    with pytest.raises(CrossplaceError, match=r"unknown index 'hnws'\. Did you mean hnsw"):
        run_scale(request_, (30,), indexes=["hnws"])
    read = Descriptors.read
    monkeypatch.setattr(Descriptors, "read", lambda folder: replace(read(folder), top=3, second=read(folder)))
    with pytest.raises(CrossplaceError, match="choose a variant without re-ranking"):
        run_scale(request_, (30,))


def test_distractors_that_are_named_twice_are_refused(request_: Request, elsewhere: str, tmp_path: Path) -> None:
    copy = str(shutil.copytree(elsewhere, tmp_path / "copy", copy_function=shutil.copyfile))
    for names in ((elsewhere, elsewhere), (elsewhere, copy)):
        with pytest.raises(CrossplaceError, match=f"--distractors {names[1]} holds the same data as {elsewhere}"):
            run_scale(request_, (60,), distractors=names)
    assert not list(request_.machine.runs.rglob("*.npy")), "nothing is encoded before"


def test_the_command_prints_the_table(request_: Request, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--dataset", request_.data.dataset, "--runs", str(request_.machine.runs))
    assert main(["scale", "--method", "height_histogram", *data, "--places", "20", "100"]) == 0
    out = capsys.readouterr().out
    assert "Size of the map; R@1, %" in out
    assert out.rstrip().endswith(SCALE)
