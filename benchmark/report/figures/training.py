"""Training: the loss of every epoch, on training and on validation frames, from the results of a method."""

from typing import TYPE_CHECKING

from benchmark.report.figures.style import FAINT, GRID, Margins, legend, looks, sheet
from benchmark.report.figures.topics import Sources, Topic, cells, chosen, names_in
from benchmark.report.table import Column, Table, number, text
from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = {"train_loss": "training", "validation_loss": "validation"}


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each stage, seed, epoch and part of the data.

    Raises:
        CrossplaceError: results that hold no history, because nothing was trained or an older version did.
    """
    assert topic.row is not None
    rows = [
        [text(stage), text(f"seed {result.seed}"), number(epoch["epoch"]), text(part), number(epoch[name])]
        for result in topic.row.results
        for stage, report in result.method.training.get("stages", {}).items()
        for epoch in report.get("history", ())
        for name, part in PARTS.items()
        if name in epoch
    ]
    if not rows:
        raise CrossplaceError(
            "its results hold no history of a training; crossplace bench --retrain trains again and keeps it"
        )
    columns = [Column(name="stage"), Column(name="seed"), Column(name="epoch", digits=0), Column(name="part")]
    return Table(
        title=f"Loss by epoch · {topic.words}",
        columns=[*columns, Column(name="loss", digits=4)],
        rows=rows,
        notes=["A curve a seed. Losses of two stages, or of two methods, do not compare."],
    )


def draw(table: Table, sources: Sources) -> "Figure":
    """A panel a stage, a curve a seed and part of the data."""
    stages = names_in(table, "stage")
    drawn = sheet(
        len(stages), title=table.title, caption=table.notes, height_in=1.7, margins=Margins(), names_in=(0.0, 0.0, 1.1)
    )
    of = looks(list(PARTS.values()))
    for place, (axes, stage) in enumerate(zip(drawn.panels, stages, strict=True)):
        here = chosen(table, "stage", stage)
        for seed in names_in(here, "seed"):
            for part in names_in(chosen(here, "seed", seed), "part"):
                found = cells(chosen(chosen(here, "seed", seed), "part", part), "epoch", "loss")
                look = of[part]
                axes.plot(*zip(*found, strict=True), color=look.colour, linestyle=look.line, linewidth=1, marker=".")
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)  # a stage may have one epoch
        axes.set_title(stage, loc="left", fontsize=8)
        axes.set(xlabel="epoch", ylabel="loss" if drawn.is_left(place) else "")
        axes.grid(axis="y", color=GRID, linewidth=0.5)
        axes.tick_params(labelcolor=FAINT)
    legend(drawn, of)
    return drawn.figure
