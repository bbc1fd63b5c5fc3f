"""What ``compare`` says: settings, differences, and where they lie."""

from pathlib import Path

import pytest

from benchmark.cli.records import Compare
from benchmark.records.comparison import differences
from benchmark.report.compare import compared
from benchmark.report.table import NONE, Table
from datasets.errors import CrossplaceError


def runs(synthetic: Path, place: int, dataset: str = "first") -> list[Path]:
    """The seeds of a method of the synthetic collection."""
    return sorted(synthetic.glob(f"m{place}-s*-{dataset}"))


def words(table: Table) -> dict[str, list[str]]:
    return {row[0].words: [cell.words for cell in row[1:]] for row in table.rows}


def test_seeds_are_averaged_and_the_last_configuration_is_the_reference(synthetic: Path) -> None:
    steady, weak = runs(synthetic, 0), runs(synthetic, 3)
    settings, difference, *parts = compared([*steady, *weak])
    assert difference.title == "steady − weak"
    expected = differences(steady, weak)
    for row, (direction, found) in zip(difference.rows, expected.items(), strict=True):
        assert row[0].words == direction.replace("->", "→")
        assert row[1].value == pytest.approx(100 * found.value)
        assert (row[2].value, row[3].words) == (found.p_value, found.unit)
    assert list(compared(steady, against=weak)) == [settings, difference, *parts]
    reverse = list(compared([*weak, *steady]))[1]
    assert reverse.rows[0][1].value == pytest.approx(-difference.rows[0][1].value)


def test_settings_that_differ_are_named_and_no_others(synthetic: Path) -> None:
    settings = words(next(iter(compared([*runs(synthetic, 0), *runs(synthetic, 3)]))))
    assert settings["method.name"] == ["steady", "weak"]
    assert settings["method.backbone_weights"] == ["timm", "none"]
    assert settings["environment.device"] == ["Test CPU", "Other GPU"]
    assert settings["harness.dirty"] == ["False", "True"]
    assert "seed" not in settings
    assert not any(name.startswith(("protocol", "dataset")) for name in settings)
    one_seed = words(next(iter(compared([runs(synthetic, 0)[0], runs(synthetic, 1)[2]]))))
    assert one_seed["seed"] == ["0", "2"]


def test_what_only_one_method_has_is_counted_and_not_listed(synthetic: Path, tmp_path: Path) -> None:
    folders = []
    for name, config in (("a", {"size": 1, "only": 2}), ("b", {"size": 3})):
        folder = tmp_path / name
        folder.mkdir()
        place = 0 if name == "a" else 1
        (folder / "ranks.npz").write_bytes((runs(synthetic, place)[0] / "ranks.npz").read_bytes())
        content = (runs(synthetic, place)[0] / "result.json").read_text()
        (folder / "result.json").write_text(content.replace('"config":{}', f'"config":{config}'.replace("'", '"')))
        folders.append(folder)
    table = next(iter(compared(folders)))
    assert words(table)["config.size"] == ["1", "3"]
    assert "1 settings that only some of the methods have are left out." in table.notes
    assert "config.only" not in words(table)


def test_parts_add_up_to_the_difference(synthetic: Path) -> None:
    _, difference, *parts = compared([*runs(synthetic, 0), *runs(synthetic, 3)])
    assert [table.title.rpartition(": ")[2] for table in parts] == [
        "pairs of traversals, image→cloud",
        "conditions, image→cloud",
        "places, image→cloud",
    ]
    for table in parts:
        assert sum(row[3].value or 0 for row in table.rows) == pytest.approx(difference.rows[0][1].value)
        assert len(table.rows) <= 9
    _, _, *other = compared([*runs(synthetic, 0), *runs(synthetic, 3)], direction="cloud->image")
    assert other[0].title.endswith("cloud→image")


def test_more_than_two_configurations_are_ranked_with_letters(synthetic: Path) -> None:
    everything = [folder for place in range(4) for folder in runs(synthetic, place)]
    _, *others, ranked = compared(everything)
    assert len(others) == 3
    letters = {row[0].words: row[1].letters for row in ranked.rows}
    assert set(letters) == {"steady", "twin", "other-twin", "weak"}
    assert set(letters["twin"]) & set(letters["other-twin"]), "equal rows share a letter"
    assert NONE not in letters.values()


def test_results_of_other_data_show_their_settings_and_are_refused(synthetic: Path) -> None:
    tables = compared([*runs(synthetic, 0), *runs(synthetic, 0, "third-partial")[:1]], runs(synthetic, 1, "second"))
    assert words(next(tables))["dataset.name"]
    with pytest.raises(CrossplaceError, match="differ in dataset or protocol"):
        next(tables)


def test_faults_are_sentences(synthetic: Path) -> None:
    with pytest.raises(CrossplaceError, match="nothing to compare"):
        next(compared([]))
    with pytest.raises(CrossplaceError, match="seeds of one configuration; name results of another one too"):
        next(compared(runs(synthetic, 0)))
    with pytest.raises(CrossplaceError, match="cloud->image"):
        list(compared([*runs(synthetic, 0), *runs(synthetic, 3)], direction="cloud->imag"))


def test_the_command_prints_every_table(synthetic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Compare(runs=(*runs(synthetic, 0), *runs(synthetic, 3)))()
    out = capsys.readouterr().out
    assert all(words in out for words in ("Settings that differ", "steady − weak", "Where the difference lies: places"))
