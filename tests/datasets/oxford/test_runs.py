"""The published test runs and the conditions of runs."""

from pathlib import Path

import pytest

from datasets.oxford.layout import Run
from datasets.oxford.runs import TEST_RUNS, condition_of


def run(name: str, folder: Path) -> Run:
    return Run(name=name, images=folder, sweeps=folder, gps=folder, tags=folder / "tags.csv")


def test_there_are_23_and_three_of_them_by_night() -> None:
    assert len(TEST_RUNS) == 23
    assert sum(condition == "night" for condition in TEST_RUNS.values()) == 3


@pytest.mark.data
def test_they_are_the_runs_of_the_published_evaluation_set(robotcar: Path) -> None:
    published = {path.stem for path in (robotcar.parent / "oxford-pointnetvlad-eval").glob("20*.csv")}
    assert set(TEST_RUNS) == published


def test_a_built_in_condition_wins_over_tags(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("sun\n")
    assert condition_of(run("2015-02-03-08-45-10", tmp_path)) == "snow"


@pytest.mark.parametrize(
    ("tags", "condition"),
    [("sun,clouds\n", "day"), ("roadworks\novercast\n", "day"), ("Night, rain", "night"), ("rain,overcast", "rain")],
)
def test_other_runs_have_the_one_of_their_tags_that_matters_most(tmp_path: Path, tags: str, condition: str) -> None:
    (tmp_path / "tags.csv").write_text(tags)
    assert condition_of(run("2014-05-06-12-54-54", tmp_path)) == condition


def test_without_tags_the_condition_is_unknown(tmp_path: Path) -> None:
    assert condition_of(run("2014-05-06-12-54-54", tmp_path)) == "unknown"
    (tmp_path / "tags.csv").write_text("alternate-route\n")
    assert condition_of(run("2014-05-06-12-54-54", tmp_path)) == "unknown"
