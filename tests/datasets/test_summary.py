from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.base import Frames, Traversal
from datasets.prepared import PreparedDataset, write_prepared
from datasets.summary import TraversalSummary, spread, summarise


def dataset_of(folder: Path, east_m: list[float], time_s: list[float], images: bool, clouds: bool) -> PreparedDataset:
    """One traversal along the east axis; cloud ``i`` has ``i`` points."""
    n = len(east_m)
    Image.new("RGB", (6, 4)).save(folder / "image.png")
    for i in range(n):
        np.save(folder / f"{i}.npy", np.ones((i, 3), dtype=np.float32))

    def text(values: list[str]) -> np.ndarray:
        return np.array(values, dtype=object)

    write_prepared(
        folder,
        name="line",
        version=1,
        options={},
        fingerprint="",
        traversals=[
            Traversal(
                name="a", condition="night", georeferenced=False, intrinsics=None, camera_from_lidar=None, lidar=None
            )
        ],
        frames=Frames(
            frame_id=text([f"a/{i}" for i in range(n)]),
            traversal=text(["a"] * n),
            world=text(["line"] * n),
            timestamp_ns=np.array([round(t * 1e9) for t in time_s]),
            position_m=np.c_[east_m, np.zeros(n), np.arange(n)],
            quaternion_wxyz=np.tile([1.0, 0, 0, 0], (n, 1)),
            yaw_rad=np.zeros(n),
            image=text(["image.png" if images else ""] * n),
            cloud=text([f"{i}.npy" if clouds else "" for i in range(n)]),
        ),
        counts={},
    )
    return PreparedDataset.read(folder)


def test_a_traversal_in_numbers(tmp_path: Path) -> None:
    # Out 30 m and back: at 40 s back within 10 m of the start (0 s), at 60 s at the start itself;
    # at 29 s within 10 m of frame 1 but too early.
    dataset = dataset_of(tmp_path, [0, 20, 30, 21, 10, 0], [0, 10, 20, 29, 40, 60], images=True, clouds=True)
    assert summarise(dataset) == [
        TraversalSummary(
            traversal="a",
            condition="night",
            frames=6,
            length_m=20.0 + 10 + 9 + 11 + 10,
            minutes=1.0,
            revisits=2,
            points_per_cloud=round((0 + 1 + 2 + 3 + 4 + 5) / 6),
            image_size="6×4",
        )
    ]


def test_a_traversal_without_images_or_clouds(tmp_path: Path) -> None:
    (row,) = summarise(dataset_of(tmp_path, [0], [5], images=False, clouds=False))
    assert (row.frames, row.length_m, row.minutes, row.revisits) == (1, 0, 0, 0)
    assert (row.points_per_cloud, row.image_size) == (None, "")


@pytest.mark.parametrize(
    ("n", "count", "expected"), [(9, 3, [1, 4, 7]), (3, 5, [0, 1, 2]), (4, 1, [2]), (0, 4, []), (5, 5, [0, 1, 2, 3, 4])]
)
def test_spread_takes_the_middles_of_equal_parts(n: int, count: int, expected: list[int]) -> None:
    assert spread(np.arange(n), count).tolist() == expected
