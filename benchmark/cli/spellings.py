"""Spellings of earlier versions, as the commands that do the work now."""

from collections.abc import Sequence

ALL = "all"
"""Name of every method together, in the spelling of earlier versions."""


def of_today(arguments: Sequence[str]) -> list[str]:
    """Arguments of an earlier version as those of today; anything else stays as it is.

    ``bench --study NAME`` is ``study NAME``, ``bench --method all`` is ``sweep``, and ``evaluate --descriptors DIR`` is
    ``score DIR``.
    """
    command, rest = ("", []) if not arguments else (arguments[0], [*arguments[1:]])
    study, without = _taken(rest, "--study")
    if command == "bench" and study is not None:
        return ["study", study, *without]
    method, without = _taken(rest, "--method")
    if command == "bench" and method == ALL:
        return ["sweep", *without]
    folder, without = _taken(rest, "--descriptors")
    if command == "evaluate" and folder is not None:
        return ["score", folder, *without]
    return [*arguments]


def _taken(arguments: Sequence[str], option: str) -> tuple[str | None, list[str]]:
    """The value of ``option`` and the arguments without it; no value if it is not there or lacks one."""
    for place, word in enumerate(arguments):
        if word.startswith(f"{option}="):
            return word.partition("=")[2], [*arguments[:place], *arguments[place + 1 :]]
        if word == option and place + 1 < len(arguments):
            return arguments[place + 1], [*arguments[:place], *arguments[place + 2 :]]
    return None, [*arguments]
