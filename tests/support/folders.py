"""Whole folders, compared so that what differs can be read."""

from itertools import zip_longest
from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, hidden ones too, by its path there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def differences(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """A line for every file that is missing, not expected, or other than expected, with the first bytes that are."""
    lines = [f"{name}: missing" for name in expected.keys() - found.keys()]
    lines += [f"{name}: not expected" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        if found[name] != expected[name]:
            at = next(i for i, (a, b) in enumerate(zip_longest(expected[name], found[name])) if a != b)
            here = slice(max(at - 8, 0), at + 24)
            lines.append(f"{name}: byte {at}: {expected[name][here]!r} became {found[name][here]!r}")
    return sorted(lines)
