"""Methods as initialised, and what maps by hand are made with."""

import torch

from benchmark.deploy.calibration import Calibration
from benchmark.evaluation.confidence import RightShare
from benchmark.registry import METHODS
from datasets.base import Traversal
from methods.base import Method

COVARIANCE = ((4.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.01))
DRIVE = Traversal(
    name="patrol", condition="day", georeferenced=False, intrinsics=None, camera_from_lidar=None, lidar=None
)


def method_called(name: str) -> Method:
    """A method of the suite as initialised, always with the same weights."""
    torch.manual_seed(0)
    kind = METHODS.get(name)
    return kind(kind.presets["quick"]).eval()


def half_at(distance: float, *, n_queries: int = 998) -> Calibration:
    """Probability 1 up to a distance of 0 and 0 from twice ``distance`` on, so that it is 0.5 at ``distance``."""
    share = RightShare(distance=(0.0, 2 * distance), share=(1.0, 0.0))
    return Calibration(share=share, n_queries=n_queries, drives=("other",), protocol="p", covariance=COVARIANCE)
