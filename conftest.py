"""Tests check the shapes that annotations name; benchmarks run the plain code, as users do."""

import sys

from jaxtyping import install_import_hook

if "--benchmark-only" not in sys.argv:  # before any module of the project is imported, so that an option is too late
    install_import_hook(["benchmark", "datasets", "methods"], "beartype.beartype")
