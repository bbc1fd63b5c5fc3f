"""The toy method and the small world's protocol of the benchmark's tests, and processes to be killed."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PRELOADED = ["pytest", "benchmark.runs.run", "methods.vxp", "methods.learning.augment", "lightning_fabric", "victim"]

_spec = spec_from_file_location("toy_fixtures", Path(__file__).parents[1] / "benchmark" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_module = module_from_spec(_spec)
sys.modules["toy_fixtures"] = _module  # where the source of its classes is looked up
_spec.loader.exec_module(_module)
toy, protocol, logging_as_before = _module.toy, _module.protocol, _module.logging_as_before


@pytest.fixture(scope="session")
def victim() -> Iterator[Any]:
    """The module ``victim``, importable here and in children forked from a process that has torch imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *sys.path]))
        patch.setenv("OMP_NUM_THREADS", "1")
        multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
        import victim

        yield victim
        del sys.modules["victim"]


@pytest.fixture(scope="session")
def begin(victim: Any) -> Callable[[Any], ForkServerProcess]:
    """Start a job in a process of its own."""

    def begin(job: Any) -> ForkServerProcess:
        process = multiprocessing.get_context("forkserver").Process(target=victim.run, args=(job,))
        process.start()
        return process

    return begin


@pytest.fixture(scope="session")
def start(begin: Callable[[Any], ForkServerProcess]) -> Callable[[Any], int]:
    """Run a job in a process of its own; returns its exit code, -9 if it was killed."""

    def start(job: Any) -> int:
        process = begin(job)
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    return start
