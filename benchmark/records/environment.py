"""What a number was measured with: machine, libraries, code revision."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import benchmark
from datasets.errors import CrossplaceError

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "scipy", "spconv-cu126", "spconv-cu120")
REPOSITORY = Path(__file__).resolve().parents[2]


def environment(device: torch.device) -> dict[str, Any]:
    """Hardware, libraries and settings of this process."""
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else _processor(),
        "device_type": device.type,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "precision": "32-true",  # of encoding and timing, whatever the training ran in
        "tf32": bool(on_gpu and torch.backends.cuda.matmul.allow_tf32),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: found for name in LIBRARIES if (found := _version(name))},
    }


def harness() -> dict[str, Any]:
    """Version of the suite, git revision, and whether files other than results/ differ from it."""
    revision = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!results")
    return {
        "version": benchmark.__version__,
        "git_revision": revision,
        "dirty": None if changed is None else bool(changed),
    }


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA if there is one, else the CPU; other names as torch knows them."""
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise CrossplaceError(f"unknown device {name!r}; choose auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise CrossplaceError(f"device {name!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices")
    return device


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    if not (REPOSITORY / ".git").exists():
        return None  # installed: git would answer for whatever repository lies around the environment
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
