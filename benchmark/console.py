"""What a person sees: answers on standard output; while waiting, bars on a terminal, plain lines otherwise.

Of several processes that train together, only the first one speaks.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmark.machine import rank_and_size

QUIET_S = 15.0
"""Without a terminal, long loops report this often."""

T = TypeVar("T")
log = logging.getLogger(__name__)
console = Console(stderr=True)


def configure_logging() -> None:
    """Messages on standard error: coloured on a terminal, ``HH:MM:SS message`` otherwise."""
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_level=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    for name in ("benchmark", "methods", "datasets"):
        package = logging.getLogger(name)
        package.setLevel(logging.INFO if _speaks() else logging.ERROR)
        package.handlers = [handler]
        package.propagate = False


def say(text: str) -> None:
    """What a command was asked for, on standard output."""
    if _speaks():
        sys.stdout.write(text + "\n")


def _speaks() -> bool:
    return rank_and_size()[0] == 0


def is_asked() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty() and console.is_terminal


def confirmed(question: str) -> bool:
    """Whether the person at the terminal answers yes."""
    return console.input(f"{question} (y/N) ").strip().lower() in ("y", "yes")


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Iterate while showing how far along ``items`` is."""
    if not _speaks():
        yield from items
        return
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            yield from progress.track(items, total=total, description=what)
        return
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last > QUIET_S:
            last = time.monotonic()
            log.info("%s: %d of %d", what, done, total)
