import numpy as np
import pytest

from datasets.town.facades import FRONT, STYLES, STYLES_COUNT, paint_facade, wall_of, window_mask

WIDTH_M, HEIGHT_M = 12.0, 9.0


def numbers(is_shop):
    """A front for each style with or without a shop."""
    return (np.flatnonzero(STYLES["shop"] == is_shop).astype(np.uint32) << 2) | FRONT


def wall(number, u, v, foot=0.0):
    u, v = np.broadcast_arrays(np.asarray(u, np.float32), np.asarray(v, np.float32))
    panel = np.tile(np.array([[0.0, WIDTH_M, foot, HEIGHT_M]], np.float32), (u.size, 1))
    return wall_of(np.full(u.size, number, np.uint32), u.ravel(), v.ravel(), panel)


def grid():
    return np.meshgrid(np.arange(0.05, WIDTH_M, 0.1), np.arange(0.05, HEIGHT_M, 0.1))


@pytest.mark.parametrize("number", numbers(is_shop=0)[::40])
def test_windows_are_in_the_middle_of_each_bay_and_storey_and_nowhere_else(number):
    style = STYLES[(number >> 2) % STYLES_COUNT]
    bays, storeys = int(WIDTH_M // style["bay_m"]), round(HEIGHT_M / style["storey_m"])
    u, v = (axis.ravel() for axis in grid())
    spots = wall(number, u, v)
    bay, storey = WIDTH_M / bays, HEIGHT_M / storeys
    in_bay, in_storey = u / bay % 1, v / storey % 1
    expected = (np.abs(in_bay - 0.5) < style["width"] / 2) & (in_storey > style["sill"]) & (in_storey < style["top"])
    is_door = (v < storey) & (np.floor(u / bay) == spots.door_column)
    surely = np.abs(np.abs(in_bay - 0.5) - style["width"] / 2) > 1e-3
    assert (window_mask(spots) == (expected & ~is_door))[surely].all()
    assert 0 <= spots.door_column[0] < bays


def test_a_wall_that_hangs_in_the_air_has_no_windows():
    assert not window_mask(wall(numbers(0)[0], *grid(), foot=3.0)).any()


def test_shops_take_the_place_of_the_windows_on_the_ground_floor():
    number = numbers(is_shop=1)[0]
    u, v = (axis.ravel() for axis in grid())
    storey = HEIGHT_M / round(HEIGHT_M / STYLES[number >> 2]["storey_m"])
    windows = window_mask(wall(number, u, v))
    assert not windows[v < storey].any()
    assert windows[v > storey].any()


def painted(number, day):
    spots = wall(number, *grid())
    return paint_facade(
        spots, np.full((len(spots.u_m), 3), 0.4, np.float32), np.full(len(spots.u_m), 5, np.float32), day
    )


def test_the_day_changes_which_windows_are_lit_and_nothing_else():
    number = numbers(0)[np.argmax(STYLES["lit"][STYLES["shop"] == 0])]
    monday, tuesday, monday_again = (painted(number, day) for day in (11, 12, 11))
    for part in (0, 2):
        assert np.array_equal(monday[part], tuesday[part])
    assert np.array_equal(monday[1], monday_again[1])
    assert not np.array_equal(monday[1], tuesday[1])


def test_only_windows_of_plain_facades_glow():
    for number in numbers(0)[::50]:
        glowing = painted(number, day=3)[1].any(1)
        assert not glowing[~window_mask(wall(number, *grid()))].any()


def test_the_share_of_lit_windows_is_that_of_the_style():
    """Over many buildings, counted at the middle of a window's left pane on the second floor."""
    lit = []
    for number in numbers(0):
        style = STYLES[number >> 2]
        storey = HEIGHT_M / round(HEIGHT_M / style["storey_m"])
        bay = WIDTH_M / int(WIDTH_M // style["bay_m"])
        spots = wall(number, bay * (0.5 - style["width"] / 4), storey * (1 + (style["sill"] + style["top"]) / 2))
        glow = paint_facade(spots, np.full((1, 3), 0.4, np.float32), np.full(1, 5, np.float32), 0)[1]
        lit.append((glow.any(), style["lit"]))
    found, expected = np.mean(lit, axis=0)
    assert found == pytest.approx(expected, abs=0.06)
