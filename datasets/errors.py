"""The one exception type that reaches a user as a sentence instead of a traceback, and the sentence for a name."""

import difflib
from collections.abc import Sequence
from pathlib import Path


class CrossplaceError(Exception):
    """Something the user can mend: the message says what was expected, what was found, where, and what to do next."""


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """The sentence for ``name``, which is no ``kind`` in ``known``: the names near it, then all of them."""
    near = [k for k in known if name and name in k] or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Available: {', '.join(known)}"


def made_anew(folder: Path) -> str:
    """The cure for a wrong file of the prepared ``folder``, right for a person's own folder and for the suite's."""
    return f"write it again if it is yours, or delete {folder} and prepare the dataset again"
