"""From a dataset's name (or a folder in the prepared form) to an opened dataset and its protocol."""

import logging
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from benchmark.console import track
from benchmark.frames.examining import doubts_of, examined, remembered
from benchmark.keys import key_of
from benchmark.registry import DATASETS
from datasets.base import Dataset, Finding, Protocol
from datasets.derived import base_and_change
from datasets.doctor.examination import Examination
from datasets.errors import CrossplaceError, NotFetched, unknown
from datasets.fetching import FETCHERS
from datasets.fetching.manifest import Manifest
from datasets.fetching.store import size, store_named
from datasets.files import first_fault, locked, sha256_of, unreadable, writing
from datasets.origin import origin_of
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from datasets.resolving import own_data, resolve
from datasets.summary import in_a_line

log = logging.getLogger(__name__)


def data_folder() -> Path:
    """``$CROSSPLACE_DATA``, by default ``data`` in the working directory."""
    return Path(os.environ.get("CROSSPLACE_DATA", "data"))


def raw_folder(name: str) -> Path:
    """Where ``crossplace data fetch`` puts dataset ``name``."""
    return data_folder() / "raw" / name


def fetched_source(name: str, source: Path | None) -> Path | None:
    """The ``source`` as given, or where the dataset was fetched to.

    Raises:
        NotFetched: the dataset can be fetched, and is not here, or not all that was asked for.
    """
    if source is not None or name not in FETCHERS:
        return source
    found = Manifest.found(raw_folder(name))
    if found and found.is_complete:
        return raw_folder(name)
    fetch = f"crossplace data fetch {name} --yes"
    if found:
        raise NotFetched(name, f"{name}: the last fetch did not finish; give its command again, or {fetch}")
    store = store_named(name)
    part = f"about {size(store.usual_bytes(store.smallest))} under {store.licence}"
    raise NotFetched(name, f"{name} is not here; name a download with --source, or fetch a part ({part}): {fetch}")


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where a dataset's prepared form is, or will be."""

    dataset: Dataset | None
    """None for a folder that the user prepared."""
    source: Path | None
    folder: Path

    @property
    def is_prepared(self) -> bool:
        """Whether the folder is complete."""
        return (self.folder / "dataset.json").is_file()


def locate(name: str, source: Path | None, options: Sequence[str] = ()) -> Location:
    """Find dataset ``name`` with ``key=value`` options, or the prepared folder at the path ``name``.

    Raises:
        CrossplaceError: unknown name or option; raw data missing or broken (everything found wrong at once).
    """
    if own := _own(name, source, options):
        return own
    dataset = make_dataset(name, options)
    source = fetched_source(name, source)
    location, unknown_because = _location(dataset, source)
    if location and location.is_prepared:
        return location
    findings = [*_findings(dataset, source), *unknown_because]
    wrong = [finding.what for finding in findings if not finding.ok]
    if wrong:
        next_command = command("check", name, source or Path("DIR"), options)
        raise CrossplaceError(
            f"{name}: the data cannot be prepared: {'; '.join(dict.fromkeys(wrong))}. "
            f"Where to get it: {dataset.card.source}. Next: {next_command}"
        )
    assert location is not None, "what keeps a source from having a fingerprint is a finding"
    return location


def _own(name: str, source: Path | None, options: Sequence[str]) -> Location | None:
    """The folder in the prepared form at the path ``name``, or None if this is the name of a dataset."""
    if (Path(name) / "dataset.json").is_file():
        if source or options:
            raise CrossplaceError(f"{name} is prepared already: --source and --dataset-options would change nothing")
        return Location(dataset=None, source=None, folder=Path(name))
    if Path(name).is_dir() and name not in DATASETS.names():
        raise CrossplaceError(
            f"{name}: no dataset.json here, so this is no (completely) prepared dataset; docs/prepared-form.md says "
            "what it holds, and crossplace data from-trajectory writes one"
        )
    if Path(name).is_file() or ("/" in name and name not in DATASETS.names()):
        found = "a file" if Path(name).is_file() else "no such folder"
        raise CrossplaceError(
            f"{name}: {found}; expected a folder in the prepared form, or a dataset: {', '.join(DATASETS.names())}"
        )
    return None


def locate_whatever(
    name: str, source: Path | None, options: Sequence[str]
) -> tuple[Location | None, Sequence[Finding]]:
    """Where a dataset is or would be, if its source allows to say so, and all that is found at the source."""
    if own := _own(name, source, options):
        return own, []
    dataset = make_dataset(name, options)
    source = fetched_source(name, source)
    return _location(dataset, source)[0], check(dataset, source)


def check(dataset: Dataset, source: Path | None) -> Sequence[Finding]:
    """The dataset's own findings, and whatever else keeps ``source`` from being prepared; never an exception."""
    findings = _findings(dataset, source)
    return [*findings, *_location(dataset, source)[1]] if all(finding.ok for finding in findings) else findings


def command(what: str, name: str, source: Path | None, options: Sequence[str]) -> str:
    """``crossplace data WHAT``, or ``crossplace bench`` if that is ``what``, as it is typed into a shell."""
    words = ["crossplace", what, "--dataset", name] if what == "bench" else ["crossplace", "data", what, name]
    words += ["--source", str(source)] if source else []
    return shlex.join([*words, *(["--dataset-options", *options] if options else [])])


def _findings(dataset: Dataset, source: Path | None) -> Sequence[Finding]:
    if source is not None and not source.is_dir():
        what = f"{source}: no such folder; --source is the folder of the raw download"
        return [Finding(ok=False, what=what + (f": {dataset.card.layout}" if dataset.card.layout else ""))]
    try:
        origin = origin_of(source)
        return [*([Finding(ok=True, what=origin.note)] if origin else []), *dataset.check(source)]
    except CrossplaceError as error:
        return [Finding(ok=False, what=str(error))]
    except OSError as error:
        return [_no_access(error, source)]


def _location(dataset: Dataset, source: Path | None) -> tuple[Location | None, list[Finding]]:
    """Where the dataset belongs; or, if the source is too broken to say, why."""
    try:
        fingerprint = dataset.fingerprint(source)
    except CrossplaceError as error:
        return None, [Finding(ok=False, what=str(error))]
    except OSError as error:
        return None, [_no_access(error, source)]
    # The place of the source counts too: a prepared dataset may refer to the original files.
    key = key_of(fingerprint, str(source.resolve()) if source else None)
    folder = data_folder() / "prepared" / f"{dataset.card.name}-{key}"
    return Location(dataset=dataset, source=source, folder=folder), []


def _no_access(error: OSError, source: Path | None) -> Finding:
    """What is wrong with a folder, or a file in it, that cannot even be looked at."""
    return Finding(ok=False, what=str(unreadable(error.filename or str(source), error)))


def make_dataset(name: str, options: Sequence[str] = ()) -> Dataset:
    """The registered dataset ``name`` with ``key=value`` options, values as JSON or plain text."""
    kind = DATASETS.get(name)
    known: dict[str, Any] = {f.name: f.type for f in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for option in options:
        key, separator, text = option.partition("=")
        if not separator or key not in known:
            raise CrossplaceError(unknown(f"option of dataset {name}", option, [f"{k}=…" for k in known]))
        adapter: TypeAdapter[Any] = TypeAdapter(known[key])
        try:
            values[key] = adapter.validate_strings(text) if not text.startswith("[") else adapter.validate_json(text)
        except ValidationError as error:
            raise CrossplaceError(
                f'dataset {name}: {option}: {first_fault(error)} (write lists as ["a", "b"])'
            ) from error
    return kind(**values)


def prepare(location: Location, workers: int | None = None) -> PreparedDataset:
    """Open the dataset, preparing it first (by ``workers`` processes) if that has not been done before.

    What was kept, what was dropped for which reason, and what the doctor doubts is said once it is prepared.

    Raises:
        CrossplaceError: raw data that cannot be prepared, or data with a fault that has just been prepared.
    """
    is_new = False
    if not location.is_prepared:
        with locked(location.folder):
            if is_new := not location.is_prepared:  # whoever had the lock before may have done it
                _prepare(location, workers)
    prepared = PreparedDataset.read(location.folder)
    prepared = prepared if location.dataset else replace(prepared, fingerprint=_content_key(prepared))
    if is_new:
        log.info("prepared %s: %s", prepared.folder, in_a_line(prepared))
        for doubt in doubts_about(prepared):
            log.warning(doubt)
    return prepared


def prepared_before(name: str) -> PreparedDataset:
    """The prepared dataset in the folder ``name``, or the registered dataset ``name`` if it was prepared once before.

    Raises:
        CrossplaceError: it is not there, or there in several forms.
    """
    if own := _own(name, None, ()):
        return prepare(own)
    card = DATASETS.get(name).card
    folders = sorted(path.parent for path in (data_folder() / "prepared").glob(f"{name}-*/dataset.json"))
    folders = [folder for folder in folders if folder.name.rpartition("-")[0] == name]
    if len(folders) == 1:
        return PreparedDataset.read(folders[0])
    if folders:
        raise CrossplaceError(
            f"{name} was prepared in {len(folders)} forms; give the folder of one of them: "
            f"{', '.join(map(str, folders))}"
        )
    first = command("prepare", name, Path("DIR") if card.layout else None, ())
    raise CrossplaceError(f"{name} is not prepared; give {first} first, or a folder in the prepared form")


def look_at(prepared: PreparedDataset) -> Examination:
    """What the doctor finds, now or before; kept below ``$CROSSPLACE_DATA``."""
    return examined(prepared, data_folder() / "examined")


def look_back(name: str, fingerprint: str) -> Examination | None:
    """What the doctor found in the dataset of this name and fingerprint on this machine; none if it never looked."""
    return remembered(name, fingerprint, data_folder() / "examined")


def doubts_about(prepared: PreparedDataset, accepted: Sequence[str] = ()) -> list[str]:
    """Sentences about what is rare for good data; raises :class:`CrossplaceError` if the data has a fault."""
    return doubts_of(prepared, look_at(prepared), accepted)


def is_real(dataset: PreparedDataset) -> bool:
    """Whether its positions must not be published; data that someone brought counts as real: its licence is unknown."""
    if dataset.origin and dataset.origin.is_synthetic:
        return False
    return dataset.name not in DATASETS.names() or DATASETS.get(dataset.name).card.is_real


def _prepare(location: Location, workers: int | None) -> None:
    dataset, folder = location.dataset, location.folder
    assert dataset is not None
    with writing(folder):
        if folder.exists():
            what_now = "going on" if dataset.resumable else "preparing it anew"
            log.info("%s was left incomplete; %s", folder, what_now)
            if not dataset.resumable:
                shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        steps = dataset.prepare(location.source, folder, workers=workers)
        first = next(steps, (0, 0))
        for _ in track(_each_frame(chain([first], steps)), f"prepare {dataset.card.name}", first[1]):
            pass


def _content_key(prepared: PreparedDataset) -> str:
    """Fingerprint of a folder that a person keeps: its tables, and the size and time of every file they name."""
    tables = [sha256_of(prepared.folder / name) for name in ("dataset.json", "frames.csv")]
    paths = [*prepared.frames.image.tolist(), *prepared.frames.cloud.tolist()]
    found = [(prepared.root / path).stat() if (prepared.root / path).is_file() else None for path in paths]
    return key_of(tables, [stat and (stat.st_size, stat.st_mtime_ns) for stat in found])


def _each_frame(steps: Iterable[tuple[int, int]]) -> Iterator[int]:
    """One item a frame, however many a dataset reports at once."""
    seen = 0
    for done, _ in steps:
        yield from range(seen, done)
        seen = done


def check_protocol_name(name: str | None) -> None:
    """Refuse a protocol that does not exist; can be asked before any data is prepared."""
    if name is not None and base_and_change(name)[0] not in PROTOCOLS:
        raise CrossplaceError(unknown("protocol", name, sorted(PROTOCOLS)))


def find_protocol(name: str | None, dataset: PreparedDataset) -> tuple[Protocol, list[str]]:
    """The protocol to use (default: that of the dataset) and what a reader must be warned of."""
    check_protocol_name(name)
    if name is None and dataset.name in DATASETS.names():
        name = DATASETS.get(dataset.name).default_protocol
    if not name:
        return own_data(dataset), [f"{dataset.name} has no protocol of its own: trained and tested on all of it"]
    return resolve(name, dataset)
