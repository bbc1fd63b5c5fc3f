"""Work in a process of its own: nothing that was done before is in its memory, and its end ends nothing else."""

import logging
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from benchmark.console import configure_logging
from datasets.errors import CrossplaceError

T = TypeVar("T")
log = logging.getLogger(__name__)


def in_its_own_process(run: Callable[..., T], *arguments: Any) -> T | str:
    """What ``run`` gives in a fresh process, or in a sentence why there is nothing; ``run`` itself gives no text."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(run, arguments, sender))
    process.start()
    sender.close()
    try:
        found: T | str = receiver.recv()
    except EOFError:
        process.join()
        return f"its process ended with exit code {process.exitcode} (-9 is most often lack of memory)"
    finally:
        receiver.close()
    process.join()
    return found


def _answer(run: Callable[..., Any], arguments: tuple[Any, ...], sender: Connection) -> None:
    configure_logging()
    try:
        sender.send(run(*arguments))
    except Exception as error:  # a method's own fault must not take the others with it
        sender.send(in_words(error))


def in_words(error: Exception) -> str:
    """An error in one line; whatever is no user's mistake is also logged, with where it happened."""
    words = " ".join(str(error).split())
    if isinstance(error, CrossplaceError):
        return words
    log.warning("".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {words}"
