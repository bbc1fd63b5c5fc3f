"""ViViD++ with a small camera, whose images are cast in a moment."""

from dataclasses import dataclass
from typing import ClassVar

from datasets.base import Intrinsics
from datasets.vivid import Vivid
from datasets.vivid.fisheye import Calibration

SMALL = Calibration(raw=Intrinsics(fx=70.26, fy=70.35, cx=64.54, cy=52.7, width=128, height=104))
"""The published camera with a tenth of the pixels."""


@dataclass(frozen=True, kw_only=True)
class SmallVivid(Vivid):
    """The preparer for bags of ``SMALL``."""

    image_width: int = 64
    calibration: ClassVar[Calibration] = SMALL
