"""Tables that went through a spreadsheet: what can be read is read, and the rest is named by line and column."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.table import COLUMNS, read_frames

Change = Callable[[str], str]
TIME, EAST = "1403772868000000002", "620084.4"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        "frame_id,traversal,world,timestamp_ns,east_m,north_m,up_m,qw,qx,qy,qz,yaw_rad,image,cloud",
        "a,day,town,1403772868000000001,1.5,2.5,0,1,0,0,0,0.1,a.png,a.npy",
        f"b,day,town,{TIME},{EAST},2.5,0,1,0,0,0,0.1,b.png,b.npy",
        "c,day,town,1403772868000000003,3.5,2.5,0,1,0,0,0,0.1,c.png,",
    ]
    (tmp_path / "frames.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "frames.csv"


def columns(path: Path) -> list[list[object]]:
    frames, _ = read_frames(path)
    return [frames.frame_id.tolist(), frames.timestamp_ns.tolist(), frames.position_m.tolist(), frames.cloud.tolist()]


READABLE: dict[str, Callable[[str], bytes]] = {
    "blanks after commas": lambda text: text.replace(",", ", ").encode(),
    "blanks before commas, tabs too": lambda text: text.replace(",", " \t,").encode(),
    "blanks before quotation marks": lambda text: text.replace(",day", ', "day"').encode(),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "a byte order mark": lambda text: text.encode("utf-8-sig"),
    "empty rows below": lambda text: (text + "\n" + "," * 13 + "\n").encode(),
    "empty columns beside": lambda text: text.replace("\n", ",,\n").encode(),
}


@pytest.mark.parametrize("name", READABLE)
def test_what_spreadsheets_add_is_read(table: Path, name: str) -> None:
    before = columns(table)
    table.write_bytes(READABLE[name](table.read_text()))
    assert columns(table) == before


FAULTS: dict[str, tuple[Change, str, Change]] = {
    "semicolons": (
        lambda text: text.replace(",", ";"),
        r"line 1: fields are parted by ';', expected ','; save the table as CSV with commas",
        lambda text: text.replace(";", ","),
    ),
    "tabs": (
        lambda text: text.replace(",", "\t"),
        r"line 1: fields are parted by a tab, expected ','",
        lambda text: text.replace("\t", ","),
    ),
    "semicolons and decimal commas": (
        lambda text: text.replace(",", ";").replace(".", ","),
        r"line 1: fields are parted by ';', expected ','; .* points in numbers",
        lambda text: text.replace(",", ".").replace(";", ","),
    ),
    "decimal comma in quotation marks": (
        lambda text: text.replace(EAST, '"620084,4"'),
        r"line 3: column east_m: found '620084,4', expected a finite number with a decimal point",
        lambda text: text.replace('"620084,4"', EAST),
    ),
    "decimal comma": (
        lambda text: text.replace(EAST, "620084,4"),
        r"line 3 has 15 fields, the first line 14\); expected .* numbers with a decimal point",
        lambda text: text.replace("620084,4", EAST),
    ),
    "thousands separator": (
        lambda text: text.replace(EAST, "620 084.4"),
        r"line 3: column east_m: found '620 084\.4', expected .* without thousands separators",
        lambda text: text.replace("620 084.4", EAST),
    ),
    "thousands separator that Python takes": (
        lambda text: text.replace(EAST, "620_084.4"),
        r"line 3: column east_m: found '620_084\.4'",
        lambda text: text.replace("620_084.4", EAST),
    ),
    "rounded time": (
        lambda text: text.replace(TIME, "1.76726E+18"),
        r"line 3: column timestamp_ns: found '1\.76726E\+18', expected whole nanoseconds.*keep it as text",
        lambda text: text.replace("1.76726E+18", TIME),
    ),
    "time beyond 64 bits": (
        lambda text: text.replace(TIME, TIME * 2),
        r"line 3: column timestamp_ns: found '1403772868000000002140",
        lambda text: text.replace(TIME * 2, TIME),
    ),
    "empty cell": (
        lambda text: text.replace(EAST, ""),
        r"line 3: column east_m: found an empty cell, expected a finite number",
        lambda text: text.replace(f"{TIME},", f"{TIME},{EAST}"),
    ),
    "missing value": (
        lambda text: text.replace(EAST, "#N/A"),
        r"line 3: column east_m: found '#N/A'",
        lambda text: text.replace("#N/A", EAST),
    ),
    "missing name": (
        lambda text: text.replace("b,day,town", "b,day,"),
        r"line 3: column world: found an empty cell, expected a name",
        lambda text: text.replace("b,day,", "b,day,town"),
    ),
    "column twice": (
        lambda text: text.replace("north_m", "east_m"),
        r"line 1: column 'east_m' appears twice; remove or rename one",
        lambda text: text.replace("east_m,east_m", "east_m,north_m"),
    ),
    "no names of columns": (
        lambda text: text.split("\n", 1)[1],
        r"line 1: no name of a column; expected frame_id, .*: write them first",
        lambda text: ",".join(COLUMNS) + "\n" + text,
    ),
    "quotation marks that do not pair": (
        lambda text: text.replace("b.png", '"b.png'),
        r"line \d: not a readable table, because quotation marks do not pair",
        lambda text: text.replace('"b.png', "b.png"),
    ),
    "name of a file outside": (
        lambda text: text.replace("\nb,", "\n../../b,"),
        r"line 3: frame_id '\.\./\.\./b': '\.\.' cannot be the name of a folder.*rename the frame",
        lambda text: text.replace("../../b,", "b,"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_read_is_named_and_can_be_mended(table: Path, name: str) -> None:
    damage, words, cure = FAULTS[name]
    before = columns(table)
    table.write_text(damage(table.read_text()))
    with pytest.raises(CrossplaceError, match=words) as raised:
        columns(table)
    assert str(table) in str(raised.value)
    assert not re.search(r"could not|invalid literal|Error|np\.", str(raised.value))
    table.write_text(cure(table.read_text()))
    assert columns(table) == before


def test_lines_are_those_of_the_file_below_empty_lines(table: Path) -> None:
    header, first, *rest = table.read_text().splitlines()
    table.write_text("\n".join([header, "", "", first, *rest]).replace(EAST, "far"))
    with pytest.raises(CrossplaceError, match="line 5: column east_m: found 'far'"):
        read_frames(table)


def test_text_in_the_encoding_of_a_spreadsheet_is_named(table: Path) -> None:
    content = table.read_text().replace("town", "Köln")
    table.write_bytes(content.encode("latin-1"))
    with pytest.raises(CrossplaceError, match=r"not readable as UTF-8 text \(line 2 has the byte 0xf6\); save"):
        read_frames(table)
    table.write_text(content, encoding="utf-8")
    assert read_frames(table)[0].world[0] == "Köln"


def test_a_table_of_the_suite_with_blanks_is_the_same_dataset(small_world: PreparedDataset, tmp_path: Path) -> None:
    (tmp_path / "frames.csv").write_text((small_world.folder / "frames.csv").read_text().replace(",", " , "))
    found, _ = read_frames(tmp_path / "frames.csv")
    np.testing.assert_array_equal(found.position_m, small_world.frames.position_m)
    assert found.image.tolist() == small_world.frames.image.tolist()
