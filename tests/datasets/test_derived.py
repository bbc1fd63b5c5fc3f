"""Protocols that follow from another by a rule in their name."""

from dataclasses import replace

import pytest

from benchmark.frames.preparing import check_protocol_name
from datasets.base import Selection, Split
from datasets.derived import base_and_change, on_validation, protocol_named, trained_on
from datasets.errors import CrossplaceError
from datasets.protocols import PROTOCOLS
from datasets.town.town import Town


@pytest.mark.parametrize("name", PROTOCOLS)
def test_on_validation_asks_the_validation_frames_and_trains_as_before(name: str) -> None:
    protocol = PROTOCOLS[name]
    found = protocol_named(f"{name}-on-validation")
    assert found is not None
    assert found.query == found.database == protocol.split.validation
    assert isinstance(found.pairs, str)
    same = {f: getattr(protocol, f) for f in ("name", "title", "query", "database", "pairs")}
    assert replace(found, **same) == protocol, "all other rules are those of the protocol"


def test_no_derived_name_is_one_of_the_table() -> None:
    assert all(base_and_change(name)[0] == name for name in PROTOCOLS)
    assert all(protocol_named(name) is PROTOCOLS[name] for name in PROTOCOLS)


@pytest.mark.parametrize("name", ["town", "town-any", "town-night", "town-winter", "town-revisit"])
def test_the_towns_validation_drives_and_its_test_drives_are_apart(name: str) -> None:
    found = protocol_named(f"{name}-on-validation")
    assert found is not None
    drives = [drive.name for drive in Town(preset="small").drives()]
    asked = [drive for drive in drives if found.query.includes(drive)]
    assert asked == ["validation-day", "validation-overcast", "validation-evening"]
    assert not any(PROTOCOLS[name].query.includes(drive) or found.split.train.includes(drive) for drive in asked)


@pytest.mark.parametrize("percent", [1, 25, 99])
def test_a_part_of_the_training_places_changes_training_alone(percent: int) -> None:
    for protocol in PROTOCOLS.values():
        found = protocol_named(trained_on(protocol.name, percent))
        assert found is not None
        parts = [*found.split.train.alternatives()]
        assert {part.middle_share for part in parts} == {percent / 100}
        first, *others = (replace(part, middle_share=1.0, also=()) for part in parts)
        train = protocol.split.train
        assert [first, *others] == [replace(part, also=()) for part in train.alternatives()]
        assert replace(found, name=protocol.name, title=protocol.title, split=protocol.split) == protocol
        assert replace(found.split, train=train) == protocol.split


@pytest.mark.parametrize("name", ["town-trained-on-0-percent", "town-trained-on-100-percent", "twon-on-validation"])
def test_a_name_that_follows_no_rule_is_unknown(name: str) -> None:
    assert protocol_named(name) is None
    with pytest.raises(CrossplaceError, match="unknown protocol"):
        check_protocol_name(name)
    check_protocol_name("town-trained-on-10-percent")


def test_without_validation_frames_nothing_can_be_scored() -> None:
    protocol = replace(PROTOCOLS["town"], split=Split(train=Selection(), validation=Selection(traversals=())))
    with pytest.raises(CrossplaceError, match=r"town keeps no validation frames apart.*choose another --protocol"):
        on_validation(protocol)
    assert on_validation(PROTOCOLS["town-night"]).query.traversals == ("validation-*",)
