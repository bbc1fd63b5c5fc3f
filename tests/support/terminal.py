"""A real pseudo-terminal of a given width, to see what a person sees."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def shown(arguments: Sequence[str], columns: int, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    """What ``python arguments…`` prints on a terminal with so many columns; colours and carriage returns removed."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    variables = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1", **(environment or {})}
    for name in ("COLUMNS", "LINES"):
        variables.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=cwd, env=variables, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    parts = []
    try:
        while part := os.read(leader, 65_536):
            parts.append(part)
    except OSError:  # Linux: the other end was closed
        pass
    finally:
        os.close(leader)
    assert process.wait() == 0, b"".join(parts).decode()
    return b"".join(parts).decode().replace("\r\n", "\n")
