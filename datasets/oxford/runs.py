"""Runs by name: the published test runs, and under which light and weather a run was driven."""

import re

from datasets.files import read_text
from datasets.oxford.layout import Run
from datasets.protocols import OXFORD_RUNS

TEST_RUNS = dict.fromkeys(OXFORD_RUNS, "day") | {
    "2014-11-14-16-34-33": "night",
    "2014-12-10-18-10-50": "night",
    "2014-12-16-09-14-09": "dawn",
    "2014-12-16-18-44-24": "night",
    "2015-02-03-08-45-10": "snow",
}
"""The 23 runs that PointNetVLAD and VXP are tested on, and their conditions.

Snow is known from the data set's tags, night and dawn from publications that use the runs, and day from the time in the
name.
"""

TAGS = {
    **{tag: tag for tag in ("night", "dusk", "dawn", "snow", "rain")},
    **dict.fromkeys(("sun", "clouds", "overcast"), "day"),
}
"""Condition by tag of the data set; if a run has several of these tags, the first in this order decides."""


def condition_of(run: Run) -> str:
    """Light and weather of a run: as in ``TEST_RUNS``, or else by its ``tags.csv``, or else "unknown"."""
    if run.name in TEST_RUNS:
        return TEST_RUNS[run.name]
    tags = set(re.findall("[a-z]+", read_text(run.tags).lower())) if run.tags.is_file() else set()
    return next((condition for tag, condition in TAGS.items() if tag in tags), "unknown")
