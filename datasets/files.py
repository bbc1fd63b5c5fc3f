"""Files that are whole or absent, readers that answer damage with a sentence, and folders held by one process."""

import errno
import fcntl
import hashlib
import io
import json
import logging
import math
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

import numpy as np
from numpy import ndarray
from numpy.lib.format import MAGIC_PREFIX
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError

from datasets.errors import CrossplaceError

log = logging.getLogger(__name__)

Kind = TypeVar("Kind")
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, revalidate_instances="always")
"""The pydantic configuration of files in which every key must be known."""

ELSEWHERE = "choose another folder (--runs, --results, $CROSSPLACE_DATA)"
REMEDIES = {
    errno.ENOSPC: f"free space on that disk or {ELSEWHERE}",
    errno.EDQUOT: f"free some of your quota or {ELSEWHERE}",
    errno.EROFS: f"mount it writable or {ELSEWHERE}",
    errno.EACCES: f"ask for permission or {ELSEWHERE}",
    errno.EPERM: f"ask for permission or {ELSEWHERE}",
    errno.ENAMETOOLONG: f"shorten the names of dataset and traversals or {ELSEWHERE}",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
}
"""What to do about a file that cannot be written, by the number of the system's error."""


# --- names ---------------------------------------------------------------------------------------

LONGEST_NAME_BYTES = 80
"""Several names, a key and a lock's dot make up one folder's name, which can have 255 bytes."""
LONGEST_WHOLE_BYTES = 240
"""The limit for a name that stands alone, with a suffix at most."""


def name_fault(name: str, longest: int = LONGEST_NAME_BYTES) -> str:
    """Why ``name``, which comes with data, cannot be the name of a folder; the empty text if it can."""
    reasons = (
        (not name, "it is empty"),
        ("/" in name or "\\" in name, "it holds a slash or a backslash"),
        (name.startswith((".", "-")), "it begins with a dot or a hyphen"),
        (not name.isprintable(), "it holds a character that cannot be seen"),
        (len(name.encode("utf-8", "surrogatepass")) > longest, f"it has more than {longest} bytes"),
    )
    wrong = next((reason for applies, reason in reasons if applies), "")
    shown = name if len(name) <= LONGEST_NAME_BYTES else f"{name[:LONGEST_NAME_BYTES]}…"
    return f"{shown!r} cannot be the name of a folder, because {wrong}" if wrong else ""


def check_name(name: str, where: str, remedy: str) -> None:
    """Raise :class:`CrossplaceError` if ``name``, which was found at ``where``, cannot be the name of a folder."""
    if fault := name_fault(name):
        raise CrossplaceError(f"{where}: {fault}; {remedy}")


def folder_name(text: str) -> str:
    """A name for a folder made of any ``text``, for what people call in their own words."""
    words = re.sub(r"[^a-zA-Z0-9_.+-]+", "_", text).lstrip("._-")
    return words[:LONGEST_NAME_BYTES] or "unnamed"


def _as_name(name: str, longest: int = LONGEST_NAME_BYTES) -> str:
    if fault := name_fault(name, longest):
        raise ValueError(fault)
    return name


FolderName = Annotated[str, AfterValidator(_as_name)]
"""The type of a name in a file that becomes the name of a folder."""
RunName = Annotated[str, AfterValidator(partial(_as_name, longest=LONGEST_WHOLE_BYTES))]
"""The type of the name of a run's folder, which is made of several names."""

# --- writing -------------------------------------------------------------------------------------


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the system while ``path``, or a file below it, is written into a sentence with a remedy."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, f"look at that folder and at the free space, or {ELSEWHERE}")
        raise CrossplaceError(
            f"{path}: cannot be written ({error}); {remedy}, then give the same command again: what is finished stays"
        ) from error


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the whole new one, never a part.

    If the machine stops, rather than the process alone, this holds for ``durable`` files only. Thousands of small
    files are written much faster without it.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            part.chmod(0o644)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def npy(array: ndarray) -> bytes:
    """The content of a ``.npy`` file that holds ``array``; raises ``ValueError`` instead of writing a pickle."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


# --- reading -------------------------------------------------------------------------------------


def unreadable(path: Path | str, error: OSError) -> CrossplaceError:
    """The sentence for a file that the system does not let us read."""
    remedy = "allow reading it (chmod u+r)" if isinstance(error, PermissionError) else "put it there again"
    return CrossplaceError(f"{path}: not readable ({error.strerror or error}); {remedy}")


def read_text(path: Path) -> str:
    """The UTF-8 text in ``path``, without a byte order mark; raises :class:`CrossplaceError` naming the file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise CrossplaceError(
            f"{path}: not readable as UTF-8 text (line {line} has the byte 0x{error.object[error.start]:02x}); save it "
            "as UTF-8, or fetch it again if you did not write it"
        ) from error


def read_json(path: Path) -> Any:
    """The parsed JSON of ``path``, whose numbers must be finite; raises :class:`CrossplaceError` naming the file."""
    try:
        return json.loads(read_text(path), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise CrossplaceError(f"{path}: not valid JSON ({error})") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def read_npy(path: Path) -> ndarray:
    """The array in a ``.npy`` file, which must hold exactly one in this machine's byte order.

    Raises:
        CrossplaceError: the file is damaged in any way; the sentence names the file.
    """
    array, wrong = None, ""
    try:
        with path.open("rb") as file:
            is_npy = file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX
            file.seek(0)
            array = np.lib.format.read_array(file, allow_pickle=False)
            if file.read(1):
                wrong = "it goes on after the array"
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # many kinds: the header is parsed as Python
        wrong = "it holds Python objects" if "pickle" in str(error) else "it is cut off or damaged"
        wrong = wrong if is_npy else "it does not begin as .npy files do"
    if array is not None and not array.dtype.isnative:
        wrong = "its byte order is not this machine's"
    if array is None or wrong:
        raise CrossplaceError(
            f"{path}: not a readable array ({wrong}); write it again, with numpy.save or what wrote it"
        )
    return array


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes in hexadecimal; raises :class:`CrossplaceError` naming the file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """``content`` (plain data) with the key ``seal`` added: the SHA-256 of all other keys, which reveals damage."""
    return {**content, "seal": _seal_of(content)}


def unsealed(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """``content`` without its seal, as :func:`sealed` was given it; a file without a seal is accepted.

    Raises:
        CrossplaceError: the seal does not fit; the sentence says that ``path`` is damaged.
    """
    rest = {key: value for key, value in content.items() if key != "seal"}
    if "seal" in content and content["seal"] != _seal_of(rest):
        raise CrossplaceError(f"{path}: damaged or edited since it was written (its seal does not fit its content)")
    return rest


def _seal_of(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_as(path: Path, kind: type[Kind], remedy: str, refuse: Callable[[Any], str] = lambda _: "") -> Kind:
    """The JSON object in ``path`` as ``kind``, a dataclass or a pydantic model, checked in every way that there is.

    The file must be strict JSON (:func:`read_json`), and its seal must fit if it has one (:func:`unsealed`). ``kind``
    itself says whether unknown keys are allowed. ``refuse`` sees the parsed content before it is validated, for example
    to look at its ``schema_version``. It returns what is wrong, or the empty string.

    Raises:
        CrossplaceError: ``path: where.in.file: what; remedy``, for the first fault that was found.
    """
    try:
        content = read_json(path)
        fault = refuse(content)
        if not fault and not isinstance(content, dict):
            fault = f"expected an object, found {type(content).__name__}"
        if fault:
            raise CrossplaceError(f"{path}: {fault}")
        return TypeAdapter(kind).validate_python(unsealed(content, path))
    except ValidationError as error:
        raise CrossplaceError(f"{path}: {first_fault(error)}; {remedy}") from error
    except CrossplaceError as error:
        joint = ", or" if isinstance(error.__cause__, OSError) else ";"  # what the system refuses has a remedy already
        raise CrossplaceError(f"{error}{joint} {remedy}") from error


def first_fault(error: ValidationError) -> str:
    """The first fault that pydantic found, in words: ``where.in.file: what``, or what alone if all of it is wrong."""
    first = error.errors(include_url=False)[0]
    what = first["msg"]
    if first["type"] == "value_error":  # without pydantic's own words before it
        what = str(first["ctx"]["error"])
    if first["type"] == "unexpected_keyword_argument":  # a dataclass says it in other words than a model
        what = "Extra inputs are not permitted"
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), what]))


# --- one process at a time -----------------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process alone; a second process waits, and logs which process it waits for.

    The lock is the operating system's, on a hidden file beside the folder. It ends with its process, however that
    process dies, and children do not inherit it. If the file system has no locks, a warning is logged and work goes on.
    """
    path = folder.parent / f".{folder.name}.lock"
    while True:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+")
        with file:
            _acquire(file, path)
            if not _is_at(file, path):
                continue  # the process before removed this file when it ended: a lock on it protects nothing
            try:
                with writing(path):
                    file.truncate(0)
                    file.write(f"process {os.getpid()} on {socket.gethostname()}")
                    file.flush()
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _acquire(file: IO[str], path: Path) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            log.warning("%s: this file system has no locks (%s); start no second process on it", path, error)
            return
        file.seek(0)
        log.warning("%s is held by %s; waiting for it to finish", path, file.read() or "another process")
        fcntl.lockf(file, fcntl.LOCK_EX)
