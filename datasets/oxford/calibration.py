"""Where the sensors of the RobotCar are, and the axes that clouds are stored in.

Source: the data set's SDK (extrinsics/stereo.txt, ins.txt, lms_front.txt). Each file has x, y, z in metres and roll,
pitch, yaw in radians of a sensor in the vehicle's frame: x forward, y right, z down, at the stereo camera.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation


def rigid(x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> Float[ndarray, "4 4"]:
    """The pose of a sensor from the SDK's six numbers: turned by roll about x, then pitch about y, then yaw about z."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_matrix()
    pose[:3, 3] = x, y, z
    return pose


STEREO_FROM_INS = rigid(-1.7132, 0.1181, 1.1948, -0.0125, 0.0400, 0.0050)
STEREO_FROM_LMS = rigid(1.7589, 0.2268, 1.0411, -0.0437, -1.4572, 0.0356)
CLOUD_FROM_STEREO = np.diag([1.0, -1.0, -1.0, 1.0])
"""From the stereo camera's axes (x forward, y right, z down) to those of a LiDAR (x forward, y left, z up)."""
CLOUD_FROM_INS = CLOUD_FROM_STEREO @ STEREO_FROM_INS
CLOUD_FROM_LMS = CLOUD_FROM_STEREO @ STEREO_FROM_LMS
INS_FROM_CLOUD = np.linalg.inv(CLOUD_FROM_INS)
INS_FROM_LMS = INS_FROM_CLOUD @ CLOUD_FROM_LMS
