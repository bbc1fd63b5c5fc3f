"""Runs by name: the published test runs, and under which light and weather a run was driven."""

import re

from datasets.files import read_text
from datasets.oxford.layout import Run

TEST_RUNS = {
    "2014-11-14-16-34-33": "night",
    "2014-11-18-13-20-12": "day",
    "2014-12-02-15-30-08": "day",
    "2014-12-09-13-21-02": "day",
    "2014-12-10-18-10-50": "night",
    "2014-12-12-10-45-15": "day",
    "2014-12-16-09-14-09": "dawn",
    "2014-12-16-18-44-24": "night",
    "2015-02-03-08-45-10": "snow",
    "2015-02-10-11-58-05": "day",
    "2015-02-13-09-16-26": "day",
    "2015-02-17-14-42-12": "day",
    "2015-03-10-14-18-10": "day",
    "2015-03-17-11-08-44": "day",
    "2015-05-19-14-06-38": "day",
    "2015-06-09-15-06-29": "day",
    "2015-08-12-15-04-18": "day",
    "2015-08-13-16-02-58": "day",
    "2015-08-14-14-54-57": "day",
    "2015-08-28-09-50-22": "day",
    "2015-10-30-13-52-14": "day",
    "2015-11-12-11-22-05": "day",
    "2015-11-13-10-28-08": "day",
}
"""The 23 runs that PointNetVLAD and VXP are tested on, and their condition: snow by the data set's tags, night and dawn
by publications that use the runs, day by the time in the name."""

TAGS = {
    **{tag: tag for tag in ("night", "dusk", "dawn", "snow", "rain")},
    **dict.fromkeys(("sun", "clouds", "overcast"), "day"),
}
"""Tags that say a condition, the one that matters most first."""


def condition_of(run: Run) -> str:
    """Light and weather of a run: as built in, or by its ``tags.csv``, or "unknown"."""
    if run.name in TEST_RUNS:
        return TEST_RUNS[run.name]
    tags = set(re.findall("[a-z]+", read_text(run.tags).lower())) if run.tags.is_file() else set()
    return next((condition for tag, condition in TAGS.items() if tag in tags), "unknown")
