"""The rules of the doctor: which values a fact may have, what another value means, and where the limit comes from.

A *fault* means that no recall number on the data can be right: work stops. A *doubt* is rare for good data: it is said,
and stands in every result. docs/doctor.md shows the values of real data beside these limits.
"""

from collections.abc import Mapping

from datasets.doctor.rule import Limit, Rule

HEADING = "yaw_rad counts counter-clockwise from east, in radians; qw, qx, qy, qz is world_from_lidar, scalar first."
UNITS = "Positions are metres (east, north, up), and timestamp_ns are nanoseconds."
CLOUD = "Clouds are x, y, z in metres (x forward, y left, z up), and another layout of .bin files needs bin_layout."
MOUNT = "camera_from_lidar brings LiDAR points (x forward, y left, z up) into the camera (x right, y down, z ahead)."
PINHOLE = "fx, fy, cx, cy are pixels of the stored images: scale them with the images."
SENSOR = "vertical_fov_deg is [lowest, highest] in degrees, and max_range_m is metres."

RULES: Mapping[str, Rule] = {
    # --- the table of frames -------------------------------------------------------------------------
    "yaw-and-quaternion": Rule(
        title="the angle between yaw_rad and the quaternion of the same line",
        unit="°",
        above=Limit(doubt=1.0, fault=5.0, cause="they must name one heading", conventions=(HEADING,)),
        source="both are written from one rotation, so that only rounding parts them",
    ),
    "heading-and-track": Rule(
        title="how far headings stray from their usual angle to the direction of travel (median)",
        unit="°",
        above=Limit(doubt=25.0, cause="headings of other axes, or east and north exchanged?", conventions=(HEADING,)),
        source="RobotCar, KITTI and Boreas: at most 1°",
    ),
    "heading-offset": Rule(
        title="the usual angle between headings and the direction of travel",
        unit="°",
        above=Limit(doubt=100.0, cause="the LiDAR looks back, or headings are of other axes", conventions=(HEADING,)),
        source="RobotCar and KITTI 0°; the LiDAR of Boreas stands turned by 46°",
    ),
    "speed": Rule(
        title="the speed that nine tenths of the frames keep to",
        unit=" m/s",
        above=Limit(doubt=50.0, fault=120.0, cause="no road vehicle is that fast", conventions=(UNITS,)),
        source="30 m/s is a motorway; the real drives stay below 20 m/s",
    ),
    "jump": Rule(
        title="the highest speed between two frames",
        unit=" m/s",
        above=Limit(doubt=90.0, fault=1000.0, cause="lines are jumbled, or a pose is wrong: sort and clean the table"),
        source="the real drives stay below 30 m/s; a jump of a receiver by 50 m within a second is a doubt",
    ),
    "pace": Rule(
        title="the length of the path divided by its time",
        unit=" m/s",
        below=Limit(
            doubt=0.1,
            fault=1e-4,
            cause="the vehicle hardly moves: positions in degrees or kilometres?",
            conventions=(UNITS,),
        ),
        source="a slow robot does 0.3 m/s",
    ),
    "climb": Rule(
        title="the climb and fall, as a share of the path",
        unit=" %",
        above=Limit(doubt=30.0, cause="no road is that steep: the columns are east, north, up in this order"),
        source="the steepest streets have 35 %; the real drives stay below 5 % on average",
    ),
    "resolution": Rule(
        title="the share of eastings, or of northings, that are whole eighths of a metre",
        unit=" %",
        above=Limit(doubt=50.0, cause="positions were rounded, perhaps to 32 bits: write them in full precision"),
        source="a UTM northing in 32 bits has steps of half a metre",
    ),
    "coverage": Rule(
        title="the share of frames with both an image and a cloud",
        unit=" %",
        below=Limit(doubt=50.0, cause="frames without one of them cannot be matched across: fill both columns"),
        source="what the suite compares needs both",
    ),
    "shared-images": Rule(
        title="the share of frames whose image is also another frame's",
        unit=" %",
        above=Limit(doubt=20.0, fault=90.0, cause="every frame needs its own: look at the column image"),
        source="a slower camera may serve some frames twice",
    ),
    "shared-clouds": Rule(
        title="the share of frames whose cloud is also another frame's",
        unit=" %",
        above=Limit(doubt=20.0, fault=90.0, cause="every frame needs its own: look at the column cloud"),
        source="a slower LiDAR may serve some frames twice",
    ),
    "still": Rule(
        title="the share of frames with exactly the position of another frame",
        unit=" %",
        above=Limit(doubt=50.0, fault=99.0, cause="poses are repeated: interpolate them to the time of each frame"),
        source="measured poses differ in their last digits even where a vehicle stands",
    ),
    "same-place": Rule(
        title="the share of all frames of a world that lie within 20 m of a frame",
        unit=" %",
        per="dataset",
        above=Limit(
            doubt=75.0,
            cause="nearly every answer is right: degrees or kilometres? A small place needs its own protocol",
            conventions=(UNITS,),
        ),
        source="drives of 60 m have 48 %, of 5 km 2 %; a robot in a hall has 100 %",
    ),
    "origins": Rule(
        title="the number of traversals of one world that begin at its origin",
        per="dataset",
        above=Limit(doubt=1.0, cause="each seems to have its own origin: give each its own name in the column world"),
        source="two drives do not begin at the same point to a millimetre",
    ),
    # --- sensors as described ------------------------------------------------------------------------
    "field-of-view": Rule(
        title="the vertical field of view of the LiDAR",
        unit="°",
        below=Limit(doubt=5.0, fault=0.001, cause="radians, or reversed?", conventions=(SENSOR,)),
        above=Limit(doubt=180.0, fault=360.0, cause="no sensor is like that", conventions=(SENSOR,)),
        source="sensors on the market: 20° to 180°",
    ),
    "max-range": Rule(
        title="max_range_m of the LiDAR",
        unit=" m",
        below=Limit(doubt=5.0, fault=0.5, cause="no sensor is like that", conventions=(SENSOR,)),
        above=Limit(doubt=500.0, fault=5000.0, cause="no sensor is like that", conventions=(SENSOR,)),
        source="sensors on the market: 20 to 300 m",
    ),
    "principal-point": Rule(
        title="the distance of cx from the image's middle, as a share of its width",
        unit=" %",
        above=Limit(doubt=12.0, fault=22.0, cause="this is the camera matrix of another image", conventions=(PINHOLE,)),
        source="KITTI, RobotCar, ViViD++ and Boreas: at most 2 %; of an image of half the size 25 %",
    ),
    "principal-height": Rule(
        title="the distance of cy from the image's middle, as a share of its height",
        unit=" %",
        above=Limit(doubt=25.0, fault=60.0, cause="this is the camera matrix of another image", conventions=(PINHOLE,)),
        source="KITTI, RobotCar, ViViD++ and Boreas: at most 4 %; images may be cropped at the top or at the bottom",
    ),
    "focal-length": Rule(
        title="the focal length in units of the image's width",
        below=Limit(doubt=0.25, fault=0.05, cause="no lens sees that wide", conventions=(PINHOLE,)),
        above=Limit(doubt=4.0, fault=20.0, cause="no camera for driving sees that narrow", conventions=(PINHOLE,)),
        source="0.25 is a view of 127°, 4 one of 14°; real cameras here have 0.5 to 0.8",
    ),
    "pixel-aspect": Rule(
        title="fx divided by fy",
        below=Limit(doubt=0.8, fault=0.3, cause="pixels are nearly square", conventions=(PINHOLE,)),
        above=Limit(doubt=1.25, fault=3.0, cause="pixels are nearly square", conventions=(PINHOLE,)),
        source="real cameras here: 0.99 to 1.01; resized images differ a little more",
    ),
    "camera-upright": Rule(
        title="the angle between the camera's up and the LiDAR's up",
        unit="°",
        above=Limit(doubt=35.0, cause="rolled, looking down, inverted, or in other axes?", conventions=(MOUNT,)),
        source="real cameras here: at most 4°; cameras held upright 90°, and those that look down",
    ),
    "camera-axes": Rule(
        title="the angle between the camera's up and the LiDAR's up, if the camera looks neither ahead nor down",
        unit="°",
        above=Limit(fault=75.0, cause="inverted, or in other axes?", conventions=(MOUNT,)),
        source="an inverted transform gives 90°, and so does one of equal axes",
    ),
    "camera-ahead": Rule(
        title="the angle, seen from above, between the camera's view and the LiDAR's x axis",
        unit="°",
        above=Limit(doubt=60.0, cause="the camera looks sideways or back", conventions=(MOUNT,)),
        source="real cameras here: at most 2°; side cameras are honest, and rare",
    ),
    "camera-away": Rule(
        title="the distance between camera and LiDAR",
        unit=" m",
        above=Limit(
            doubt=5.0, fault=30.0, cause="they are on one vehicle, and the last column is metres", conventions=(MOUNT,)
        ),
        source="real vehicles here: at most 2 m",
    ),
    "missing-files": Rule(
        title="the number of files that frames.csv names and that are not there or empty",
        above=Limit(doubt=0.0, cause="copy them, or empty their cells: work stops where a protocol needs one"),
        source="a table names what there is",
    ),
    # --- sampled clouds ------------------------------------------------------------------------------
    "empty-clouds": Rule(
        title="the share of sampled clouds without a point",
        unit=" %",
        above=Limit(doubt=2.0, fault=50.0, cause="these frames show nothing: leave their cloud empty in frames.csv"),
        source="a LiDAR outdoors always has returns",
    ),
    "at-origin": Rule(
        title="the share of points at exactly 0, 0, 0, which are left out",
        unit=" %",
        above=Limit(doubt=60.0, cause="most returns are missing: look at how clouds are written"),
        source="sensors that write missing returns lose up to 40 % to the sky",
    ),
    "repeated-points": Rule(
        title="the share of the most frequent point of a cloud",
        unit=" %",
        above=Limit(doubt=2.0, cause="a mark of missing returns? Leave these points out, or write them as 0, 0, 0"),
        source="real clouds here: at most 0.2 %; drivers mark missing returns by one value",
    ),
    "points": Rule(
        title="the number of points of a cloud (median)",
        over="median",
        below=Limit(doubt=100.0, fault=10.0, cause="that is no sweep: look at how clouds are cropped and written"),
        source="one line of a LiDAR has some hundred points",
    ),
    "reach": Rule(
        title="the distance that holds 95 % of the points (median)",
        unit=" m",
        over="median",
        below=Limit(doubt=4.0, fault=1.0, cause="kilometres, or normalised?", conventions=(CLOUD,)),
        above=Limit(doubt=200.0, fault=1000.0, cause="millimetres, or another layout?", conventions=(CLOUD,)),
        source="real clouds here: 20 to 80 m",
    ),
    "beyond-range": Rule(
        title="the share of points beyond max_range_m",
        unit=" %",
        above=Limit(
            doubt=10.0,
            fault=25.0,
            cause="other units or layout?",
            conventions=(
                CLOUD,
                SENSOR,
            ),
        ),
        source="real scans 0 %, float64 read as float32 41 %; only of single sweeps, since submaps reach further",
    ),
    "outside-view": Rule(
        title="the share of points outside the LiDAR's vertical field of view",
        unit=" %",
        above=Limit(
            doubt=5.0,
            fault=25.0,
            cause="other axes, units or layout?",
            conventions=(
                CLOUD,
                SENSOR,
            ),
        ),
        source="real KITTI scans: at most 0.3 %, with 2° of slack",
    ),
    "view-used": Rule(
        title="the share of the LiDAR's vertical field of view that points fill",
        unit=" %",
        below=Limit(
            doubt=30.0,
            cause="the cloud is flat, or of another sensor",
            conventions=(
                SENSOR,
                CLOUD,
            ),
        ),
        source="real KITTI scans: 95 to 100 %",
    ),
    "high": Rule(
        title="the share of points more than 30 m above or below the LiDAR",
        unit=" %",
        above=Limit(doubt=2.0, cause="not x, y, z in metres?", conventions=(CLOUD,)),
        source="real KITTI scans 0 %, other layouts 3 to 25 %; of a drone at 40 m nearly all",
    ),
    "below": Rule(
        title="the share of points more than 6 m below the LiDAR",
        unit=" %",
        above=Limit(doubt=5.0, cause="a vehicle stands on the ground: upside down?", conventions=(CLOUD,)),
        source="real KITTI scans 0 %, submaps of the town upside down 15 %; said of submaps too, which have no ground",
    ),
    "flat": Rule(
        title="the height from the lowest to the highest points (2 % to 98 %)",
        unit=" m",
        over="median",
        below=Limit(doubt=0.5, cause="the cloud is a plane, as of a LiDAR of one beam", conventions=(CLOUD,)),
        source="real KITTI scans: 2.7 to 3.9 m",
    ),
    "ground": Rule(
        title="the height of the ground in the axes of the LiDAR",
        unit=" m",
        over="median",
        below=Limit(doubt=-4.5, cause="no car is that high: a drone, feet, other axes?", conventions=(CLOUD,)),
        above=Limit(
            doubt=-0.15, fault=1.5, cause="the ground is below a LiDAR: removed, or z downwards?", conventions=(CLOUD,)
        ),
        source="cars 1.7 to 2.1 m, robots 0.3 to 1 m; only of single sweeps, since submaps have no ground",
    ),
    "clouds-and-poses": Rule(
        title="how much better neighbouring clouds overlap if they are read in another way",
        unit=" %",
        above=Limit(
            doubt=12.0,
            fault=30.0,
            cause="clouds do not move as their poses do",
            conventions=(
                CLOUD,
                HEADING,
            ),
        ),
        source="real KITTI scans: at most 0.5 %; turned or mirrored ones 40 to 75 %",
    ),
    "overlap": Rule(
        title="the share of points on standing things that the next cloud, moved by the poses, has too",
        unit=" %",
        below=Limit(
            doubt=12.0,
            cause="sparse clouds, or those of other poses? Look at their order",
            conventions=(
                HEADING,
                CLOUD,
            ),
        ),
        source="real KITTI scans 73 to 75 %, sweeps of 64 beams and 512 columns 25 %, clouds of other frames 5 %",
    ),
    "in-view": Rule(
        title="the share of points in view of the camera (mean over sampled clouds)",
        unit=" %",
        below=Limit(
            doubt=2.0,
            fault=0.2,
            cause="image and cloud see nothing in common",
            conventions=(
                MOUNT,
                PINHOLE,
            ),
        ),
        source="real KITTI scans: 14 to 17 %",
    ),
    "view-covered": Rule(
        title="the share of the image's width in which there are points",
        unit=" %",
        below=Limit(
            doubt=60.0,
            cause="the cloud sees little of what the camera sees",
            conventions=(
                MOUNT,
                PINHOLE,
            ),
        ),
        source="real KITTI scans: all of it",
    ),
    "frozen-clouds": Rule(
        title="the share of sampled clouds that are equal to another one",
        unit=" %",
        above=Limit(doubt=0.0, fault=50.0, cause="the same sweep was stored again: look at the recording"),
        source="no two sweeps are equal",
    ),
    # --- sampled images ------------------------------------------------------------------------------
    "blank-images": Rule(
        title="the share of sampled images that are of one grey",
        unit=" %",
        above=Limit(doubt=0.0, fault=50.0, cause="nothing is on them: look at exposure, bit depth and conversion"),
        source="images at night vary by 15 levels and more, and nearly black ones by 1",
    ),
    "brightness": Rule(
        title="the mean grey level of the images",
        over="median",
        below=Limit(doubt=10.0, cause="dark: night, a closed shutter, or 12 bits stored as 16? Look at some images"),
        above=Limit(doubt=245.0, cause="all but white: were more than 8 bits cut off? Look at some images"),
        source="real images here: 60 to 150, at night 15 and more",
    ),
    "turned-images": Rule(
        title="the share of sampled images whose EXIF data says that they are to be turned",
        unit=" %",
        above=Limit(doubt=0.0, cause="pixels are taken as stored: turn them for good and take the tag out"),
        source="the tag of cameras that were held upright",
    ),
    "image-order": Rule(
        title="the share of far images that resemble an image less than its neighbour does",
        unit=" %",
        per="dataset",
        below=Limit(doubt=70.0, cause="images are not in the order of the poses: look at the column image"),
        source="drives here 90 to 100 %, images in any order 50 %",
    ),
    "frozen-images": Rule(
        title="the share of sampled images that are equal to another one",
        unit=" %",
        above=Limit(doubt=0.0, fault=50.0, cause="the same picture was stored again: look at the recording"),
        source="no two pictures of a camera are equal",
    ),
}
