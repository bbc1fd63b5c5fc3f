import numpy as np
import pytest

from datasets.town.signs import BLUE, RED, WHITE, Sign, paint_shop_sign, paint_sign

PANEL = np.array([[0.0, 0.7, 2.1, 0.7]], np.float32)


def face(number, s, t):
    """Colours at spots from -1 to 1 on a sign."""
    s, t = np.asarray(s, np.float32), np.asarray(t, np.float32)
    panel = np.repeat(PANEL, len(s), axis=0)
    return paint_sign(np.full(len(s), number, np.uint32), (s + 1) * 0.35, (t + 1) * 0.35, panel)


@pytest.mark.parametrize("number", [0, 64, 4096])
def test_prohibitions_have_a_red_ring_on_white(number):
    colours = face(number | Sign.PROHIBITION, [0.9, 0, -0.6, 0.6], [0, -0.85, 0.3, 0.2])
    np.testing.assert_allclose(colours, [RED, RED, WHITE, WHITE])


def test_warnings_have_a_red_border_all_around():
    border = face(4 | Sign.WARNING, [0.0, 0.45, -0.45, 0.0], [-0.95, 0.0, 0.0, 0.8])
    np.testing.assert_allclose(border, [RED] * 4)


def test_orders_are_blue_with_a_white_mark():
    s, t = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.9, 0.9, 40), np.linspace(-0.9, 0.9, 40)))
    inside = np.hypot(s, t) < 0.9
    colours = {tuple(colour) for colour in face(32 | Sign.MANDATORY, s[inside], t[inside])}
    assert colours == {tuple(BLUE), tuple(WHITE)}


def test_shop_signs_differ_from_each_other():
    s, t = (axis.ravel() for axis in np.meshgrid(np.linspace(0.01, 0.69, 30), np.linspace(0.01, 0.69, 30)))
    panel, albedo = np.repeat(PANEL, len(s), axis=0), np.full((len(s), 3), 0.3, np.float32)
    numbers = np.random.default_rng(0).integers(1 << 30, size=50)
    faces = {paint_shop_sign(np.full(len(s), n, np.uint32), s, t, panel, albedo).tobytes() for n in numbers}
    assert len(faces) > 45
