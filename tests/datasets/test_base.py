"""What the types of the data layer say of themselves."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datasets.base import Intrinsics

SIZES = st.integers(1, 2000)


def test_a_resized_image_has_its_pixels_at_the_same_edges() -> None:
    """Edge to edge: the middle of four pixels is 2 from the edge, that of the two that they become is 1 from it."""
    k = Intrinsics(fx=8.0, fy=6.0, cx=2.0, cy=1.5, width=4, height=3)
    assert k.resized(2, 6) == Intrinsics(fx=4.0, fy=12.0, cx=1.0, cy=3.0, width=2, height=6)


@given(SIZES, SIZES)
def test_a_resize_changes_nothing_in_units_of_the_image(width: int, height: int) -> None:
    k = Intrinsics(fx=700.0, fy=710.0, cx=640.5, cy=480.2, width=1280, height=960)
    np.testing.assert_allclose(k.resized(width, height).fractions(), k.fractions())
