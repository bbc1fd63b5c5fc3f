"""Folders that no test may leave, and the worlds that several tests share."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.frames.preparing import locate, look_at, prepare
from datasets.base import Frames, Intrinsics, Lidar, Traversal
from datasets.prepared import PreparedDataset, make_fingerprint, quaternion_wxyz, write_prepared

TEST_DATA = Path(os.environ.get("CROSSPLACE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
"""Real data beside the project, read only."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """``--benchmark-only`` collects tests/benchmarks and nothing else; without it that folder is left out."""
    if not collection_path.name.startswith("test_"):
        return None
    return ("benchmarks" in collection_path.parts) != bool(config.getoption("benchmark_only")) or None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, then those with many tests: no process is left alone with a long one."""
    sizes = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -sizes[item.path]))


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """``$CROSSPLACE_DATA`` of all tests; the working directory (and so ``runs/``) is a temporary one too."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSPLACE_DATA", str(folder))
        patch.chdir(tmp_path_factory.mktemp("working-directory"))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk() -> Iterator[None]:
    """Files of tests reach no disk before they are deleted: no test stops the machine, and killed processes keep them.

    A command that a test starts as a process of its own waits for the disk as users' commands do.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sync", lambda: None)
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def shared_data_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """What all processes of pytest-xdist can read: beside the temporary folder that each has. None: one process alone.

    A process that a test of such a process began is no process of pytest-xdist.
    """
    is_one_of_many = hasattr(request.config, "workerinput")
    return tmp_path_factory.getbasetemp().parent / "shared-data" if is_one_of_many else None


@pytest.fixture(scope="session")
def tiny_town(data_folder: Path, shared_data_folder: Path | None) -> PreparedDataset:
    """The town's smallest preset, prepared once below ``$CROSSPLACE_DATA``: ``--dataset-options preset=tiny``.

    The processes of pytest-xdist make its frames once, and each has a copy that it may change.
    """
    location = locate("town", None, ["preset=tiny"])
    if shared_data_folder and not location.is_prepared:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CROSSPLACE_DATA", str(shared_data_folder))
            shared = prepare(locate("town", None, ["preset=tiny"]))  # the first makes it, and the others wait for that
        shutil.copytree(shared.folder, location.folder)
        look_at(PreparedDataset.read(location.folder))  # as if it had been prepared here
    return prepare(location)


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Folders of real data by name; a test that asks for one that is not there is skipped."""

    def find(name: str) -> Path:
        if not (TEST_DATA / name).is_dir():
            pytest.skip(f"no real data at {TEST_DATA / name}; set CROSSPLACE_TEST_DATA")
        return TEST_DATA / name

    return find


@pytest.fixture(scope="session")
def kitti_mini(real_data: Callable[[str], Path]) -> Path:
    """Real KITTI frames in the odometry layout."""
    return real_data("kitti-mini")


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Three drives along one road, 12 frames each, 12 m apart: east, then north. See :func:`write_small_world`."""
    return write_small_world(tmp_path_factory.mktemp("small-world"))


N_FRAMES, STEP_M, N_EAST = 12, 12.0, 8
CONDITIONS = {"morning": "day", "evening": "dusk", "midnight": "night"}
INTRINSICS = Intrinsics(fx=16.0, fy=16.0, cx=16.0, cy=12.0, width=32, height=24)
CAMERA_FROM_LIDAR = np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.2], [0, 0, 0, 1]])
LIDAR = Lidar(beams=16, vertical_fov_deg=(-15.0, 15.0), max_range_m=40.0, form="scan")


def write_small_world(folder: Path) -> PreparedDataset:
    """Write the small world into ``folder``: per place one random picture and cloud, with noise per drive.

    Frame i of each drive is within 2 m of frame i of the others, and 12 m from its neighbours; frames 8 to 11 head
    north. Clouds have a floor and a wall ahead, so that points are in view of the camera.
    """
    random = np.random.default_rng(0)
    pictures = random.integers(0, 200, (N_FRAMES, INTRINSICS.height, INTRINSICS.width, 3))
    walls = random.uniform((4, -6, -1), (20, 6, 6), (N_FRAMES, 300, 3))
    floors = random.uniform((-20, -20, -1.6), (20, 20, -1.5), (N_FRAMES, 200, 3))
    for part in ("images", "clouds"):
        (folder / part).mkdir()
    for drive in CONDITIONS:
        for i in range(N_FRAMES):
            pixels = pictures[i] + random.integers(0, 40, pictures[i].shape)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{drive}-{i}.png")
            points = np.concatenate([walls[i], floors[i]]) + random.normal(scale=0.05, size=(500, 3))
            np.save(folder / "clouds" / f"{drive}-{i}.npy", points.astype(np.float32))
    write_prepared(
        folder,
        name="small_world",
        version=1,
        options={},
        fingerprint=make_fingerprint("small_world", 1, {}, []),
        traversals=[
            Traversal(
                name=name,
                condition=condition,
                georeferenced=False,
                intrinsics=INTRINSICS,
                camera_from_lidar=CAMERA_FROM_LIDAR,
                lidar=LIDAR,
            )
            for name, condition in CONDITIONS.items()
        ],
        frames=small_world_frames(),
        counts={"kept": N_FRAMES * len(CONDITIONS)},
    )
    return PreparedDataset.read(folder)


def small_world_frames() -> Frames:
    """Poses and paths of the small world; each further drive is a metre further left and a day later."""
    number = np.tile(np.arange(N_FRAMES), len(CONDITIONS))
    day = np.repeat(np.arange(len(CONDITIONS)), N_FRAMES)
    east, north = np.minimum(number, N_EAST - 1) * STEP_M, np.maximum(number - N_EAST + 1, 0) * STEP_M
    yaw = np.where(number < N_EAST, 0.0, np.pi / 2)
    cos, sin, zero, one = np.cos(yaw), np.sin(yaw), np.zeros(len(yaw)), np.ones(len(yaw))
    rotation = np.array([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]]).transpose(2, 0, 1)
    names = [f"{name}-{i}" for name in CONDITIONS for i in range(N_FRAMES)]
    return Frames(
        frame_id=np.array(names, dtype=object),
        traversal=np.repeat(np.array(list(CONDITIONS), dtype=object), N_FRAMES),
        world=np.full(len(names), "small", dtype=object),
        timestamp_ns=(day * 86_400 + number) * 1_000_000_000,
        position_m=np.column_stack([east - sin * day, north + cos * day, zero]),
        quaternion_wxyz=quaternion_wxyz(rotation),
        yaw_rad=yaw,
        image=np.array([f"images/{name}.png" for name in names], dtype=object),
        cloud=np.array([f"clouds/{name}.npy" for name in names], dtype=object),
    )
