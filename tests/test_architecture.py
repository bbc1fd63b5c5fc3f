"""The house keeps its order: who may import whom, what stays free of torch, how large a file may be, what is sealed."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from benchmark.evaluation.metrics import is_hit
from benchmark.registry import DATASETS, METHODS

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("datasets", "methods", "benchmark")
"""Top folders, each of which may import those before it."""
ROOMS = (
    *("ground", "protocol", "frames", "descriptors", "evaluation", "records"),
    *("training", "cost", "report", "contract", "runs", "door", "deploy", "cli"),
)
"""Rooms of benchmark/, each of which may import those before it; files outside of any room are the ground."""
FREE_OF_TORCH = (
    *("benchmark.protocol", "benchmark.evaluation", "benchmark.records", "benchmark.report", "benchmark.cli"),
    *("benchmark.runs.plan", "benchmark.runs.rows", "benchmark.runs.sweep", "benchmark.catalogue"),
    *("benchmark.runs.carrying", "benchmark.runs.jobs", "benchmark.runs.engines", "benchmark.runs.study_file"),
    *("benchmark.frames.preparing", "benchmark.frames.perturbations", "benchmark.descriptors.files"),
    *("benchmark.training.declared", "benchmark.training.weights", "benchmark.training.report", "datasets"),
)
"""Modules and packages that import neither torch nor matplotlib: what a plan, a list or a number needs."""
DRAWINGS = "benchmark.report.figures."
"""Only modules below import matplotlib, and nothing imports them before something is drawn."""
LONGEST_FILE, LONGEST_FUNCTION = 400, 50
UNSEALED = {
    "benchmark/keys.py": "hashes",
    "benchmark/frames/preparing.py": "options of the command line",
    "benchmark/protocol/lists.py": "for other people's evaluators, with SHA256SUMS of its own",
    "benchmark/training/checkpoint.py": "reads the header of a safetensors file",
    "datasets/files.py": "where sealing and strict reading are written",
    "datasets/jobs.py": "hashes",
    "datasets/prepared.py": "people write it by hand; it holds the hash of frames.csv",
    "datasets/randomness.py": "hashes",
    "datasets/town/depth.py": "depth.json, a form that people write by hand",
    "benchmark/records/leaderboard.py": "part of the suite, compared with results/ by a test",
    "benchmark/catalogue.py": "part of the suite, compared with the methods by a test",
}
"""Files that use JSON without a seal, with the reason."""


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (REPOSITORY / package).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Modules that a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    parts = module.split(".")
    if module == "benchmark.door":
        return "door"
    return parts[1] if len(parts) > 1 and (REPOSITORY / "benchmark" / parts[1]).is_dir() else "ground"


def wrong_way(module: str, imported: str) -> bool:
    """Whether ``module`` must not import ``imported``."""
    top, other = module.split(".")[0], imported.split(".")[0]
    if other not in PACKAGES:
        return False
    if top != other:
        return PACKAGES.index(other) > PACKAGES.index(top)
    return top == "benchmark" and ROOMS.index(room_of(imported)) > ROOMS.index(room_of(module))


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=module_of)
def test_imports_point_one_way(path: Path) -> None:
    module = module_of(path)
    lazily = {"benchmark": "benchmark.door"}.get(module)  # the package itself hands its five functions on
    wrong = [name for name in imports_of(path) if wrong_way(module, name) and not name.startswith(lazily or "\0")]
    assert not wrong, f"{module} imports {', '.join(wrong)}"


def test_an_import_that_is_turned_round_is_found() -> None:
    assert wrong_way("datasets.base", "benchmark.keys")
    assert wrong_way("methods.vxp", "benchmark.request")
    assert wrong_way("benchmark.protocol.selection", "benchmark.evaluation.ranks")
    assert wrong_way("benchmark.records.schema", "benchmark.report.table")
    assert wrong_way("benchmark.keys", "benchmark.runs.plan")
    assert not wrong_way("benchmark.runs.plan", "benchmark.records.schema")
    assert not wrong_way("benchmark.cli.main", "datasets")


def test_every_room_is_known() -> None:
    rooms = {path.parent.name for path in (REPOSITORY / "benchmark").glob("*/__init__.py")}
    assert rooms | {"ground", "door"} == set(ROOMS)


@pytest.mark.parametrize("names", FREE_OF_TORCH)
def test_planning_and_numbers_import_neither_torch_nor_matplotlib(names: str) -> None:
    everything = [module_of(path) for path in sources(*PACKAGES)]
    modules = [m for m in everything if m == names or (m.startswith(f"{names}.") and not m.startswith(DRAWINGS))]
    assert modules
    code = f"import sys, importlib; [importlib.import_module(m) for m in {modules!r}]; "
    code += "print(*({'torch', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_list_of_packages_is_the_tree() -> None:
    listed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [module_of(path) for package in PACKAGES for path in (REPOSITORY / package).rglob("__init__.py")]
    assert sorted(listed) == sorted(found)


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=module_of)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            n_lines = (node.end_lineno or 0) - node.lineno + 1
            assert n_lines <= LONGEST_FUNCTION, f"{node.name} has {n_lines} lines"


def test_json_that_is_kept_is_sealed_and_strictly_read() -> None:
    reading = {"load", "loads", "model_validate_json", "validate_json"}
    writing = {"dump", "dumps", "model_dump_json", "dump_json"}
    for path in sources(*PACKAGES):
        name = path.relative_to(REPOSITORY).as_posix()
        for function in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(function, ast.FunctionDef) or name in UNSEALED:
                continue
            called = [_called(node) for node in ast.walk(function) if isinstance(node, ast.Call)]
            json_calls = {attribute for owner, attribute in called if owner == "json" or "json" in attribute}
            names = {attribute for _, attribute in called}
            assert not json_calls & (reading - {"load"}), f"{name}: {function.name} reads JSON by itself"
            if json_calls & writing and "write_atomically" in names:
                assert "sealed" in names, f"{name}: {function.name} writes JSON without a seal"


def _called(node: ast.Call) -> tuple[str, str]:
    """What a call calls: the name before the dot, and the last name."""
    if isinstance(node.func, ast.Attribute):
        return (node.func.value.id if isinstance(node.func.value, ast.Name) else "", node.func.attr)
    return ("", node.func.id if isinstance(node.func, ast.Name) else "")


def test_files_that_may_use_json_without_a_seal_exist() -> None:
    assert all((REPOSITORY / name).is_file() for name in UNSEALED)


def test_only_the_tables_name_methods_and_datasets() -> None:
    known = {*METHODS.table, *DATASETS.table}
    for path in sources("benchmark"):
        if path.name in ("request.py", "papers.py"):  # the defaults, and what papers print
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Constant) and node.value in known:
                pytest.fail(f"{path.relative_to(REPOSITORY)}:{node.lineno} names {node.value!r}")


def test_every_class_has_a_name_of_its_own() -> None:
    """One class for one word in the harness; preparers and methods stand side by side, each with its own words."""
    places: dict[str, str] = {}
    for path in sources("benchmark"):
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                there = places.setdefault(node.name, module_of(path))
                assert there == module_of(path), f"{node.name} is in {there} and in {module_of(path)}"


def test_shapes_that_annotations_name_are_checked() -> None:
    with pytest.raises(TypeCheckError, match="first_positive_rank"):
        is_hit(np.ones((2, 2), int), 1)
