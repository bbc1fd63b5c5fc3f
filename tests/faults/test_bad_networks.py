"""Downloads over networks that fail in every way, and downloads that are killed: the same bytes, or one sentence."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from http_store import LASTING, PASSING, HttpStore, serving
from small_stores import DAY, NIGHT, TWO, boreas_files, fetched_into, files_in, kitti_files

from datasets.errors import CrossplaceError
from datasets.fetching.boreas import BoreasStore
from datasets.fetching.kitti import KittiStore
from datasets.fetching.store import Store, Wish

pytestmark = pytest.mark.slow

QUICK = tuple(kind for kind in PASSING if kind not in ("slow", "stall"))
CURES = ("give the same command again", "look at the address", "--mirror")
STORES = {"kitti": KittiStore, "boreas": BoreasStore}
WISHES = {"kitti": Wish(runs=("04",), spacing_m=10.0), "boreas": TWO}
FILES = {"kitti": kitti_files({"04": 40}), "boreas": boreas_files([DAY, NIGHT])}
CHANGED = {
    "kitti": {"/data_odometry_color.zip": kitti_files({"04": 41})["/data_odometry_color.zip"]},
    "boreas": {f"/{NIGHT}/calib/P_camera.txt": FILES["boreas"][f"/{NIGHT}/calib/P_camera.txt"] + b"\n"},
}
"""What is another file for a while: an archive, a calibration."""


@pytest.fixture
def server() -> Iterator[HttpStore]:
    with serving(HttpStore()) as store:
        yield store


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What each store's folder holds after a fetch without a fault."""
    found = {}
    for name, kind in STORES.items():
        folder = tmp_path_factory.mktemp("clean") / name
        with serving(HttpStore(FILES[name])) as store:
            fetched_into(folder, kind(store.address), WISHES[name])
        found[name] = files_in(folder)
    return found


def sentence_of(store: Store, wish: Wish, folder: Path) -> str:
    """What is said in the end; empty if all was fetched."""
    try:
        fetched_into(folder, store, wish)
    except CrossplaceError as error:
        return str(error)
    return ""


def drawn(seed: int, kinds: tuple[str, ...]) -> Callable[[str, int], str]:
    """A fault at a quarter of the requests, drawn by their numbers."""

    def fault(path: str, number: int) -> str:
        random = np.random.default_rng([seed, number])
        return str(random.choice(kinds)) if random.random() < 0.25 else ""

    return fault


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("name", STORES)
def test_a_hundred_bad_networks(
    name: str, seed: int, server: HttpStore, clean: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """Files change meanwhile, too. The cure is the same command, when network and store are as they should be."""
    store, wish, good = STORES[name](server.address), WISHES[name], FILES[name]
    bad = drawn(seed, QUICK + (LASTING if seed % 2 else ()) + (("slow", "stall") if seed % 10 == 0 else ()))

    def fault(path: str, number: int) -> str:
        if number == 5 + seed % 20 and seed % 3 == 0:
            server.files = good | CHANGED[name]
        return bad(path, number)

    server.files, server.silence_s, server.fault = good, 0.25, fault
    if sentence := sentence_of(store, wish, tmp_path / "raw"):
        assert sentence.startswith(server.address)
        assert any(cure in sentence for cure in CURES), sentence
        assert "\n" not in sentence
    server.files, server.fault = good, lambda path, number: ""
    assert not sentence_of(store, wish, tmp_path / "raw")
    assert files_in(tmp_path / "raw") == clean[name]


@pytest.mark.parametrize("name", STORES)
def test_ten_kills_of_each_store(
    name: str, server: HttpStore, clean: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """Each process is killed after some more requests, in the middle of a body or of writing one."""
    server.files, server.pause_s = FILES[name], 0.01
    store = STORES[name](server.address)
    code = "\n".join(
        [
            "from pathlib import Path",
            "from datasets.fetching.fetch import fetching",
            f"from {type(store).__module__} import {type(store).__name__} as Kind",
            "from datasets.fetching.store import Wish",
            "from datasets.fetching.transfer import Transfer",
            f"store, wish, folder = Kind({server.address!r}), {WISHES[name]!r}, Path({str(tmp_path / 'raw')!r})",
            "with Transfer() as transfer, fetching(store, wish, folder, transfer, connections=2) as work:",
            "    list(work.tables()), list(work.frames())",
        ]
    )
    random, killed = np.random.default_rng(1), 0
    root = str(Path(__file__).parents[2])
    while killed < 10:
        last = len(server.seen) + int(random.integers(1, 9))
        process = subprocess.Popen([sys.executable, "-c", code], env={"PYTHONPATH": root}, stderr=subprocess.PIPE)
        while len(server.seen) < last and process.poll() is None:
            time.sleep(0.001)
        time.sleep(float(random.random()) * 0.01)
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        killed += 1
        assert process.returncode in (-signal.SIGKILL, 0), said.decode()
    assert not sentence_of(store, WISHES[name], tmp_path / "raw")
    assert files_in(tmp_path / "raw") == clean[name]
    assert not [path for path in (tmp_path / "raw").rglob(".*") if path.is_file()], "nothing begun is left"
