"""Tables of raw data: what can be fetched, what of it is here, and under which licence."""

import math
from pathlib import Path

from benchmark.frames.preparing import raw_folder
from benchmark.registry import DATASETS
from benchmark.report.table import Column, Table, number, text
from datasets.fetching import FETCHERS
from datasets.fetching.manifest import Entry, Manifest
from datasets.fetching.store import Part, Store, size, store_named

GB = 1e9


def datasets_table() -> Table:
    """A row a dataset."""
    columns = [Column(name="dataset"), Column(name="here", unit="GB", digits=2), Column(name="there", unit="GB")]
    columns += [Column(name="length", unit="km"), Column(name="runs", digits=0), Column(name="licence")]
    columns += [Column(name="how to get it")]
    rows = []
    for name in DATASETS.names():
        store = store_named(name) if name in FETCHERS else None
        card = DATASETS.get(name).card
        by_hand = f"crossplace list datasets {name}" if card.layout else "always there"
        rows.append(
            [
                text(name),
                number(_bytes(_files(name)) / GB if store else None),
                number(sum(_whole(part, store) for part in store.parts.values()) if store else None),
                number(_length_km(store) if store else None),
                number(len(store.parts) if store else None),
                text(card.licence),
                text(f"crossplace data fetch {name}" if store else by_hand),
            ]
        )
    return Table(columns=columns, rows=rows, notes=["Here: what was fetched. There: the store's images and clouds."])


def runs_table(name: str) -> Table:
    """A row a run of a dataset that can be fetched."""
    store = store_named(name)
    files = _files(name)
    columns = [Column(name="run"), Column(name="condition"), Column(name="length", unit="km", digits=2)]
    columns += [Column(name="there", unit="GB"), Column(name="here", unit="GB", digits=2), Column(name="remark")]
    rows = [
        [
            text(run),
            text(part.condition),
            number(None if math.isnan(part.length_m) else part.length_m / 1000),
            number(_whole(part, store)),
            number(_bytes({path: entry for path, entry in files.items() if _is_of(run, path)}) / GB),
            text("not offered" if part.refusal else ""),
        ]
        for run, part in store.parts.items()
    ]
    presets = [
        f"--preset {preset}: {', '.join(wish.runs)}, {wish.in_words()}, about {size(store.usual_bytes(wish))}."
        for preset, wish in store.presets.items()
    ]
    refusals = dict.fromkeys(part.refusal for part in store.parts.values() if part.refusal)
    notes = [
        f"Licence {store.licence}; terms: {store.terms}",
        "There: all images and clouds, about.",
        *(f"Not offered: {refusal}." for refusal in refusals),
        *presets,
    ]
    return Table(columns=columns, rows=rows, notes=notes)


def _whole(part: Part, store: Store) -> float:
    """Gigabytes of all images and clouds of a run, about."""
    return part.frames * store.usual_frame_bytes / GB


def _length_km(store: Store) -> float:
    """Length of all runs of which it is known."""
    return sum(part.length_m for part in store.parts.values() if not math.isnan(part.length_m)) / 1000


def _files(name: str) -> dict[str, Entry]:
    """What was fetched of a dataset into its usual folder."""
    found = Manifest.found(raw_folder(name))
    return found.files if found else {}


def _bytes(files: dict[str, Entry]) -> int:
    return sum(entry.n_bytes for entry in files.values())


def _is_of(run: str, path: str) -> bool:
    """Whether a file belongs to a run: to a folder of its name, or as the table of its poses."""
    return run in Path(path).with_suffix("").parts
