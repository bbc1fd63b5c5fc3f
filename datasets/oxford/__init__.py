"""Oxford RobotCar from the raw download."""

from datasets.oxford.oxford import Oxford

__all__ = ["Oxford"]
