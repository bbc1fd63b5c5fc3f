import numpy as np
import pytest
import torch
from numpy import ndarray

from methods.learning.overlap import Views, overlap_contrastive, overlaps


def views(*rows: tuple[float, float, float], width_deg: float = 90.0, reach_m: float = 50.0, world: str = "w") -> Views:
    """Views by east, north and heading in degrees."""
    east, north, heading = np.array(rows, dtype=float).T
    worlds = np.full(len(rows), world, dtype=object)
    widths = np.full(len(rows), np.radians(width_deg))
    return Views(np.column_stack([east, north]), np.radians(heading), widths, reach_m, worlds)


def random_views(n: int, seed: int, width_deg: float = 90.0) -> Views:
    rng = np.random.default_rng(seed)
    return views(*rng.uniform([-40, -40, -180], [40, 40, 180], (n, 3)).tolist(), width_deg=width_deg)


def polygon(v: Views, row: int, corners: int = 50) -> ndarray:
    """A view of less than half a turn as a convex polygon, counter-clockwise."""
    angles = v.heading_rad[row] + np.linspace(-0.5, 0.5, corners) * v.width_rad[row]
    arc = v.position_m[row] + v.reach_m * np.column_stack([np.cos(angles), np.sin(angles)])
    return np.vstack([v.position_m[row], arc])


def area(corners: ndarray) -> float:
    x, y = corners.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def clipped(subject: ndarray, clip: ndarray) -> ndarray:
    """Sutherland and Hodgman: what a convex polygon leaves of another."""
    for a, b in zip(clip, np.roll(clip, -1, axis=0), strict=True):
        if not len(subject):
            break
        edge = b - a
        side = edge[0] * (subject[:, 1] - a[1]) - edge[1] * (subject[:, 0] - a[0])
        kept = []
        for i, (p, s) in enumerate(zip(subject, side, strict=True)):
            q, t = subject[i - 1], side[i - 1]
            if (s >= 0) != (t >= 0):
                kept.append(q + (p - q) * t / (t - s))
            if s >= 0:
                kept.append(p)
        subject = np.array(kept).reshape(-1, 2)
    return subject


@pytest.mark.parametrize("width_deg", [50.0, 90.0, 150.0])
def test_overlap_is_that_of_the_sectors_as_polygons(width_deg: float) -> None:
    a, b = random_views(6, seed=0, width_deg=width_deg), random_views(5, seed=1, width_deg=90.0)
    found = overlaps(a, b)
    compared = 0
    for i in range(6):
        for j in range(5):
            one, other = polygon(a, i), polygon(b, j)
            left = clipped(one, other)
            shared = area(left) if len(left) else 0.0
            expected = shared / (area(one) + area(other) - shared)
            assert found[i, j] == pytest.approx(expected, abs=0.012)
            compared += expected > 0.05
    assert compared > 5  # else views that never meet would prove nothing


def test_overlap_of_wide_views_is_that_of_random_points() -> None:
    a, b = random_views(4, seed=2, width_deg=250.0), random_views(4, seed=3, width_deg=360.0)
    points = np.random.default_rng(4).uniform(-100, 100, (200_000, 2))

    def within(v: Views, row: int) -> ndarray:
        offset = points - v.position_m[row]
        angle = np.arctan2(offset[:, 1], offset[:, 0]) - v.heading_rad[row]
        turned = np.abs((angle + np.pi) % (2 * np.pi) - np.pi)
        return (np.hypot(*offset.T) <= v.reach_m) & (turned <= v.width_rad[row] / 2)

    for i in range(4):
        for j in range(4):
            one, other = within(a, i), within(b, j)
            assert overlaps(a, b)[i, j] == pytest.approx((one & other).sum() / (one | other).sum(), abs=0.015)


def test_overlap_by_hand() -> None:
    here = views((0, 0, 0))
    turned = overlaps(here, views((0, 0, 0), (0, 0, 45), (0, 0, 90), (0, 0, 180), (200, 0, 0)))[0]
    np.testing.assert_allclose(turned, [1, 1 / 3, 0, 0, 0], atol=0.03)
    assert overlaps(here, views((0, 0, 0), world="elsewhere"))[0, 0] == 0
    facing = views((30, 0, 180))  # each other: overlap although the cameras look opposite ways
    assert overlaps(here, facing)[0, 0] > 0.1


def test_overlap_is_symmetric_and_does_not_change_with_the_map() -> None:
    a, b = random_views(5, seed=5), random_views(4, seed=6)
    np.testing.assert_allclose(overlaps(a, b), overlaps(b, a).T)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])

    def moved(v: Views) -> Views:
        return v._replace(position_m=v.position_m @ turn.T + [500.0, -90.0], heading_rad=v.heading_rad + np.pi / 2)

    np.testing.assert_allclose(overlaps(moved(a), moved(b)), overlaps(a, b), atol=2e-3)


def test_loss_of_each_pair_is_the_equation() -> None:
    generator = torch.Generator().manual_seed(0)
    distance, psi = (torch.rand(3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    distance *= 2
    found = overlap_contrastive(distance, psi, margin=1.2)
    for i in range(3):
        for j in range(4):
            d, p = float(distance[i, j]), float(psi[i, j])
            assert float(found[i, j]) == pytest.approx(p * d**2 + (1 - p) * max(1.2 - d, 0) ** 2)


def test_overlapping_pairs_are_pulled_and_others_pushed() -> None:
    distance = torch.tensor([[0.5, 0.5, 1.5]], requires_grad=True)
    overlap_contrastive(distance, torch.tensor([[1.0, 0.0, 0.0]])).sum().backward()
    assert distance.grad is not None
    assert distance.grad.tolist() == [[1.0, -1.0, 0.0]]
