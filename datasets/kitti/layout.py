"""What the downloads of KITTI hold: names, folders and numbers of frames."""

from dataclasses import dataclass
from pathlib import Path

SOURCE = "https://www.cvlibs.net/datasets/kitti/eval_odometry.php"
RAW_SOURCE = "https://www.cvlibs.net/datasets/kitti/raw_data.php"
LAYOUT = "sequences/SS/{calib.txt, times.txt, image_2/*.png, velodyne/*.bin}; poses/SS.txt or sequences/SS/poses.txt"
RAW_LAYOUT = (
    "DATE/calib_{cam_to_cam, velo_to_cam, imu_to_velo}.txt and DATE/DATE_drive_NNNN_sync/{image_02/{timestamps.txt, "
    "data/*.png}, velodyne_points/{timestamps.txt, data/*.bin}, oxts/{timestamps.txt, data/*.txt}}"
)


@dataclass(frozen=True, slots=True)
class Drive:
    """A raw drive ("synced+rectified data"): ``2011_09_26_drive_0009`` is 0009 of 2011_09_26."""

    date: str
    number: str

    @classmethod
    def named(cls, name: str) -> "Drive":
        """The drive with a name such as ``2011_09_26_drive_0009``."""
        date, _, number = name.partition("_drive_")
        return cls(date, number)

    @property
    def name(self) -> str:
        """The name of the drive as a traversal."""
        return f"{self.date}_drive_{self.number}"

    def below(self, folder: Path) -> Path:
        """The drive's folder in a folder of raw data."""
        return folder / self.date / f"{self.name}_sync"


DRIVES = {
    "00": (Drive("2011_10_03", "0027"), 0),
    "01": (Drive("2011_10_03", "0042"), 0),
    "02": (Drive("2011_10_03", "0034"), 0),
    "03": (Drive("2011_09_26", "0067"), 0),
    "04": (Drive("2011_09_30", "0016"), 0),
    "05": (Drive("2011_09_30", "0018"), 0),
    "06": (Drive("2011_09_30", "0020"), 0),
    "07": (Drive("2011_09_30", "0027"), 0),
    "08": (Drive("2011_09_30", "0028"), 1100),
    "09": (Drive("2011_09_30", "0033"), 0),
    "10": (Drive("2011_09_30", "0034"), 0),
}
"""For each odometry sequence, the drive that it was cut from, and the number of its first frame in that drive.

Source: the odometry development kit, as used by VXP. The drive of 03 is not offered for download.
"""

N_FRAMES = {
    "00": 4541, "01": 1101, "02": 4661, "03": 801, "04": 271, "05": 2761, "06": 1101, "07": 1101, "08": 4071,
    "09": 1591, "10": 1201, "11": 921, "12": 1061, "13": 3281, "14": 631, "15": 1901, "16": 1731, "17": 491,
    "18": 1801, "19": 4981, "20": 831, "21": 2721,
}  # fmt: skip
"""Frames of each odometry sequence as published: 43,552 in all, of which 23,201 (00 to 10) have poses."""


def of_all(found: int, expected: int | None) -> str:
    """``found`` and ``expected`` as words in a sentence about files."""
    return f"{found}" if expected is None or found == expected else f"{found} of {expected}"
