"""Datasets without a reader: a person who asks for one learns what works today."""

from pathlib import Path

import pytest

from datasets.announced import Announced, Oxford
from datasets.errors import CrossplaceError

ALL = pytest.mark.parametrize("dataset", [Oxford()], ids=lambda d: d.card.name)


@ALL
@pytest.mark.parametrize("source", [None, Path("/nowhere")])
def test_without_data_both_the_data_and_the_reader_are_missing(dataset: Announced, source: Path | None) -> None:
    findings = dataset.check(source)
    assert [finding.ok for finding in findings] == [False, False]
    assert "--source DIR" in findings[0].what
    assert str(source or "no --source") in findings[0].what


@ALL
def test_with_data_the_reader_is_still_missing_and_the_way_round_is_named(dataset: Announced, tmp_path: Path) -> None:
    data, reader = dataset.check(tmp_path)
    assert (data.ok, reader.ok) == (True, False)
    assert "docs/prepared-form.md" in reader.what
    assert "--dataset" in reader.what


@ALL
def test_they_cannot_be_prepared_and_say_so(dataset: Announced, tmp_path: Path) -> None:
    sentence = f"{dataset.card.name}: this version has no reader for the raw download"
    with pytest.raises(CrossplaceError, match=sentence):
        dataset.fingerprint(tmp_path)
    with pytest.raises(CrossplaceError, match=sentence):
        next(dataset.prepare(tmp_path, tmp_path))


@ALL
def test_their_cards_say_where_the_data_is_and_that_it_is_real(dataset: Announced) -> None:
    assert dataset.card.is_real
    assert dataset.card.source.startswith("https://")
    assert dataset.card.layout
