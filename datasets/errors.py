"""The one exception type that reaches a user as a sentence instead of a traceback, and the sentence for a name."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path


class CrossplaceError(Exception):
    """Something the user can mend: the message says what was expected, what was found, where, and what to do next."""


class NotFetched(CrossplaceError):
    """Data that is not here, and that one command fetches."""

    def __init__(self, dataset: str, sentence: str) -> None:
        super().__init__(sentence)
        self.dataset = dataset


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """The sentence for ``name``, which is no ``kind`` in ``known``: the names near it, then all of them."""
    near = [k for k in known if name and name in k] or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Available: {', '.join(known)}"


def install(extra: str) -> str:
    """The command that installs what an extra holds, in a checkout as elsewhere, for the end of a sentence."""
    return f"python -m pip install 'crossplace[{extra}]'"


def made_anew(path: Path) -> str:
    """The cure for a wrong prepared file: without ``path`` (the file, or its folder), the suite writes it again."""
    return f"correct it if you made it; if the suite did, delete {path} and prepare the dataset again"


def leave_out(option: str, faults: Mapping[str, Sequence[str]]) -> str:
    """The cure for what is wrong in the published files themselves: the ``option`` that names the parts without faults.

    ``faults`` has all parts (runs, sequences) with what is wrong with each. The text is empty if none would be left.
    """
    whole = ", ".join(f'"{part}"' for part, found in faults.items() if not found)
    faulty = ", ".join(part for part, found in faults.items() if found)
    words = f"if the files are so where they come from, leave {faulty} out: --dataset-options '{option}=[{whole}]'"
    return words if whole and faulty else ""


def refuse(dataset: str, option: str, faults: Mapping[str, Sequence[str]]) -> None:
    """Raise :class:`CrossplaceError` if any part of a source has a fault; it says the first, and how to do without."""
    found = [fault for part in faults.values() for fault in part]
    if found:
        more = f" ({len(found) - 1} more: see `crossplace data check {dataset}`)" if len(found) > 1 else ""
        raise CrossplaceError("; ".join(filter(None, [found[0] + more, leave_out(option, faults)])))
