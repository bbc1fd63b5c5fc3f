"""Every registered registrar keeps the contract of registration."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from benchmark.contract.registrar_checks import (
    REGISTRAR_CHECKS,
    RegistrarSubject,
    does_not_see_the_truth,
    finds_rigid_poses,
    follows_the_axes_of_the_map,
    is_alone_in_a_batch,
    is_careful_with_its_input,
    is_deterministic,
    run_registrar_checks,
    takes_sparse_maps,
    works_on_a_gpu,
)
from benchmark.contract.subject import BrokenContractError
from benchmark.registry import REGISTRARS
from datasets.prepared import PreparedDataset
from methods.pose_bounds import Keep
from methods.registration import Registered, RegistrationBatch

WITHOUT_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
CHECKS = [pytest.param(c, marks=[pytest.mark.gpu, WITHOUT_GPU]) if c is works_on_a_gpu else c for c in REGISTRAR_CHECKS]


@pytest.fixture(scope="module", params=REGISTRARS.names())
def subject(request: pytest.FixtureRequest, small_world: PreparedDataset) -> RegistrarSubject:
    return RegistrarSubject.of(request.param, small_world)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_registrar_keeps_the_contract(subject: RegistrarSubject, check: Callable[[RegistrarSubject], object]) -> None:
    check(subject)


class Wrong(Keep):
    """A registrar with one fault."""

    def __init__(self, fault: Callable[[RegistrationBatch, Registered], Registered]) -> None:
        super().__init__()
        self.fault = fault

    def register(self, batch: RegistrationBatch) -> Registered:
        return self.fault(batch, super().register(batch))


def _looks(batch: RegistrationBatch, found: Registered) -> Registered:
    truth = batch.true_map_from_camera
    return found if truth is None else replace(found, map_from_camera=truth)


def _spoils(batch: RegistrationBatch, found: Registered) -> Registered:
    batch.points[0].zero_()
    return found


def _mirrors(_batch: RegistrationBatch, found: Registered) -> Registered:
    return replace(found, map_from_camera=found.map_from_camera * torch.tensor([-1.0, 1.0, 1.0, 1.0]))


def _mixes(_batch: RegistrationBatch, found: Registered) -> Registered:
    return replace(found, belief=found.belief + 0.1 * len(found.belief))


def _varies(_batch: RegistrationBatch, found: Registered) -> Registered:
    return replace(found, belief=torch.rand_like(found.belief))


def _moves_east(_batch: RegistrationBatch, found: Registered) -> Registered:
    moved = found.map_from_camera.clone()
    moved[:, 0, 3] += 1.0
    return replace(found, map_from_camera=moved)


def _divides(batch: RegistrationBatch, found: Registered) -> Registered:
    n_points = torch.tensor([float(len(points)) for points in batch.points])
    return replace(found, belief=0.5 * n_points / n_points)


class Jumpy(Keep):
    """Jumps at any change of the first map, and takes the axes of the last map wrongly."""

    def register(self, batch: RegistrationBatch) -> Registered:
        found = super().register(batch)
        moved = found.map_from_camera.clone()
        moved[0, 0, 3] += 100 * torch.frac(1e4 * batch.points[0].sum())
        moved[-1, 0, 3] += 1.0
        return replace(found, map_from_camera=moved)


def test_a_frame_that_jumps_hides_no_fault_of_another(small_world: PreparedDataset) -> None:
    wrong = RegistrarSubject(name="keep", registrar=Jumpy(), dataset=small_world)
    with pytest.raises(BrokenContractError, match="in other axes changes a pose by 1"):
        follows_the_axes_of_the_map(wrong)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (_looks, does_not_see_the_truth),
        (_spoils, is_careful_with_its_input),
        (_mirrors, finds_rigid_poses),
        (_mixes, is_alone_in_a_batch),
        (_varies, is_deterministic),
        (_moves_east, follows_the_axes_of_the_map),
        (_divides, takes_sparse_maps),
    ],
)
def test_a_fault_is_found(
    fault: Callable[[RegistrationBatch, Registered], Registered],
    check: Callable[[RegistrarSubject], object],
    small_world: PreparedDataset,
) -> None:
    wrong = RegistrarSubject(name="keep", registrar=Wrong(fault), dataset=small_world)
    with pytest.raises(BrokenContractError):
        check(wrong)


def test_a_registrar_that_cannot_be_made_is_one_verdict(
    small_world: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Keep, config: object) -> None:
        raise ValueError("no such layer")

    for name, member, reason in (("presets", {}, "there is no preset 'quick'"), ("__init__", fails, "ValueError: no")):
        with monkeypatch.context() as patch:
            patch.setattr(Keep, name, member)
            (verdict,) = run_registrar_checks("keep", small_world)
        assert verdict.outcome == "BROKEN"
        assert verdict.reason.startswith(reason)


def test_the_checks_say_what_came_of_each(small_world: PreparedDataset) -> None:
    found = list(run_registrar_checks("keep", small_world))
    assert len(found) == len(REGISTRAR_CHECKS)
    assert {verdict.outcome for verdict in found} <= {"ok", "skipped"}
