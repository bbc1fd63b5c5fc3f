"""From a name on the command line to prepared data and its protocol."""

import errno
import json
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.frames.preparing import (
    Location,
    check,
    command,
    find_protocol,
    locate,
    make_dataset,
    prepare,
    prepared_before,
)
from benchmark.registry import DATASETS
from datasets.base import Dataset, DatasetCard, Finding
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset, make_fingerprint, write_prepared
from datasets.protocols import PROTOCOLS


@dataclass(frozen=True, kw_only=True)
class Counted(Dataset):
    """A dataset whose frames are those of the small world; it counts how often it was prepared."""

    card = DatasetCard(
        name="counted",
        title="",
        paper="",
        year=2026,
        licence="",
        modalities="",
        is_real=False,
        source="the shelf",
        layout="",
    )
    version = 1
    default_protocol = ""
    spacing_m: float = 1.0
    names: tuple[str, ...] = ()

    def check(self, source: Path | None) -> Sequence[Finding]:
        if source is None or not (source / "broken").exists():
            return [Finding(ok=True, what="fine")]
        return [Finding(ok=False, what=f"{source} is broken"), Finding(ok=False, what="times.txt is missing")]

    def fingerprint(self, source: Path | None) -> str:
        if source and (source / "closed").exists():
            raise PermissionError(errno.EACCES, "Permission denied", str(source / "closed"))
        return make_fingerprint("counted", self.version, self.options(), [])

    def prepare(
        self, source: Path | None, destination: Path, *, workers: int | None = None
    ) -> Iterator[tuple[int, int]]:
        half = destination / "half.txt"
        assert list(destination.iterdir()) == ([half] if self.resumable and half.exists() else [])
        half.write_text(f"{half.read_text()}, gone on" if half.exists() else "begun")
        yield from PORTIONS
        world = WORLD["small"]
        write_prepared(
            destination,
            name="counted",
            version=1,
            options=self.options(),
            fingerprint=self.fingerprint(source),
            traversals=list(world.traversals.values()),
            frames=world.frames,
            counts=world.counts,
            root=world.root,
        )
        PREPARED.append(destination)


PORTIONS = [(20, 36), (36, 36)]
PREPARED: list[Path] = []
WORLD: dict[str, PreparedDataset] = {}


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch, small_world: PreparedDataset, tmp_path: Path) -> None:
    monkeypatch.setitem(WORLD, "small", small_world)
    monkeypatch.setitem(DATASETS.entries, "counted", "counted:Counted")
    monkeypatch.setitem(sys.modules, "counted", SimpleNamespace(Counted=Counted))
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))
    PREPARED.clear()


# --- where ---------------------------------------------------------------------------------------


def test_data_is_prepared_once_below_crossplace_data(tmp_path: Path) -> None:
    location = locate("counted", None)
    assert not location.is_prepared
    assert not location.folder.exists(), "finding out writes nothing"
    assert location.folder.parent == tmp_path / "data" / "prepared"
    for _ in range(2):
        assert len(prepare(locate("counted", None)).frames) == 36
    assert [location.folder] == PREPARED


@pytest.mark.parametrize("options", [["spacing_m=2.5"], ['names=["a"]']])
def test_other_options_or_another_source_have_a_folder_of_their_own(tmp_path: Path, options: list[str]) -> None:
    folders = {
        locate("counted", None).folder,
        locate("counted", None, options).folder,
        locate("counted", tmp_path).folder,
        locate("counted", tmp_path, options).folder,
    }
    assert len(folders) == 4


def test_a_name_stands_for_what_was_prepared_before() -> None:
    """Each sentence is followed: prepare it, then name one of its two forms."""
    missing = r"counted is not prepared; give (crossplace data prepare counted) first, or a folder in the prepared form"
    with pytest.raises(CrossplaceError, match=missing):
        prepared_before("counted")
    once = prepare(locate("counted", None))
    assert prepared_before("counted").folder == once.folder
    again = prepare(locate("counted", None, ["spacing_m=2"]))
    with pytest.raises(CrossplaceError, match="prepared in 2 forms; give the folder of one of them: ") as raised:
        prepared_before("counted")
    folders = str(raised.value).rpartition(": ")[2].split(", ")
    assert {prepared_before(folder).folder for folder in folders} == {once.folder, again.folder}
    with pytest.raises(CrossplaceError, match=r"unknown dataset 'countd'\. Did you mean counted"):
        prepared_before("countd")


def test_another_version_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = locate("counted", None).folder
    monkeypatch.setattr(Counted, "version", 2)
    assert locate("counted", None).folder != before


def test_what_an_interruption_left_is_prepared_anew(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = locate("counted", None)
    location.folder.mkdir(parents=True)
    (location.folder / "half.txt").write_text("old")
    monkeypatch.setattr(logging.getLogger("benchmark"), "propagate", True)
    with caplog.at_level(logging.INFO):
        prepare(location)
    assert f"{location.folder} was left incomplete; preparing it anew" in caplog.text
    assert (location.folder / "half.txt").read_text() == "begun"


def test_a_dataset_that_can_resume_goes_on_from_what_is_there(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counted, "resumable", True)
    location = locate("counted", None)
    location.folder.mkdir(parents=True)
    (location.folder / "half.txt").write_text("old")
    monkeypatch.setattr(logging.getLogger("benchmark"), "propagate", True)
    with caplog.at_level(logging.INFO):
        assert len(prepare(location).frames) == 36
    assert f"{location.folder} was left incomplete; going on" in caplog.text
    assert (location.folder / "half.txt").read_text() == "old, gone on"


def test_progress_counts_frames_and_not_portions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark import console

    monkeypatch.setattr(console, "QUIET_S", -1.0)
    console.configure_logging()
    prepare(locate("counted", None))
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines[:36] == [f"prepare counted: {n} of 36" for n in range(1, 37)]
    assert ": 36 frames kept, 3 traversals, " in lines[36], (
        "what became of the raw data is said by whatever prepares it"
    )
    assert lines[37].startswith("looking at "), "and the doctor comes at once"


def test_a_prepared_folder_is_used_as_it_is(small_world: PreparedDataset) -> None:
    location = locate(str(small_world.folder), None)
    assert location == Location(dataset=None, source=None, folder=small_world.folder)
    opened = prepare(location)
    assert opened.frames.frame_id.tolist() == small_world.frames.frame_id.tolist()
    assert opened.fingerprint == prepare(location).fingerprint, "the same files"


# --- what goes wrong -----------------------------------------------------------------------------


def message(*arguments: Any) -> str:
    with pytest.raises(CrossplaceError) as caught:
        locate(*arguments)
    return str(caught.value)


def test_everything_missing_is_named_at_once_with_where_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    assert message("counted", tmp_path, ["spacing_m=2"]) == (
        f"counted: the data cannot be prepared: {tmp_path} is broken; times.txt is missing. Where to get it: "
        f"the shelf. Next: crossplace data check counted --source {tmp_path} --dataset-options spacing_m=2"
    )


def test_a_source_that_is_no_folder_is_said_before_anything_is_looked_for_in_it(tmp_path: Path) -> None:
    assert f"{tmp_path}/raw: no such folder; --source is the folder of the raw download" in message(
        "counted", tmp_path / "raw"
    )
    assert [finding.ok for finding in check(make_dataset("counted"), tmp_path / "raw")] == [False]


def test_what_may_not_be_read_is_a_finding_of_the_check_and_of_prepare(tmp_path: Path) -> None:
    (tmp_path / "closed").touch()
    expected = f"{tmp_path}/closed: not readable (Permission denied); allow reading it (chmod u+r)"
    assert expected in message("counted", tmp_path)
    fine, closed = check(make_dataset("counted"), tmp_path)
    assert (fine.ok, closed.ok, closed.what) == (True, False, expected)


def test_the_next_command_can_be_typed_as_it_is() -> None:
    options = ['runs=["a", "b"]', "oxts=/a b"]
    words = shlex.split(command("prepare", "kitti", Path("my data"), options))
    assert words == ["crossplace", "data", "prepare", "kitti", "--source", "my data", "--dataset-options", *options]


def test_an_unknown_dataset_is_answered_with_near_ones_and_the_list() -> None:
    assert message("oxfrod", None).startswith(
        "unknown dataset 'oxfrod'. Did you mean oxford? Available: boreas, counted, kitti"
    )


def test_a_folder_without_prepared_data_is_no_unknown_name(tmp_path: Path) -> None:
    assert message(str(tmp_path), None).startswith(f"{tmp_path}: no dataset.json here")


@pytest.mark.parametrize(("source", "options"), [(Path("raw"), ()), (None, ("preset=tiny",))])
def test_options_for_a_prepared_folder_are_not_ignored(
    small_world: PreparedDataset, source: Path | None, options: tuple[str, ...]
) -> None:
    assert "is prepared already" in message(str(small_world.folder), source, options)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (
            "spacing=2",
            "unknown option of dataset counted 'spacing=2'. Did you mean spacing_m=…? Available: spacing_m=…, names=…",
        ),
        ("spacing_m", "unknown option of dataset counted 'spacing_m'. Did you mean spacing_m=…"),
        ("spacing_m=wide", "dataset counted: spacing_m=wide: Input should be a valid number"),
        ("names=a", 'dataset counted: names=a: Input should be a valid array (write lists as ["a", "b"])'),
        ("names=[a", "dataset counted: names=[a: Invalid JSON"),
    ],
)
def test_a_wrong_option_is_one_sentence(option: str, expected: str) -> None:
    assert message("counted", None, [option]).startswith(expected)


def test_options_are_read_as_their_types() -> None:
    assert make_dataset("counted", ["spacing_m=2.5", 'names=["a","b"]']) == Counted(spacing_m=2.5, names=("a", "b"))
    town = make_dataset("town", ["preset=tiny", "seed=3"])
    assert town.options() == {"preset": "tiny", "seed": 3, "every": 1}


# --- protocols -----------------------------------------------------------------------------------


def test_own_data_has_a_protocol_of_its_own_and_a_warning_without_paths(small_world: PreparedDataset) -> None:
    protocol, warnings = find_protocol(None, small_world)
    assert (protocol.name, protocol.smoke, protocol.pairs) == ("own-data-20m", True, "across")
    assert warnings == ["small_world has no protocol of its own: trained and tested on all of it"]


@pytest.mark.parametrize("name", ["counted"])
def test_so_has_a_registered_dataset_without_a_default_protocol(small_world: PreparedDataset, name: str) -> None:
    assert find_protocol(None, replace(small_world, name=name))[0].name == "own-data-20m"


def test_an_unknown_protocol_is_answered_with_near_ones_and_the_list(small_world: PreparedDataset) -> None:
    with pytest.raises(CrossplaceError, match=r"protocol 'towm'\. Did you mean town or town-any\? Available: .*kitti"):
        find_protocol("towm", small_world)


def test_a_protocol_of_another_dataset_is_refused(small_world: PreparedDataset) -> None:
    with pytest.raises(CrossplaceError, match=r"protocol town is for dataset 'town', but .* holds 'small_world'"):
        find_protocol("town", small_world)


def test_the_default_protocol_is_that_of_the_dataset(small_world: PreparedDataset) -> None:
    folder_of_a_town = replace(small_world, name="town")
    protocol, warnings = find_protocol(None, folder_of_a_town)
    assert protocol.name == "town"
    assert protocol.smoke, "it has none of the town's traversals"
    assert json.dumps(warnings).count("smoke run") == 1
    assert protocol != PROTOCOLS["town"]
