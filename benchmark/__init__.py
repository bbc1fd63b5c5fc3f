"""The harness: training loop, descriptors, evaluation, cost and results for any method and dataset."""

__version__ = "0.2.0"
