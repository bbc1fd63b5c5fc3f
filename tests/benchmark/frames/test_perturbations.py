"""Each perturbation by hand, and what all of them promise."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import norm
from torch import Tensor

from benchmark.frames.loading import batch_loader
from benchmark.frames.perturbations import PERTURBATIONS, Perturber
from benchmark.request import PerturbationOptions
from benchmark.runs.run import perturbation_record
from datasets.base import Lidar
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.transforms import check_rigid
from methods.batch import Sample, load_sample

NAMES = list(PERTURBATIONS)
OF_CLOUDS = [name for name, kind in PERTURBATIONS.items() if kind.modality == "cloud"]
OF_IMAGES = [name for name, kind in PERTURBATIONS.items() if kind.modality == "image"]
CALIBRATION = [name for name in NAMES if name.startswith("calibration")]
SEVERITIES = (1, 2, 3, 4, 5)
NO_POINTS = torch.zeros(0, 3)


def perturb(name: str, sample: Sample, severity: int = 3, seed: int = 0) -> Sample:
    return Perturber(name=name, severity=severity, seed=seed)(sample)


@pytest.fixture
def sample(small_world: PreparedDataset) -> Sample:
    return load(small_world, 0)


def load(dataset: PreparedDataset, row: int) -> Sample:
    """The frame at ``row`` with its image five times as large: what blurs by less than a pixel blurs nothing."""
    sample = load_sample(dataset, dataset.frame(row), ("image", "cloud"))
    assert sample.image is not None
    return replace(sample, image=sample.image.repeat_interleave(5, 1).repeat_interleave(5, 2))


def named(sample: Sample, frame_id: str) -> Sample:
    return replace(sample, frame=replace(sample.frame, frame_id=frame_id))


def points_of(sample: Sample) -> np.ndarray:
    assert sample.points is not None
    assert sample.points.dtype == torch.float32
    return sample.points.numpy().astype(np.float64)


def image_of(sample: Sample) -> np.ndarray:
    assert sample.image is not None
    assert sample.image.dtype == torch.uint8
    return sample.image.numpy().astype(np.float64)


def is_same(a: Sample, b: Sample) -> bool:
    def same(x: Tensor | None, y: Tensor | None) -> bool:
        return x is y or (x is not None and y is not None and torch.equal(x, y))

    fields = ("image", "points", "intrinsics", "camera_from_lidar")
    return a.frame is b.frame and all(same(getattr(a, f), getattr(b, f)) for f in fields)


# --- clouds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_yaw_offset_turns_every_point_by_exactly_the_angle(sample: Sample, severity: int) -> None:
    before, after = points_of(sample), points_of(perturb("yaw-offset", sample, severity))
    turned_deg = np.rad2deg(np.arctan2(after[:, 1], after[:, 0]) - np.arctan2(before[:, 1], before[:, 0]))
    turned_deg = (turned_deg + 180) % 360 - 180
    expected = PERTURBATIONS["yaw-offset"].values[severity - 1]
    np.testing.assert_allclose(np.abs(turned_deg), expected, atol=1e-4)
    assert len(set(np.sign(turned_deg))) == 1
    np.testing.assert_allclose(np.hypot(*after[:, :2].T), np.hypot(*before[:, :2].T), rtol=1e-6)
    np.testing.assert_array_equal(after[:, 2], before[:, 2])


def test_a_quarter_turn_by_hand_goes_to_both_sides(sample: Sample) -> None:
    ahead = replace(sample, points=torch.tensor([[10.0, 0.0, 1.5]]))
    found = {tuple(points_of(perturb("yaw-offset", named(ahead, str(i)), 5)).round(5)[0] + 0.0) for i in range(20)}
    assert found == {(0.0, 10.0, 1.5), (0.0, -10.0, 1.5)}


def scan(sample: Sample, beams: int, fov_deg: tuple[float, float]) -> tuple[Sample, np.ndarray]:
    """A scan with points of random range on every beam, in random order, and the beam of each point."""
    random = np.random.default_rng(1)
    beam = random.permutation(np.repeat(np.arange(beams), 20))
    elevation = np.deg2rad(np.linspace(*fov_deg, beams) if beams > 1 else np.full(1, fov_deg[0]))[beam]
    azimuth, range_m = random.uniform(-np.pi, np.pi, len(beam)), random.uniform(2, 80, len(beam))
    rays = np.stack([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)], 1)
    lidar = Lidar(beams=beams, vertical_fov_deg=fov_deg, max_range_m=80.0, form="scan")
    points = torch.from_numpy(rays * range_m[:, None]).float()
    return replace(sample, frame=replace(sample.frame, lidar=lidar), points=points), beam


@pytest.mark.parametrize(
    ("beams", "fov_deg", "severity", "kept"),
    [
        (16, (-15.0, 15.0), 1, {0, 2, 4, 6, 8, 10, 12, 14}),
        (16, (-15.0, 15.0), 5, {0, 8}),
        (32, (-22.5, 22.5), 3, {0, 4, 8, 12, 16, 20, 24, 28}),
        (64, (-24.9, 2.0), 4, {2, 8, 14, 20, 26, 32, 38, 44, 50, 56, 62}),
        (5, (-10.0, 30.0), 2, {2}),
        (1, (0.0, 0.0), 5, {0}),
    ],
)
def test_exactly_every_kth_beam_of_a_scan_is_kept(
    sample: Sample, beams: int, fov_deg: tuple[float, float], severity: int, kept: set[int]
) -> None:
    whole, beam = scan(sample, beams, fov_deg)
    found = points_of(perturb("fewer-beams", whole, severity))
    expected = points_of(whole)[[b in kept for b in beam]]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("lidar", "words"),
    [
        (None, "dataset.json does not describe the sensor"),
        (
            Lidar(beams=16, vertical_fov_deg=(-15.0, 15.0), max_range_m=40.0, form="submap"),
            "dataset.json holds submaps of several sweeps",
        ),
    ],
    ids=["unknown", "submap"],
)
def test_beams_are_those_of_single_scans(sample: Sample, lidar: Lidar | None, words: str) -> None:
    other = replace(sample, frame=replace(sample.frame, lidar=lidar))
    with pytest.raises(CrossplaceError, match=rf"frame morning-0 .*single scans of a known LiDAR.*{words}"):
        perturb("fewer-beams", other)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_range_noise_lies_along_the_ray_and_has_the_stated_deviation(sample: Sample, severity: int) -> None:
    random = np.random.default_rng(2)
    rays = random.normal(size=(20_000, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    range_m = random.uniform(10, 40, (len(rays), 1))
    noisy = points_of(
        perturb("range-noise", replace(sample, points=torch.from_numpy(rays * range_m).float()), severity)
    )
    along = (noisy * rays).sum(1)
    np.testing.assert_allclose(noisy, along[:, None] * rays, atol=1e-4)
    error, sigma = along - range_m[:, 0], PERTURBATIONS["range-noise"].values[severity - 1]
    assert error.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * len(error)))
    assert abs(error.mean()) < 5 * sigma / np.sqrt(len(error))


def test_range_noise_never_throws_a_point_behind_the_sensor(sample: Sample) -> None:
    near = replace(sample, points=torch.tensor([[0.01, 0.0, 0.0], [0.0, 0.0, 0.0]] * 200))
    noisy = points_of(perturb("range-noise", near, 5))
    assert (noisy[::2, 0] >= 0).all()
    assert (noisy[::2, 0] == 0).any(), "half of them would have been"
    assert (noisy[1::2] == 0).all(), "no ray, no direction"


@pytest.mark.parametrize(("severity", "left"), [(1, 900), (2, 750), (3, 500), (4, 250), (5, 100)])
def test_dropout_removes_exactly_its_share_and_keeps_the_order(sample: Sample, severity: int, left: int) -> None:
    numbered = torch.arange(3000.0).view(1000, 3)
    found = points_of(perturb("point-dropout", replace(sample, points=numbered), severity))[:, 0]
    assert len(found) == left
    assert (np.diff(found) > 0).all()
    assert set(found) <= set(range(0, 3000, 3))
    quarters = np.histogram(found, bins=4, range=(0, 3000))[0]
    assert (quarters > left / 8).all(), "from anywhere"


RING = np.deg2rad(np.arange(0, 360, 0.5) + 0.25)


def removed_deg(sample: Sample, severity: int) -> np.ndarray:
    """Azimuths that an occlusion takes from a ring of points every half degree, degrees in [-180, 180)."""
    ring = torch.from_numpy(np.stack([20 * np.cos(RING), 20 * np.sin(RING), 0 * RING], 1)).float()
    kept = points_of(perturb("occluded-sector", replace(sample, points=ring), severity))
    left = {round(float(a), 2) for a in np.rad2deg(np.arctan2(kept[:, 1], kept[:, 0]))}
    azimuths = (np.rad2deg(RING) + 180) % 360 - 180
    return np.array([a for a in azimuths if round(float(a), 2) not in left])


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("looks_deg", [0.0, 130.0, 180.0])
def test_a_sector_of_the_stated_width_within_the_view_is_empty(sample: Sample, severity: int, looks_deg: float) -> None:
    """The camera sees 45° to both sides of where it looks."""
    assert sample.camera_from_lidar is not None
    turn = torch.eye(4)
    turn[:3, :3] = torch.from_numpy(Rotation.from_euler("z", -looks_deg, degrees=True).as_matrix())
    width = PERTURBATIONS["occluded-sector"].values[severity - 1]
    middles = []
    for i in range(30):
        other = named(replace(sample, camera_from_lidar=sample.camera_from_lidar @ turn), f"frame {i}")
        seen_from_camera = (removed_deg(other, severity) - looks_deg + 180) % 360 - 180
        assert abs(len(seen_from_camera) - 2 * width) <= 1
        assert np.ptp(seen_from_camera) <= width, "one piece"
        middles.append(seen_from_camera.mean())
    assert min(middles) >= -45.5
    assert max(middles) <= 45.5
    assert np.ptp(middles) > 45, "anywhere in the view"


def test_without_a_camera_the_sector_is_anywhere(sample: Sample) -> None:
    blind = replace(sample, intrinsics=None)
    middles = [removed_deg(named(blind, str(i)), 1) for i in range(40)]
    assert sum(bool((np.abs(m) > 90).all()) for m in middles) > 5
    assert all(abs(len(m) - 20) <= 1 for m in middles)


# --- calibration ---------------------------------------------------------------------------------


def error_of(before: Sample, after: Sample) -> np.ndarray:
    """The believed camera from the true camera."""
    assert before.camera_from_lidar is not None
    assert after.camera_from_lidar is not None
    check_rigid(after.camera_from_lidar.numpy(), "a test")
    return after.camera_from_lidar.double().numpy() @ np.linalg.inv(before.camera_from_lidar.double().numpy())


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_translation_error_has_exactly_its_size(sample: Sample, severity: int) -> None:
    error = error_of(sample, perturb("calibration-translation", sample, severity))
    assert np.linalg.norm(error[:3, 3]) == pytest.approx((0.05, 0.1, 0.2, 0.5, 1.0)[severity - 1], rel=1e-5)
    np.testing.assert_allclose(error[:3, :3], np.eye(3), atol=1e-6)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_rotation_error_has_exactly_its_size_about_the_camera(sample: Sample, severity: int) -> None:
    after = perturb("calibration-rotation", sample, severity)
    error = error_of(sample, after)
    angle_deg = np.rad2deg(Rotation.from_matrix(error[:3, :3]).magnitude())
    assert angle_deg == pytest.approx((0.5, 1.0, 2.0, 5.0, 10.0)[severity - 1], rel=1e-4)
    np.testing.assert_allclose(error[:3, 3], 0, atol=1e-6)


@pytest.mark.parametrize("name", CALIBRATION)
def test_a_vehicle_keeps_its_calibration_error(small_world: PreparedDataset, name: str) -> None:
    errors: dict[str, list[np.ndarray]] = {}
    for row in (0, 5, 11, 12, 20, 24, 35):
        before = load_sample(small_world, small_world.frame(row), ("cloud",))
        after = perturb(name, before)
        assert after.points is before.points
        errors.setdefault(before.frame.traversal, []).append(error_of(before, after))
    for same in errors.values():
        assert all((error == same[0]).all() for error in same)
    one, other, third = (found[0] for found in errors.values())
    assert not np.allclose(one, other)
    assert not np.allclose(other, third)


def test_the_record_names_the_errors_that_were_drawn(sample: Sample) -> None:
    shifted = error_of(sample, perturb("calibration-translation", sample, 5))[:3, 3]
    turned = error_of(sample, perturb("calibration-rotation", sample, 5))[:3, :3]
    both = ["morning", "evening"]
    drawn = {name: Perturber(name=name, severity=5, seed=0).drawn(both) for name in CALIBRATION}
    assert all(list(found) == ["morning", "evening"] for found in drawn.values())
    np.testing.assert_allclose(drawn["calibration-translation"]["morning"], shifted, atol=1e-6)
    axis = Rotation.from_matrix(turned).as_rotvec(degrees=True) / 10
    np.testing.assert_allclose(drawn["calibration-rotation"]["morning"], axis, atol=1e-5)
    assert Perturber(name="range-noise", severity=5, seed=0).drawn(["morning"]) == {}


@pytest.mark.parametrize("name", CALIBRATION)
def test_without_calibration_there_is_none_to_be_wrong(sample: Sample, name: str) -> None:
    with pytest.raises(CrossplaceError, match=r"frame morning-0 of traversal 'morning': .*needs camera_from_lidar"):
        perturb(name, replace(sample, camera_from_lidar=None))


# --- images --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [100, 400])
def test_an_edge_is_blurred_by_a_gaussian_relative_to_the_width(sample: Sample, width: int) -> None:
    edge = torch.zeros(3, 20, width, dtype=torch.uint8)
    edge[:, :, width // 2 :] = 200
    found = image_of(perturb("image-blur", replace(sample, image=edge), 5))
    profile = 200 * norm.cdf((np.arange(width) + 0.5 - width / 2) / (0.03 * width))
    np.testing.assert_allclose(found, np.broadcast_to(profile, found.shape), atol=1.5)


def test_blur_is_the_same_in_both_axes_and_keeps_channels_apart(sample: Sample) -> None:
    dot = torch.zeros(3, 41, 41, dtype=torch.uint8)
    dot[0, 18:23, 18:23] = 255
    found = image_of(perturb("image-blur", replace(sample, image=dot), 5))
    assert 0 < found[0, 20, 20] < 255
    np.testing.assert_array_equal(found[0], found[0].T)
    np.testing.assert_array_equal(found[0], found[0][:, ::-1])
    assert (found[1:] == 0).all()


GREYS = torch.arange(256, dtype=torch.uint8).expand(3, 2, 256)


def test_exposure_by_hand(sample: Sample) -> None:
    """White after n stops is the sRGB value of 2^-n: 1.055 · 2^(-n / 2.4) - 0.055."""
    found = [image_of(perturb("image-darkness", replace(sample, image=GREYS), severity)) for severity in SEVERITIES]
    assert [int(image.max()) for image in found] == [188, 137, 71, 34, 13]
    assert all(image.min() == 0 for image in found)
    # grey 128 is linear 0.2159; one stop less is 0.1079, which is stored as 92
    assert (found[0][:, :, 128] == 92).all()


def test_darkness_loses_grey_levels_for_good(sample: Sample) -> None:
    found = [
        image_of(perturb("image-darkness", replace(sample, image=GREYS), severity))[0, 0] for severity in (1, 3, 5)
    ]
    assert all((np.diff(levels) >= 0).all() for levels in found)
    assert [len(set(levels)) for levels in found] == [189, 72, 14], "every level up to the brightest, and no more"


@pytest.mark.parametrize("severity", [1, 2, 3])
@pytest.mark.parametrize("grey", [100, 150])
def test_noise_is_half_read_and_half_shot(sample: Sample, severity: int, grey: int) -> None:
    flat = torch.full((3, 100, 150), grey, dtype=torch.uint8)
    error = image_of(perturb("image-noise", replace(sample, image=flat), severity)) - grey
    sigma = PERTURBATIONS["image-noise"].values[severity - 1]
    expected = np.sqrt(sigma**2 * (0.5 + 0.5 * grey / 255) + 1 / 12)  # a rounded value is uniform within its level
    assert error.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * error.size))
    assert abs(error.mean()) < 5 * expected / np.sqrt(error.size)
    assert abs(np.corrcoef(error[0].ravel(), error[1].ravel())[0, 1]) < 0.05


# --- what all of them promise --------------------------------------------------------------------


def strength(before: Sample, after: Sample) -> float:
    """How far a sample was changed: share of points removed, or mean absolute change."""
    points, image = points_of(after), image_of(after)
    if len(points) < len(points_of(before)):
        return 1 - len(points) / len(points_of(before))
    calibration = np.abs(error_of(before, after) - np.eye(4)).mean()
    return float(np.abs(points - points_of(before)).mean() + np.abs(image - image_of(before)).mean() + calibration)


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_severity_changes_more_and_in_the_same_way(small_world: PreparedDataset, name: str) -> None:
    values = PERTURBATIONS[name].values
    assert (np.diff([0.0, *values]) > 0).all()
    for row in (0, 13, 30):
        before = load(small_world, row)
        after = [perturb(name, before, severity) for severity in SEVERITIES]
        strengths = [strength(before, sample) for sample in after]
        assert strengths[0] > 0
        if name == "fewer-beams":
            assert strengths[-1] > strengths[0], "every third is no part of every second"
        else:
            assert (np.diff(strengths) > 0).all(), strengths
        if name in ("point-dropout", "occluded-sector"):
            kept = [set(map(tuple, points_of(sample))) for sample in after]
            assert all(worse < milder for milder, worse in pairwise(kept))


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_value_of_all_changes_nothing(sample: Sample, name: str) -> None:
    nothing = 1.0 if name == "fewer-beams" else 0.0
    same = PERTURBATIONS[name].change(sample, nothing, np.random.default_rng(0))
    assert is_same(sample, same)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_named_modality_changes_and_the_input_never(sample: Sample, name: str) -> None:
    fields = ("image", "points", "intrinsics", "camera_from_lidar")
    copy = replace(sample, **{f: getattr(sample, f).clone() for f in fields})
    after = perturb(name, sample)
    assert is_same(sample, copy)
    changed = {f for f in fields if not torch.equal(getattr(after, f), getattr(copy, f))}
    assert changed == {"camera_from_lidar" if name in CALIBRATION else "image" if name in OF_IMAGES else "points"}


@pytest.mark.parametrize("name", OF_CLOUDS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_clouds_of_no_or_one_point(sample: Sample, name: str, severity: int) -> None:
    assert points_of(perturb(name, replace(sample, points=NO_POINTS), severity)).shape == (0, 3)
    one = points_of(perturb(name, replace(sample, points=torch.tensor([[10.0, 1.0, 0.0]])), severity))
    assert len(one) <= 1
    assert np.isfinite(one).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_without_the_modality_stays_as_it_is(sample: Sample, name: str) -> None:
    missing = "image" if name in OF_IMAGES else "points"
    bare: dict[str, Any] = {missing: None}
    other = replace(sample, **bare)
    assert perturb(name, other) is other


@pytest.mark.parametrize("name", OF_IMAGES)
def test_images_of_one_pixel(sample: Sample, name: str) -> None:
    assert image_of(perturb(name, replace(sample, image=torch.full((3, 1, 1), 90, dtype=torch.uint8)), 5)).shape == (
        3,
        1,
        1,
    )


def alone(dataset: PreparedDataset, perturber: Perturber, row: int) -> Sample:
    return perturber(load_sample(dataset, dataset.frame(row), ("image", "cloud")))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(NAMES),
    severity=st.sampled_from(SEVERITIES),
    seed=st.integers(0, 2**32),
    batches=st.lists(st.lists(st.integers(0, 35), min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_a_frame_is_perturbed_alike_in_any_batch_and_order(
    small_world: PreparedDataset, name: str, severity: int, seed: int, batches: Sequence[Sequence[int]]
) -> None:
    perturber = Perturber(name=name, severity=severity, seed=seed)
    loader = batch_loader(small_world, batches, ("image", "cloud"), augment=lambda sample, _: perturber(sample))
    for rows, batch in zip(batches, loader, strict=True):
        clouds = batch.require_clouds()
        _, matrices = batch.calibration()
        for i, row in enumerate(rows):
            expected = alone(small_world, perturber, row)
            assert torch.equal(clouds.points[clouds.batch_index == i], expected.points)
            assert torch.equal(batch.require_images()[i], expected.image)
            assert torch.equal(matrices[i], expected.camera_from_lidar)


@pytest.mark.parametrize("name", [*CALIBRATION, "range-noise", "point-dropout", "occluded-sector", "image-noise"])
def test_random_perturbations_depend_on_seed_and_frame_and_nothing_else(sample: Sample, name: str) -> None:
    torch.manual_seed(1)
    first = perturb(name, sample)
    torch.manual_seed(2)
    np.random.seed(3)  # noqa: NPY002 (what must not matter)
    assert is_same(perturb(name, sample), first)
    assert not is_same(perturb(name, sample, seed=1), first)
    other = replace(sample, frame=replace(sample.frame, frame_id="other", traversal="other"))
    assert not is_same(replace(perturb(name, other), frame=sample.frame), first)


def test_noise_of_two_perturbations_is_not_the_same_noise() -> None:
    one, other = (Perturber(name=name, severity=1, seed=0).drawn(["a"])["a"] for name in CALIBRATION)
    assert not np.allclose(one, other)


# --- asking for one ------------------------------------------------------------------------------


def test_a_request_names_perturbation_and_severity() -> None:
    found = Perturber.of(PerturbationOptions(perturb="range-noise", severity=2), seed=7)
    assert found == Perturber(name="range-noise", severity=2, seed=7)
    assert found.value == 0.05
    assert found.identity == {"name": "range-noise", "version": 1, "value": 0.05, "seed": 7}
    default = Perturber.of(PerturbationOptions(perturb="range-noise"), seed=0)
    assert default is not None
    assert default.severity == 3


@pytest.mark.parametrize(
    "options", [PerturbationOptions(), PerturbationOptions(perturb="range-noise", severity=0)], ids=["none", "zero"]
)
def test_nothing_asked_for_is_nothing_done(options: PerturbationOptions) -> None:
    assert Perturber.of(options, seed=0) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"perturb": "yaw"}, r"unknown perturbation 'yaw'\. Did you mean yaw-offset\? Available: yaw-offset, fewer-"),
        ({"severity": 5}, r"--severity 5 says how much, not what: name a perturbation with --perturb"),
    ],
)
def test_mistakes_are_sentences(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CrossplaceError, match=message):
        Perturber.of(PerturbationOptions(**changes), seed=0)


def test_the_record_says_what_was_done_and_to_which_side() -> None:
    record = perturbation_record(Perturber(name="image-blur", severity=4, seed=0), ["morning"])
    assert record.model_dump() == {
        "name": "image-blur",
        "version": 1,
        "severity": 4,
        "value": 0.02,
        "unit": "of the width",
        "modality": "image",
        "sides": {"image->cloud": "query", "cloud->image": "database", "image->image": "query"},
        "drawn": {},
    }


def test_the_document_shows_the_table() -> None:
    text = (Path(__file__).parents[3] / "docs" / "robustness.md").read_text()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    assert lines == [
        [f"`{name}`", kind.modality, kind.unit, *(f"{value:g}" for value in kind.values)]
        for name, kind in PERTURBATIONS.items()
    ]
