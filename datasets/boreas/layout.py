"""What the public store of Boreas holds: names of runs and files, columns of the pose tables, and runs without poses.

Source: pyboreas (DATA_REFERENCE.md, pyboreas/data/splits.py) and the registry of open data of the cloud vendor.
"""

import re

SOURCE = "https://boreas.s3.amazonaws.com"
"""The store, which needs no account: ``SOURCE/boreas-RUN/camera/TIME.png``."""
LAYOUT = (
    "boreas-RUN/{applanix/{camera_poses.csv, lidar_poses.csv}, calib/{P_camera.txt, T_applanix_lidar.txt, "
    "T_camera_lidar.txt}, camera/*.png, lidar/*.bin}"
)
LICENCE = "CC BY 4.0"
CITATION = (
    "Burnett, Yoon, Wu, Li, Zhang, Lu, Qian, Tseng, Lambert, Leung, Schoellig, Barfoot: Boreas: A multi-season "
    "autonomous driving dataset, IJRR 2023"
)

PREFIX = "boreas-"
"""What the folder of a run has before the run's name, which is the local time of its start."""
RUN = re.compile(r"\d{4}-\d\d-\d\d-\d\d-\d\d")
"""A run's name, such as 2020-12-18-13-44."""

CAMERA, LIDAR = "camera", "lidar"
"""Folders of the images (``TIME.png``) and of the sweeps (``TIME.bin``); TIME is in microseconds since 1970, UTC."""
SUFFIX = {CAMERA: ".png", LIDAR: ".bin"}
POSES = {CAMERA: "applanix/camera_poses.csv", LIDAR: "applanix/lidar_poses.csv"}
"""The table of each sensor's poses. Its first column holds the names of the sensor's files, so it lists them."""
PROJECTION = "calib/P_camera.txt"
"""The rectified camera: a 4×4 matrix whose upper left 3×3 are fx, fy, cx, cy in pixels."""
APPLANIX_FROM_LIDAR = "calib/T_applanix_lidar.txt"
CAMERA_FROM_LIDAR = "calib/T_camera_lidar.txt"
"""How the sensors stand to each other at one moment. They fire at different moments, so it alone projects nothing."""
CALIBRATION = (PROJECTION, APPLANIX_FROM_LIDAR, CAMERA_FROM_LIDAR)

TIME = "GPSTime"
"""Column of the time in whole microseconds since 1970, UTC: the file's name."""
POSITION = ("easting", "northing", "altitude")
"""Columns of the position in metres east, north, up of ``REFERENCE_RUN``'s first pose."""
ANGLES = ("roll", "pitch", "heading")
VELOCITY = ("vel_east", "vel_north", "vel_up")
TURNING = ("angvel_z", "angvel_y", "angvel_x")
COLUMNS = (TIME, *POSITION, *VELOCITY, *ANGLES, *TURNING)
"""The header of a pose table. Only time, position and angles are read."""
REFERENCE_RUN = "2020-11-26-13-58"

POINT = ("x", "y", "z", "intensity", "ring", "t")
"""What float32 numbers a point of a sweep has, little-endian; t is in seconds after the sweep's own time."""
POINT_BYTES = 4 * len(POINT)
IMAGE_SIZE = (2448, 2048)
"""Width and height of the images in pixels."""

CONDITIONS = {
    "2020-11-26-13-58": "day",
    "2020-12-01-13-26": "snow",
    "2020-12-18-13-44": "snow",
    "2021-01-15-12-17": "day",
    "2021-01-19-15-08": "day",
    "2021-01-26-11-22": "snow",
    "2021-02-02-14-07": "day",
    "2021-03-02-13-38": "day",
    "2021-03-23-12-43": "day",
    "2021-03-30-14-23": "day",
    "2021-04-08-12-44": "day",
    "2021-04-13-14-49": "day",
    "2021-04-15-18-55": "day",
    "2021-04-20-14-11": "day",
    "2021-04-29-15-55": "rain",
    "2021-05-06-13-19": "day",
    "2021-05-13-16-11": "day",
    "2021-06-03-16-00": "day",
    "2021-06-17-17-52": "day",
    "2021-07-20-17-33": "rain",
    "2021-07-27-14-43": "day",
    "2021-08-05-13-34": "day",
    "2021-09-02-11-42": "day",
    "2021-09-07-09-35": "day",
    "2021-09-14-20-00": "night",
    "2021-10-15-12-35": "day",
    "2021-10-22-11-36": "day",
    "2021-11-02-11-16": "day",
    "2021-11-14-09-47": "day",
    "2021-11-16-14-10": "day",
    "2021-11-23-14-27": "day",
}
"""The runs with poses (pyboreas ``odom_train``), and light and weather of each.

``snow`` and ``rain`` are those of the data set's tags and of DXPR's table; by day, old snow may lie as well.
"""

WITHOUT_POSES = (
    "2020-12-04-14-00", "2021-01-26-10-59", "2021-02-09-12-55", "2021-03-09-14-23", "2021-04-22-15-00",
    "2021-06-29-18-53", "2021-06-29-20-43", "2021-09-08-21-00", "2021-09-09-15-28", "2021-10-05-15-35",
    "2021-10-26-12-35", "2021-11-06-18-55", "2021-11-28-09-18",
)  # fmt: skip
"""Runs whose poses are kept back for the data set's own benchmark of odometry (pyboreas ``odom_test``)."""


def folder_of(run: str) -> str:
    """The name of the folder of ``run``."""
    return PREFIX + run


def name_of(folder: str) -> str:
    """The name of the run in ``folder``: a name without the prefix stays as it is."""
    return folder.removeprefix(PREFIX)


def file_of(sensor: str, time_us: int) -> str:
    """The path of a sensor's file of this time, below the folder of the run."""
    return f"{sensor}/{time_us}{SUFFIX[sensor]}"
