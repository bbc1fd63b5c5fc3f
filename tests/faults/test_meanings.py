"""Data that is whole and means something else, in a folder in the prepared form: found, harmless, or known as unseen.

Every change of :data:`meanings.OWN` is made, with several seeds if it draws numbers. It is *found* if the doctor or a
reader has a sentence about it. It is *the same* if every recall stays within the interval that it has without the
change. Else it must stand in ``UNSEEN``, with the reason why nothing can tell it.
"""

import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from meanings import OWN, Meant, is_same, meant, row_of

from datasets.doctor.examine import examine
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

pytestmark = pytest.mark.slow
SEEDS = 3
MOST_UNSEEN = 0.1
UNSEEN = {
    "clouds thinned": "an honest sensor with fewer beams gives fewer points; the number is a fact, and no fault",
    "images in reversed order": "neighbours stay neighbours; only motion within the image would tell",
    "images upside down": "nothing that holds for night, rain and every camera says where the sky is",
    "mount without translation": "a camera may sit where the LiDAR is; the shift is some decimetres",
    "images late by a frame": "the next frame resembles the scene as much; only motion within the image would tell",
}
"""Changes that may alter results unseen, with the reason. docs/faults.md shows them."""
DOCUMENT = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()


@pytest.fixture(scope="module")
def unchanged(tiny_town: PreparedDataset) -> Meant:
    """Two drives of one district of the tiny town, by day and in the evening: 150 frames."""
    names = ("test-day", "test-evening")
    frames = tiny_town.frames.take(np.isin(tiny_town.frames.traversal, names))
    return meant(tiny_town, frames=frames, traversals={name: tiny_town.traversals[name] for name in names})


@pytest.fixture(scope="module")
def expected(unchanged: Meant) -> dict[str, Any]:
    return row_of(unchanged)


@pytest.fixture(scope="module")
def outcomes(unchanged: Meant, expected: dict[str, Any]) -> dict[tuple[str, int], str]:
    """What becomes of every change with every seed."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numbers of another layout overflow where tests read them
        for number, (name, change) in enumerate(OWN.items()):
            several = [change(unchanged, np.random.default_rng([number, seed])) for seed in range(SEEDS)]
            for seed, changed in enumerate(several):
                if seed == 0 or not is_equal(changed, several[0]):
                    found[name, seed] = outcome(changed, expected)
    return found


def is_equal(a: Meant, b: Meant) -> bool:
    """Whether two changes are one: in the table, the descriptions, and the files of a frame."""
    columns = ("cloud", "image", "position_m", "quaternion_wxyz", "yaw_rad", "timestamp_ns")
    if not all(np.array_equal(getattr(a.frames, name), getattr(b.frames, name)) for name in columns):
        return False
    if repr(a.traversals) != repr(b.traversals):
        return False
    frame = a.frame(3)
    return np.array_equal(a.load_cloud(frame), b.load_cloud(frame)) and np.array_equal(
        a.load_image(frame), b.load_image(frame)
    )


def outcome(changed: Meant, expected: dict[str, Any]) -> str:
    try:
        examination = examine(changed)
        if examination.unreadable or examination.verdicts():
            return "found"
        return "same" if is_same(row_of(changed), expected) else "unseen"
    except CrossplaceError:
        return "found"


def test_the_unchanged_data_has_no_doubt_and_the_same_result(unchanged: Meant, expected: dict[str, Any]) -> None:
    examination = examine(unchanged)
    assert [*examination.faults(), *examination.doubts().values()] == []
    assert is_same(row_of(replace(unchanged)), expected)
    assert expected["cloud->cloud"].pooled.values["R@1"] > 0.5, "results that mean something can be lost"
    assert all(record.intervals["R@1"] is not None for record in expected.values()), (
        "and every direction has an interval"
    )


def test_every_change_of_meaning_is_found_or_harmless_or_known(outcomes: dict[tuple[str, int], str]) -> None:
    counts = Counter(outcomes.values())
    print(dict(counts))  # noqa: T201 - pytest shows it with -rP
    unknown = {name for (name, _), found in outcomes.items() if found == "unseen"} - set(UNSEEN)
    assert unknown == set()
    assert counts["unseen"] <= MOST_UNSEEN * len(outcomes)
    line = f"| own folder | {counts['found']} | {counts['same']} | {counts['unseen']} |"
    assert line in DOCUMENT, line


def test_no_reason_is_given_for_what_is_found(outcomes: dict[tuple[str, int], str]) -> None:
    seen = {name for name in UNSEEN if all(found == "found" for (n, _), found in outcomes.items() if n == name)}
    assert seen == set()


@pytest.mark.parametrize("name", UNSEEN)
def test_what_nothing_can_tell_is_documented(name: str) -> None:
    assert f"| {name} | {UNSEEN[name]} |" in DOCUMENT


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("clouds in millimetres", "reach"),
        ("clouds in kilometres", "reach"),
        ("clouds float64 read as float32", "outside-view"),
        ("clouds of five columns", "outside-view"),
        ("clouds column by column", "outside-view"),
        ("clouds z down", "ground"),
        ("clouds mirrored", "clouds-and-poses"),
        ("clouds x right, y ahead", "clouds-and-poses"),
        ("clouds of other frames", "overlap"),
        ("clouds frozen", "frozen-clouds"),
        ("images of other frames", "image-order"),
        ("images of one grey", "blank-images"),
        ("positions in kilometres", "same-place"),
        ("positions with north and up exchanged", "climb"),
        ("yaw in degrees", "yaw-and-quaternion"),
        ("headings clockwise from north, quaternions too", "heading-and-track"),
        ("times in microseconds", "speed"),
        ("mount inverted", "camera-upright"),
        ("mount in millimetres", "camera-away"),
        ("lens normalised", "focal-length"),
        ("lens of an image of half the size", "principal-point"),
        ("field of view in radians", "field-of-view"),
        ("range in kilometres", "max-range"),
    ],
)
def test_the_rule_that_is_meant_for_a_change_finds_it(unchanged: Meant, name: str, rule: str) -> None:
    examination = examine(OWN[name](unchanged, np.random.default_rng(0)))
    assert rule in {verdict.rule for verdict in examination.verdicts()}
