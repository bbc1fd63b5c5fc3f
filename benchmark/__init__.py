"""The harness: training loop, descriptors, evaluation, cost and results for any method and dataset.

In Python five functions lead from nothing to a recall number (docs/python.md): :func:`benchmark.door.prepare`,
``load_method``, ``encode``, ``evaluate`` and ``read_result``, all of them names of this package.
"""

from typing import Any

__version__ = "0.4.0"
__all__ = ["__version__", "encode", "evaluate", "load_method", "prepare", "read_result"]


def __getattr__(name: str) -> Any:
    """The five functions, imported when they are first asked for: importing ``benchmark`` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
    from benchmark import door

    return getattr(door, name)
