"""``import benchmark``: five functions, as docs/python.md shows them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import benchmark
from benchmark.records.schema import Result
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset

REPOSITORY = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "python.md").read_text(), flags=re.DOTALL)


def test_the_example_of_the_documents_runs(tiny_town: PreparedDataset, capsys: pytest.CaptureFixture[str]) -> None:
    first = BLOCKS[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 8, "from nothing to a recall number"
    names: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["town"].folder == tiny_town.folder  # type: ignore[attr-defined]
    assert 0.0 < float(capsys.readouterr().out) <= 1.0
    result = names["result"]
    assert isinstance(result, Result)
    assert benchmark.read_result(Path("runs") / "results" / result.run_id) == result


def test_the_five_functions_are_documented_and_nothing_else_is_offered() -> None:
    functions = [name for name in benchmark.__all__ if not name.startswith("__")]
    assert sorted(functions) == ["encode", "evaluate", "load_method", "prepare", "read_result"]
    for name in functions:
        assert getattr(benchmark, name).__doc__
        assert f"`{name}(" in (REPOSITORY / "docs" / "python.md").read_text()
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        benchmark.evalute  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import benchmark, sys; print(*({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_encoding_again_writes_nothing_and_other_weights_have_another_folder(
    small_world: PreparedDataset, tmp_path: Path
) -> None:
    method = benchmark.load_method("range_plain", untrained=True, device="cpu", dataset=str(small_world.folder))
    folder = benchmark.encode(method, small_world, tmp_path / "here")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}
    assert before
    assert benchmark.encode(method, small_world, tmp_path / "here") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")} == before
    other = benchmark.load_method("range_plain", untrained=True, seed=1, device="cpu", dataset=str(small_world.folder))
    assert benchmark.encode(method, small_world) != benchmark.encode(other, small_world)


def test_another_configuration_with_the_same_weights_has_another_folder(small_world: PreparedDataset) -> None:
    usual, narrow = (
        benchmark.load_method("height_histogram", device="cpu", variant=variant) for variant in ("", "image.width=32")
    )
    assert usual.state_dict().keys() == narrow.state_dict().keys() == set()
    assert benchmark.encode(usual, small_world) != benchmark.encode(narrow, small_world)


def test_a_class_without_a_source_file_is_encoded_anew(small_world: PreparedDataset) -> None:
    method = benchmark.load_method("height_histogram", device="cpu")
    typed = type("Typed", (type(method),), {"__module__": "typed_into_a_session"})(method.config).eval()
    assert benchmark.encode(typed, small_world) != benchmark.encode(typed, small_world)


@pytest.mark.parametrize(
    ("name", "options"), [("height_histogram", {}), ("range_plain", {"untrained": True})], ids=["nothing", "untrained"]
)
def test_weights_that_no_data_made_need_no_dataset(
    name: str, options: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSPLACE_DATA", str(tmp_path / "data"))
    benchmark.load_method(name, device="cpu", **options)
    assert not (tmp_path / "data").exists(), "the town takes minutes to prepare"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: benchmark.prepare("twon"), r"unknown dataset 'twon'\. Did you mean town\?"),
        (lambda: benchmark.prepare("town", presett="tiny"), r"unknown option of dataset town 'presett=tiny'"),
        (lambda: benchmark.load_method("vpx"), r"unknown method 'vpx'\. Did you mean vxp\?"),
        (lambda: benchmark.prepare("kitti", "nowhere"), "nowhere: no such folder; --source is the folder of the raw"),
        (lambda: benchmark.read_result("nowhere"), "nowhere: no such folder; name the folder of a run"),
    ],
    ids=["dataset", "option", "method", "source", "result"],
)
def test_what_is_wrong_is_a_sentence(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(CrossplaceError, match=message):
        call()


def test_an_option_that_does_not_exist_is_said() -> None:
    with pytest.raises(TypeError, match="no such options: sead"):
        benchmark.load_method("vxp", sead=1)
