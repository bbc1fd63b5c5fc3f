"""A protocol as lists that any other evaluator can read: who asks, what is searched, what is right.

Frame ids and timestamps only: positions of real data are not for publication. Candidates follow from ids and
timestamps by the rules in ``protocol.json``.
"""

import csv
import hashlib
import io
import json
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jaxtyping import Int
from numpy import ndarray

from benchmark.keys import plain
from benchmark.protocol.ground_truth import relations
from benchmark.protocol.selection import select
from datasets.base import Frames, Protocol
from datasets.errors import CrossplaceError
from datasets.files import write_atomically
from datasets.prepared import PreparedDataset

SUMS = "SHA256SUMS"


def export(dataset: PreparedDataset, protocol: Protocol, folder: Path) -> dict[str, int]:
    """Write the lists into ``folder``, which is new or empty; returns what was counted.

    ``queries.csv`` and ``database.csv``; one file for each ordered pair of traversals below ``positives/``, with the
    ids of the right database frames by query id; ``protocol.json``; and last ``SHA256SUMS`` over them all. Equal
    data and protocol give equal bytes.

    Raises:
        CrossplaceError: something is in the folder already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CrossplaceError(f"{folder} is not empty: lists of two protocols must not mix; name a new --output folder")
    frames, sums = dataset.frames, {}

    def write(name: str, content: str) -> None:
        write_atomically(folder / name, content.encode(), durable=False)
        sums[name] = hashlib.sha256(content.encode()).hexdigest()

    queries, database = select(frames, protocol.query), select(frames, protocol.database)
    write("queries.csv", _list(frames, queries))
    write("database.csv", _list(frames, database))
    counts = {"queries": len(queries), "database": len(database), "pairs": 0, "asked": 0, "with_positive": 0}
    for pair, blocks in groupby(relations(frames, protocol, queries, database), key=lambda asked: asked.pair):
        right: dict[str, list[str]] = {}
        for asked in blocks:
            searched, ids = frames.frame_id[asked.database_rows], frames.frame_id[asked.query_rows].tolist()
            right |= {
                q: searched[is_right].tolist() for q, is_right in zip(ids, asked.relation.is_positive, strict=True)
            }
        names = (pair.query_traversal, pair.database_traversal)
        write(f"positives/{'--'.join(quote(name, safe='') for name in names)}.json", _lines(right))
        counts["pairs"] += 1
        counts["asked"] += len(right)
        counts["with_positive"] += sum(map(bool, right.values()))
    described = {"name": dataset.name, "version": dataset.version, "fingerprint": dataset.fingerprint}
    content: dict[str, Any] = {"dataset": described, "counts": counts, "protocol": plain(protocol)}
    write("protocol.json", json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    write_atomically(folder / SUMS, listing.encode())
    return counts


def _list(frames: Frames, rows: Int[ndarray, " n"]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["frame_id", "traversal", "timestamp_ns"])
    columns = (frames.frame_id[rows], frames.traversal[rows], frames.timestamp_ns[rows].tolist())
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue()


def _lines(content: dict[str, list[str]]) -> str:
    """One JSON object, a line for each of its keys."""
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()) + "\n}\n"
