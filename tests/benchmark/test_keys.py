import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import methods
from benchmark.frames.preparing import prepare
from benchmark.keys import KEY_LENGTH, code_of, key_of, plain, source_files
from benchmark.registry import Registry
from datasets.base import ADDED, Selection
from datasets.errors import CrossplaceError
from datasets.protocols import PROTOCOLS
from methods import METHODS

ROOT = Path(methods.__file__).parents[1]


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    inner: Inner = Inner()
    limit: float | None = None


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_dataclasses_and_arrays_become_plain_data() -> None:
    assert plain(Outer()) == {"name": "a", "inner": {"sizes": [1, 2]}, "limit": None}
    assert plain({"matrix": np.eye(2), "count": np.int64(3)}) == {"matrix": [[1.0, 0.0], [0.0, 1.0]], "count": 3}


@pytest.mark.parametrize("other", [Outer(name="b"), Outer(inner=Inner((1, 3))), Outer(limit=0.0)])
def test_any_changed_field_changes_the_key(other: Outer) -> None:
    assert key_of(other) != key_of(Outer())
    assert key_of(replace(other, name="a", inner=Inner(), limit=None)) == key_of(Outer())


def test_keys_do_not_change_between_processes_or_versions() -> None:
    """A changed key would orphan everything that people have cached."""
    text = '["method", {"inner": {"sizes": [1, 2]}, "limit": null, "name": "a"}, 0]'
    assert key_of("method", Outer(), 0) == hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


@dataclass(frozen=True)
class Grown(Outer):
    """``Outer`` of a later version."""

    depth: int | None = field(default=None, metadata=ADDED)


def test_a_field_that_was_added_counts_once_it_is_used() -> None:
    assert key_of([Grown()]) == key_of([Outer()])
    assert key_of([Grown(depth=0)]) not in (key_of([Outer()]), key_of([Grown(depth=1)]))
    assert plain(Grown())["depth"] is None, "results hold everything"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("town", "0f45eb831def"),
        ("town-night", "22f557cab62e"),
        ("town-winter", "3ded8820e2ad"),
        ("town-revisit", "68725abada60"),
        ("kitti-synchronous-10m", "f718da19586d"),
    ],
)
def test_protocols_keep_their_keys_when_protocols_get_new_fields(name: str, key: str) -> None:
    """As computed before unions, ranges, axes and search depths; another key would evaluate and train anew."""
    assert key_of(PROTOCOLS[name]) == key


def test_added_rules_of_selections_change_keys() -> None:
    used = [
        Selection(),
        Selection(rows=(0, 3000)),
        Selection(also=(Selection(),)),
        Selection(also=(Selection(rows=(1, 2)),)),
    ]
    assert len({key_of(selection) for selection in used}) == 4


def test_the_order_of_parts_counts_and_that_of_keys_does_not() -> None:
    assert key_of("a", "b") != key_of("b", "a")
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


@settings(max_examples=50, deadline=None)
@given(PLAIN, PLAIN)
def test_keys_are_equal_exactly_if_the_parts_are(a: object, b: object) -> None:
    is_same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (key_of(a, b) == key_of(b, a)) == is_same
    assert key_of(a) != key_of(a, b)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_know_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        key_of({"limit": value})


def test_sets_are_refused_because_their_order_changes_from_run_to_run() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        key_of({"a", "b"})


# --- code ----------------------------------------------------------------------------------------

IMPORTED_BY_EACH = """
import importlib, json, sys
import timm, torch, torchvision.transforms.v2, scipy.cluster.vq, scipy.spatial.distance  # once, not nine times
from methods import METHODS
found = {}
for name, entry in METHODS.items():
    for module in [m for m in sys.modules if m.startswith("methods.")]:
        del sys.modules[module]
    importlib.import_module(entry.partition(":")[0])
    found[name] = sorted(m for m in sys.modules if m.startswith("methods."))
print(json.dumps(found))
"""


def run_python(code: str, root: Path = ROOT) -> Any:
    """What a fresh interpreter prints, as JSON."""
    environment = os.environ | {"PYTHONPATH": str(root)}
    return json.loads(subprocess.check_output([sys.executable, "-c", code], env=environment, cwd=root))


def test_all_that_a_method_imports_is_among_its_source_files() -> None:
    """Modules are counted that are imported when a method is; more may be found, since some imports run later."""
    for name, imported in run_python(IMPORTED_BY_EACH).items():
        found = source_files(METHODS[name])
        assert set(imported) <= found.keys(), name
        assert {path for path in found.values() if not path.is_relative_to(ROOT / "methods")} == set()
        assert len(found) < len([*(ROOT / "methods").rglob("*.py")]) - 10, "not all that there is"


@pytest.mark.parametrize(
    ("edited", "changed"),
    [
        ("methods/layers/nmf.py", {"modalink"}),
        ("methods/layers/depth/plugins.py", {"lc2", "i2prec", "dxpr", "rangebev", "depth_layout"}),
        ("methods/layers/depth/network.py", {"lc2", "i2prec", "dxpr", "rangebev", "depth_layout", "depth"}),
        ("methods/learning/distillation.py", {"vxp", "cattaneo"}),
        ("methods/vxp/published.py", {"vxp"}),
        ("methods/recipe.py", {*METHODS, "depth"}),
        ("methods/__init__.py", set()),
        ("datasets/base.py", set()),
    ],
)
def test_a_comment_changes_the_keys_of_what_imports_the_file_and_no_other(
    tmp_path: Path, edited: str, changed: set[str]
) -> None:
    for folder in ("benchmark", "datasets", "methods"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.pyc", "*.safetensors"))
    with (tmp_path / edited).open("a") as file:
        file.write("# a comment\n")
    entries = METHODS | {"depth": "methods.learning.depth_stage"}
    code = f"import json; from {code_of.__module__} import code_of; "
    after = run_python(f"{code} print(json.dumps({{n: code_of(e) for n, e in {entries}.items()}}))", tmp_path)
    before = {name: code_of(entry) for name, entry in entries.items()}
    assert {name for name in before if before[name] != after[name]} == changed


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of somebody else, whose import is an error: nothing may import it to find its files."""
    files = {
        "__init__": "from .method import Mine",
        "method": "from . import parts\nfrom .parts.deep import thing\nfrom methods.layers import nmf\nimport numpy",
        "parts/__init__": "raise RuntimeError",
        "parts/deep": "def later():\n    from theirs import lazy",
        "lazy": "import theirs.last",
        "last": "from .parts import *",
        "unused": "",
    }
    for name, source in files.items():
        path = tmp_path / "theirs" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    (tmp_path / "single.py").write_text("import theirs")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_another_package_is_followed_through_its_own_modules_and_ours(package: Path) -> None:
    found = source_files("theirs.method:Mine")
    own = {name for name in found if name.startswith("theirs")}
    assert own == {f"theirs{name}" for name in ("", ".method", ".parts", ".parts.deep", ".lazy", ".last")}
    assert found.keys() - own == {"methods.layers", "methods.layers.nmf"}
    assert found["theirs.parts"] == package / "theirs" / "parts" / "__init__.py"
    assert source_files("single:Thing") == {"single": package / "single.py"}


def test_a_module_without_source_is_a_sentence() -> None:
    with pytest.raises(CrossplaceError, match=r"module methods\.nowhere: no source file found"):
        source_files("methods.nowhere:Class")
    with pytest.raises(CrossplaceError, match=r"module math: no source file found"):
        source_files("math:sqrt")


def test_neither_keys_nor_the_registry_nor_preparing_import_torch() -> None:
    modules = [code_of.__module__, Registry.__module__, prepare.__module__]
    assert run_python(f"import sys, {', '.join(modules)}; print(int('torch' in sys.modules))") == 0
