"""Work in a process of its own: nothing that was done before is in its memory, and its end ends nothing else."""

import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from benchmark.console import configure_logging
from datasets.errors import CrossplaceError
from datasets.jobs import end_with_parent

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Started(Generic[T]):
    """Work that a fresh process does."""

    process: BaseProcess
    receiver: Connection

    def answer(self) -> T | str:
        """What came out, or in a sentence why nothing did; waits for the end."""
        try:
            found: T | str = self.receiver.recv()
        except EOFError:
            self.process.join()
            return f"its process ended with exit code {self.process.exitcode} (-9 is most often lack of memory)"
        finally:
            self.receiver.close()
        self.process.join()
        return found

    def end(self) -> None:
        """End it before it has an answer."""
        self.process.kill()
        self.process.join()
        self.receiver.close()


def start(run: Callable[..., T], *arguments: Any, environment: Mapping[str, str] | None = None) -> Started[T]:
    """Let a fresh process do ``run(*arguments)``; ``run`` itself gives no text, which stands for a failure.

    ``environment`` is added to this process's own before the new one imports anything. The process ends with this one,
    however this one ends.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(run, arguments, sender))
    with _environment(environment or {}):
        process.start()
    sender.close()
    return Started(process=process, receiver=receiver)


@contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    """Let processes that are started meanwhile find these variables."""
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def ended(works: Sequence[Started[Any]]) -> list[Started[Any]]:
    """Those of ``works`` that have ended, or have an answer; waits until there is one."""
    ready = connection.wait([work.receiver for work in works])
    return [work for work in works if work.receiver in ready]


def in_its_own_process(run: Callable[..., T], *arguments: Any) -> T | str:
    """What ``run`` gives in a fresh process, or in a sentence why there is nothing; ``run`` itself gives no text."""
    return start(run, *arguments).answer()


def _answer(run: Callable[..., Any], arguments: tuple[Any, ...], sender: Connection) -> None:
    end_with_parent()
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
