"""The toy method and the small world's protocol of the benchmark's tests, here too."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_spec = spec_from_file_location("toy_fixtures", Path(__file__).parents[1] / "benchmark" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_module = module_from_spec(_spec)
_spec.loader.exec_module(_module)
toy, protocol, logging_as_before = _module.toy, _module.protocol, _module.logging_as_before
