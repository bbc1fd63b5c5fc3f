"""KITTI: a car with cameras and a 64-beam LiDAR in and around Karlsruhe; odometry sequences and raw drives."""

from datasets.kitti.kitti import Kitti

__all__ = ["Kitti"]
