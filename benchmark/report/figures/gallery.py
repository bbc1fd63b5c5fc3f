"""Queries of one method with the frames that it found: images, and clouds as seen from above.

The rule of choice: half of the queries are hits and half are misses, each evenly spread over the order of the drive.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from benchmark.protocol.ground_truth import relate
from benchmark.records.schema import protocol_of
from benchmark.report.comparison import arrow, crossing
from benchmark.report.figures.style import FAINT, RIGHT, WRONG, Margins, say, sheet, short
from benchmark.report.figures.topics import Sources, Topic, cells, chosen, names_in, queries_of, ranks_of
from benchmark.report.table import Cell, Column, Table, number, text
from datasets.base import Modality, Protocol
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from datasets.summary import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_EACH = 3
"""Hits, and misses, that are shown."""
N_FOUND = 5
"""Frames of each query that are shown."""
QUERY = "query"
SIDE_IN = 0.9
LONGEST_FRAME_ID = 18


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each query and each frame that it found, with whether it shows the place.

    Raises:
        CrossplaceError: no dataset was given, or it is not the one of the results.
    """
    assert topic.row is not None
    run, dataset = topic.row.runs[0], dataset_of(topic, sources)
    direction = crossing(list(run.result.directions))[0]
    ranks = ranks_of(run, "query_frame", "query_top_frame", "frame_id")
    found = queries_of(run, ranks, direction)
    tops, is_hit = found["top_frame"][:, :N_FOUND], found.is_hit
    rows_of = {frame: row for row, frame in enumerate(dataset.frames.frame_id.tolist())}
    rows: list[list[Cell]] = []
    for shown, place in enumerate(_chosen(is_hit), start=1):
        ids = [str(name) for name in ranks["frame_id"][[found["frame"][place], *tops[place][tops[place] >= 0]]]]
        if missing := [name for name in ids if name not in rows_of]:
            raise CrossplaceError(f"the dataset {dataset.name} has no frame {missing[0]}; {_CURE}")
        at = np.array([rows_of[name] for name in ids])
        rows += _lines(dataset, at, protocol_of(run.result.protocol), shown, direction)
    several = f" Seed {run.result.seed} of {len(topic.row.runs)}." if len(topic.row.runs) > 1 else ""
    names = ("query number", "rank", "shown as", "frame", "traversal", "condition", "right")
    return Table(
        title=f"What was found, {arrow(direction)} · {topic.words}",
        columns=[*(Column(name=name, digits=0) for name in names), Column(name="away", unit="m")],
        rows=rows,
        notes=[
            f"Hits and misses, each evenly spread over the drive. Solid blue frame: the right place; dashed orange: a "
            f"wrong one. Clouds are seen from above, forward is up.{several}"
        ],
    )


_CURE = "name the dataset of these results with --dataset (and --source or --dataset-options)"


def dataset_of(topic: Topic, sources: Sources) -> PreparedDataset:
    """The dataset of the results, if it was given; refused where it is missing or another one."""
    if sources.dataset is None:
        raise CrossplaceError(f"it shows frames, so it needs the data; {_CURE}")
    assert topic.group is not None
    if sources.dataset.fingerprint != topic.group.board.fingerprint:
        raise CrossplaceError(f"the given dataset {sources.dataset.name} is not the one of the results; {_CURE}")
    return sources.dataset


def _chosen(is_hit: ndarray) -> list[int]:
    """Places among the queries: hits, then misses; where one kind is scarce there are more of the other."""
    hits, misses = np.flatnonzero(is_hit), np.flatnonzero(~is_hit)
    n_hits = min(len(hits), max(N_EACH, 2 * N_EACH - len(misses)))
    n_misses = min(len(misses), 2 * N_EACH - n_hits)
    return [int(place) for kind, n in ((hits, n_hits), (misses, n_misses)) for place in spread(kind, n)]


def _lines(
    dataset: PreparedDataset, at: Int[ndarray, " k"], protocol: Protocol, shown: int, direction: str
) -> list[list[Cell]]:
    """The query at the first of the rows ``at``, and the frames that it found, in order."""
    asks, answers = direction.split("->")
    frames = dataset.frames
    right = relate(frames.take(at[:1]), frames.take(at[1:]), protocol).is_positive[0]
    offset = frames.position_m[at, :2] - frames.position_m[at[0], :2]
    is_here = frames.world[at] == frames.world[at[0]]
    found = []
    for rank, row in enumerate(at.tolist()):
        traversal = str(frames.traversal[row])
        told = [text(str(frames.frame_id[row])), text(traversal), text(dataset.traversals[traversal].condition)]
        verdict = text("" if rank == 0 else "yes" if right[rank - 1] else "no")
        away = number(float(np.hypot(*offset[rank])) if is_here[rank] else None, reason="in another world")
        kind = text(asks if rank == 0 else answers)
        found.append([number(shown), number(rank), kind, *told, verdict, away])
    return found


def draw(table: Table, sources: Sources) -> "Figure":
    """A line a query: the query, and the frames that it found."""
    assert sources.dataset is not None
    shown = names_in(table, "query number")
    drawn = sheet(
        len(shown) * (N_FOUND + 1),
        title=table.title,
        caption=table.notes,
        n_columns=N_FOUND + 1,
        height_in=SIDE_IN,
        margins=Margins(left=0.05, right=0.05, top=0.05, bottom=0.34),
    )
    rows_of = {frame: row for row, frame in enumerate(sources.dataset.frames.frame_id.tolist())}
    for line, query in enumerate(shown):
        part = cells(chosen(table, "query number", query), "rank", "shown as", "frame", "right", "away")
        for axes, found in zip(drawn.panels[line * (N_FOUND + 1) :], [*part, *[None] * 6][: N_FOUND + 1], strict=False):
            if found is None:
                axes.set_axis_off()
                continue
            rank, kind, frame, right, away_m = found
            _thumbnail(axes, sources.dataset, rows_of[frame], kind)
            _frame(axes, right)
            away = "" if not rank else "another world" if away_m is None else f"{away_m:.0f} m away"
            words = f"{QUERY} {query:.0f}, {kind}" if not rank else f"{rank:.0f}: {away}"
            axes.set_xlabel(f"{words}\n{short(frame, LONGEST_FRAME_ID)}", labelpad=3)
    return drawn.figure


def _thumbnail(axes: "Axes", dataset: PreparedDataset, row: int, kind: Modality) -> None:
    from benchmark.report.figures.contact_sheet import draw_from_above

    frame = dataset.frame(row)
    if kind == "image" and frame.image:
        pixels = dataset.load_image(frame)
        axes.imshow(pixels, aspect="equal", interpolation="antialiased")
        axes.set_anchor("C")
    elif kind == "cloud" and frame.cloud:
        marks = draw_from_above(axes, dataset, frame)
        if marks is not None:
            marks.set_rasterized(True)  # type: ignore[attr-defined]
            marks.set_sizes([0.6])  # type: ignore[attr-defined]
    else:
        say(axes, f"no {kind}")
    axes.set(xticks=[], yticks=[])


def _frame(axes: "Axes", right: str | None) -> None:
    """A border that says whether the frame is right: colour, and solid or dashed. A query has a thin one."""
    colour, line, width = {"yes": (RIGHT, "solid", 2.2), "no": (WRONG, (0, (2.5, 1.5)), 2.2)}.get(
        right or "", (FAINT, "solid", 0.8)
    )
    axes.spines[:].set(visible=True, color=colour, linestyle=line, linewidth=width)
