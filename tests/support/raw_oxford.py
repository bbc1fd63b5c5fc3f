"""Raw files of Oxford that only tests write: as VXP keeps a run, and a run of many small frames without a town."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.samples.oxford import START_US, RawRun, mosaiced, taken, write_models


def rearrange(official: Path, to: Path, run: RawRun) -> None:
    """The same run as VXP keeps it: images in colour but still distorted, and no lists of times."""
    shutil.copytree(official / "models", to / "models")
    shutil.copytree(official / run.name / "gps", to / "gps" / run.name)
    shutil.copytree(official / run.name / "lms_front", to / "lms_front" / run.name)
    (to / "image" / run.name).mkdir(parents=True)
    for stamp in run.image_stamps_us.tolist():
        Image.fromarray(taken(run, stamp)).save(to / "image" / run.name / f"{stamp}.png")


STREET = "2014-06-26-09-31-18"


def write_street(source: Path, n_images: int) -> None:
    """A run without a town, for many small frames: an image a second at 6 m/s on a straight street north.

    Six sweeps a second, until six seconds after the last image, see a level ground and a wall on the left.
    """
    random, size = np.random.default_rng(0), (16, 12)
    write_models(source / "models", RawRun(size=size).camera)
    folder = source / STREET
    for part in ("stereo/centre", "lms_front", "gps"):
        (folder / part).mkdir(parents=True)
    images = START_US + np.arange(n_images) * 10**6
    sweeps = START_US + np.arange(6 * n_images + 30) * 10**6 // 6
    for stamp in images:
        colours = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(mosaiced(colours)).save(folder / "stereo" / "centre" / f"{stamp}.png")
    floor = np.column_stack([np.full(20, 0.5), np.linspace(-6, 6, 20), np.ones(20)])  # half a metre below the scanner
    wall = np.column_stack([np.linspace(-6, 0, 12), np.full(12, 7.0), np.ones(12)])
    for stamp in sweeps:
        sweep = np.concatenate([floor, wall]) + random.normal(scale=0.02, size=(32, 3))
        sweep.astype("<f8").tofile(folder / "lms_front" / f"{stamp}.bin")
    lines = [
        f"{START_US + i * 10**5},INS_SOLUTION_GOOD,{0.6 * i:.6f},0.5,-100.0,0.01,-0.02,0.03"
        for i in range(-2, 10 * n_images + 60)
    ]
    header = "timestamp,ins_status,northing,easting,down,roll,pitch,yaw"
    (folder / "gps" / "ins.csv").write_text("\n".join([header, *lines]) + "\n")
    for name, stamps in (("stereo", images), ("lms_front", sweeps)):
        (folder / f"{name}.timestamps").write_text("".join(f"{stamp} 1\n" for stamp in stamps))
