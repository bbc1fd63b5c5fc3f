"""Rows of perturbed frames."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jobs import Job, done, files_below, forbid

from benchmark.descriptors.files import Descriptors
from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.records.schema import RANKS, Result
from benchmark.runs import plan as planning
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

OF_CLOUDS = {"image->cloud": "database", "cloud->image": "query", "cloud->cloud": "query"}


def test_a_perturbed_row_carries_its_perturbation_in_the_directions_it_changes(job: Callable[..., Job]) -> None:
    row = job(perturb="range-noise", severity=5)
    found, *rankers = row.run()
    assert found.perturbation is not None
    assert (found.perturbation.name, found.perturbation.severity, found.perturbation.value) == ("range-noise", 5, 0.5)
    assert found.perturbation.sides == OF_CLOUDS
    assert list(found.directions) == list(OF_CLOUDS)
    assert found.cost is None, "that of the clean run holds"
    assert found.run_id.startswith("toy-quick-small-range-noise-5-s0-")
    assert [ranker.perturbation for ranker in rankers] == [None] * 3
    assert Result.read(row.result_folder) == found


def arrays_below(folder: Path) -> dict[str, int]:
    return {name: stamp for name, stamp in files_below(folder).items() if name.endswith(".npy")}


def test_perturbed_rows_reuse_weights_and_clean_descriptors(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    job().run()
    clean = arrays_below(job().descriptor_folder)
    forbid(monkeypatch, "train", "measure")
    folders = set()
    for name, severity in (("point-dropout", 1), ("point-dropout", 5), ("image-darkness", 5)):
        said.clear()
        row = job(perturb=name, severity=severity)
        assert done(row) == {
            "prepare": True,
            "train": True,
            "encode": True,
            "encode perturbed": False,
            "evaluate": False,
        }
        row.run()
        assert "encoded 0 parts anew" in said.text
        assert "encoded 3 parts anew" in said.text
        assert all(done(row).values())
        folders |= {row.descriptor_folder, row.perturbed_folder}
    assert len(folders) == 4
    assert arrays_below(job().descriptor_folder) == clean
    forbid(monkeypatch, "encode", "evaluate", "read")
    job(perturb="point-dropout", severity=5).run()


def test_a_perturbed_row_first_leaves_what_a_clean_one_needs(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job(perturb="fewer-beams").run()
    assert done(job()) == {"prepare": True, "train": True, "encode": True, "evaluate and measure": False}
    forbid(monkeypatch, "train")
    assert job().run()[0].perturbation is None


def test_severity_zero_is_the_clean_row(job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    first = job().run()
    forbid(monkeypatch, "train", "encode", "measure", "evaluate")
    assert job(perturb="range-noise", severity=0).run() == first


def test_the_map_stays_clean_among_clouds(job: Callable[..., Job]) -> None:
    """Distances in the ranks are those of perturbed queries to clean or perturbed places, as the rule says."""
    row = job(perturb="range-noise", severity=5)
    row.run()
    clean, perturbed = Descriptors.read(row.descriptor_folder), Descriptors.read(row.perturbed_folder)
    with np.load(row.result_folder / RANKS, allow_pickle=False) as stored:
        ranks = dict(stored)
    sources = {
        "image->cloud": (clean, perturbed),
        "cloud->image": (perturbed, clean),
        "cloud->cloud": (perturbed, clean),
    }
    assert ranks["directions"].tolist() == list(sources)
    for number, (direction, (asking, searched)) in enumerate(sources.items()):
        query, _, database = direction.partition("->")
        chosen = ranks["query_direction"] == number
        asked = asking.of(query, ranks["frame_id"][ranks["query_frame"][chosen]].tolist())  # type: ignore[arg-type]
        nearest = ranks["frame_id"][ranks["query_top_frame"][chosen, 0]].tolist()
        found = searched.of(database, nearest)  # type: ignore[arg-type]
        expected = np.linalg.norm(asked[:, 0] - found[:, 0], axis=1)
        np.testing.assert_allclose(ranks["query_top_distance"][chosen, 0], expected, rtol=1e-4, atol=1e-5)


def test_a_method_that_knows_the_place_is_not_disturbed(
    job: Callable[..., Job], toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the position from the frame, so that no perturbation can reach it."""

    def positions(_: Any, batch: Any) -> torch.Tensor:
        return torch.tensor([(*frame.position_m, 0.0) for frame in batch.frames])

    def as_they_are(_: Any, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"main": inputs[:, None]}

    for name, function in {"inputs": positions, "encode": as_they_are}.items():
        for modality in ("image", "cloud"):
            method = f"{modality}_inputs" if name == "inputs" else f"encode_{modality}s"
            monkeypatch.setattr(toy.Toy, method, function)
    clean = job(untrained=True).run()[0]
    assert clean.directions["cloud->cloud"].mean.recall_at[0] == 1.0
    for name in PERTURBATIONS:
        found = job(untrained=True, perturb=name, severity=5).run()[0]
        assert found.directions == {d: clean.directions[d] for d in found.directions}
        assert found.perturbation is not None
        assert found.directions.keys() == found.perturbation.sides.keys()


def test_miscalibrated_vehicles_are_named_in_the_result(job: Callable[..., Job]) -> None:
    found = job(untrained=True, perturb="calibration-rotation").run()[0]
    assert found.perturbation is not None
    assert list(found.perturbation.drawn) == ["morning", "evening", "midnight"]


def test_a_perturbation_of_what_is_not_there_is_a_sentence(
    job: Callable[..., Job], small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = replace(small_world.frames, image=np.full(36, "", dtype=object))
    monkeypatch.setattr(planning, "prepare", lambda _: replace(small_world, frames=blind))
    with pytest.raises(CrossplaceError, match="image-blur changes images, but no frame that protocol small selects"):
        job(untrained=True, perturb="image-blur").run()
