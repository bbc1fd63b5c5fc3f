"""ViViD++ driving: ROS1 bags of a car with a fisheye camera, an Ouster LiDAR and a GPS receiver in Daejeon."""

from datasets.vivid.vivid import Vivid

__all__ = ["Vivid"]
