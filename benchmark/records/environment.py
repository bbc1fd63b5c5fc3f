"""What a number was measured with: machine, settings, code revision."""

import subprocess
from pathlib import Path
from typing import Any

import benchmark
from benchmark import machine

REPOSITORY = Path(__file__).resolve().parents[2]


def environment(device: str, *, threads: int | None = None, tf32: bool = False, **settings: Any) -> dict[str, Any]:
    """Hardware, libraries and settings of this process; ``threads`` are those that a network computes with."""
    return {
        **machine.describe(device),
        "threads": threads,
        "precision": "32-true",  # of encoding and timing, whatever the training ran in
        "tf32": tf32,
        **settings,
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


def _git(*arguments: str) -> str | None:
    if not (REPOSITORY / ".git").exists():
        return None  # installed: git would answer for whatever repository lies around the environment
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
