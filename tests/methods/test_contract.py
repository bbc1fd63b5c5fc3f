"""Every registered method keeps the contract, and every registered dataset says what it needs."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from benchmark.contract.checks import (
    CHECKS,
    is_alone_in_a_batch,
    is_deterministic,
    is_what_is_declared,
    names_frames_without_calibration,
    survives_a_file,
    takes_a_batch_of_empty_clouds,
    takes_sparse_clouds,
    works_on_a_gpu,
)
from benchmark.contract.overfitting import learn_by_heart
from benchmark.contract.subject import Subject
from benchmark.registry import DATASETS, METHODS
from datasets.errors import CrossplaceError
from datasets.kitti import Kitti
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS

PRESETS = ("quick", "pretrained")
WITHOUT_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
ON_LARGER_FRAMES = (
    is_what_is_declared,
    is_deterministic,
    is_alone_in_a_batch,
    takes_sparse_clouds,
    takes_a_batch_of_empty_clouds,
    names_frames_without_calibration,
    survives_a_file,
    works_on_a_gpu,
)
"""What frames as they are have a part in; the rest asks the same of frames of any size."""


@pytest.fixture(scope="module")
def prepared_kitti(kitti_mini: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("kitti")
    for _ in Kitti().prepare(kitti_mini, folder, workers=1):
        pass
    return PreparedDataset.read(folder)


TRIED = [(name, preset) for name in METHODS.names() for preset in PRESETS if preset in METHODS.get(name).presets]
"""Methods with presets that a machine without a GPU trains in minutes."""


@pytest.fixture(scope="module", params=TRIED, ids=" ".join)
def tried(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="module")
def subject(tried: tuple[str, str], small_world: PreparedDataset) -> Subject:
    name, preset = tried
    return Subject.of(name, small_world, preset)


@pytest.fixture(scope="module", params=["tiny_town", pytest.param("prepared_kitti", marks=pytest.mark.data)])
def larger_frames(request: pytest.FixtureRequest) -> PreparedDataset:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module", params=METHODS.names())
def larger_subject(request: pytest.FixtureRequest, larger_frames: PreparedDataset) -> Subject:
    """A method in ``quick``: other presets differ in their backbones, which see inputs of one size."""
    return Subject.of(request.param, larger_frames, PRESETS[0])


def each(checks: Sequence[Callable[[Subject], object]]) -> pytest.MarkDecorator:
    marked = [pytest.param(c, marks=[pytest.mark.gpu, WITHOUT_GPU]) if c is works_on_a_gpu else c for c in checks]
    return pytest.mark.parametrize("check", marked, ids=lambda check: check.__name__)


@each(CHECKS)
def test_a_method_keeps_the_contract(subject: Subject, check: Callable[[Subject], object]) -> None:
    check(subject)


@each(ON_LARGER_FRAMES)
def test_a_method_keeps_it_on_larger_frames(larger_subject: Subject, check: Callable[[Subject], object]) -> None:
    check(larger_subject)


@pytest.mark.parametrize(("name", "preset"), [(n, preset) for n, preset in TRIED if METHODS.get(n).is_trainable])
def test_a_few_places_are_learnt_by_heart(name: str, preset: str, tiny_town: PreparedDataset) -> None:
    """A short version of ``crossplace check-method NAME --by-heart``, from the weights that the preset names."""
    torch.manual_seed(0)
    kind = METHODS.get(name)
    memory = learn_by_heart(
        kind(kind.presets[preset]), tiny_town, n_places=4, early_steps=30, most_steps=300, budget_s=600.0
    )
    assert memory.before < memory.recall == 1, str(memory)


# --- datasets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DATASETS.names())
def test_dataset_cards_are_complete(name: str) -> None:
    kind = DATASETS.get(name)
    assert kind.card.name == name
    assert 2000 < kind.card.year < 2100
    optional = {"notes"} if kind.card.is_real else {"notes", "layout"}
    empty = [f.name for f in fields(kind.card) if f.name not in optional and getattr(kind.card, f.name) == ""]
    assert not empty, f"{name}: {', '.join(empty)} of its card is empty"
    if kind.default_protocol:
        assert PROTOCOLS[kind.default_protocol].dataset == name


@pytest.mark.parametrize("name", DATASETS.names())
def test_a_check_without_source_says_what_to_give_unless_nothing_is_needed(name: str) -> None:
    dataset = DATASETS.get(name)()
    findings = dataset.check(None)
    assert findings
    assert all(finding.what for finding in findings)
    if all(finding.ok for finding in findings):
        assert dataset.fingerprint(None) == dataset.fingerprint(None)
    else:
        assert any("--source" in finding.what for finding in findings if not finding.ok)
        with pytest.raises(CrossplaceError):
            dataset.fingerprint(None)
