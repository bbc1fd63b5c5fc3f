"""Which device is picked, and what is said of the machine, without torch."""

import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from benchmark import machine
from benchmark.machine import cuda_names, describe, identity, pick_device
from datasets.errors import CrossplaceError

Shown = Callable[..., None]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Make the driver show devices of these names."""

    def show(*names: str) -> None:
        monkeypatch.setattr(machine, "cuda_names", lambda: names)

    return show


@pytest.fixture
def asked_anew() -> Iterator[None]:
    """Names are remembered for a process: forget them before and after."""
    cuda_names.cache_clear()
    yield
    cuda_names.cache_clear()


def test_load_is_shared_by_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (6.0, 1.0, 1.0))
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 4)
    assert machine.load() == 1.5
    monkeypatch.delattr(machine.os, "getloadavg")
    assert machine.load() is None


def test_devices_by_name(shown: Shown) -> None:
    shown()
    assert pick_device("cpu") == "cpu"
    assert pick_device("auto") == "cpu"
    shown("One GPU", "Other GPU")
    assert pick_device("cpu") == "cpu"
    assert pick_device("auto") == "cuda"
    assert pick_device("cuda") == "cuda"
    assert pick_device("cuda:1") == "cuda:1"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "unknown device 'gpu'; choose auto, cpu, cuda or cuda:N"),
        ("cuda:", "unknown device 'cuda:'"),
        ("cuda:-1", "unknown device"),
        ("cuda", "device 'cuda' is not there: this machine shows 0 CUDA devices"),
        ("cuda:3", "device 'cuda:3' is not there"),
    ],
)
def test_a_device_that_is_not_there_is_a_sentence(shown: Shown, name: str, message: str) -> None:
    shown()
    with pytest.raises(CrossplaceError, match=message):
        pick_device(name)


def test_the_first_number_that_is_too_large_is_refused(shown: Shown) -> None:
    shown("One GPU", "Other GPU")
    with pytest.raises(CrossplaceError, match="device 'cuda:2' is not there: this machine shows 2 CUDA devices"):
        pick_device("cuda:2")


def test_the_gpu_of_a_number_is_named_by_it(shown: Shown) -> None:
    shown("One GPU", "Other GPU")
    for device, name in {"cuda": "One GPU", "cuda:0": "One GPU", "cuda:1": "Other GPU"}.items():
        assert (describe(device)["device"], describe(device)["device_type"]) == (name, "cuda")


def test_identity_is_the_machine_and_the_threads_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert identity("cpu") == describe("cpu") | {"omp_num_threads": "3"}
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert identity("cpu") == describe("cpu") | {"omp_num_threads": ""}


@pytest.mark.usefixtures("asked_anew")
def test_a_torch_without_cuda_is_not_asked_for_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise AssertionError(f"{name} was opened")

    monkeypatch.setattr(machine.ctypes, "CDLL", fail)
    monkeypatch.setattr(machine, "_version", lambda name: "2.9.0+cpu")
    assert cuda_names() == ()


@pytest.mark.usefixtures("asked_anew")
def test_a_machine_without_driver_shows_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(machine.ctypes, "CDLL", fail)
    monkeypatch.setattr(machine, "_version", lambda name: "2.9.0")
    assert cuda_names() == ()


class Driver(ctypes.CDLL):
    """A driver with two devices, or one that does not start."""

    def __init__(self, error: int = 0) -> None:
        self.error = error

    def cuInit(self, flags: int) -> int:
        return self.error

    def cuDeviceGetCount(self, count: object) -> int:
        count._obj.value = 2  # type: ignore[attr-defined]
        return 0

    def cuDeviceGet(self, device: object, number: int) -> int:
        device._obj.value = number  # type: ignore[attr-defined]
        return 0

    def cuDeviceGetName(self, name: object, size: int, device: object) -> int:
        name.value = f"GPU {device.value}".encode()  # type: ignore[attr-defined]
        return 0


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize(("error", "names"), [(0, ("GPU 0", "GPU 1")), (100, ())])
def test_the_driver_is_asked_once(monkeypatch: pytest.MonkeyPatch, error: int, names: tuple[str, ...]) -> None:
    opened = []

    def open_driver(name: str) -> Driver:
        opened.append(name)
        return Driver(error)

    monkeypatch.setattr(machine.ctypes, "CDLL", open_driver)
    monkeypatch.setattr(machine, "_version", lambda name: None)
    assert (cuda_names(), cuda_names()) == (names, names)
    assert opened == ["libcuda.so.1"]


def test_no_torch_is_imported() -> None:
    code = "import sys, benchmark.machine as m; m.identity(m.pick_device('cpu')); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
