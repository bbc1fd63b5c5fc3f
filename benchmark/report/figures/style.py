"""How every figure looks: sizes, colours that colour-blind readers and grey print can tell apart, and labels.

Matplotlib's objects are used without pyplot, so that nothing global is changed. Words are data: no letter of a name is
read as mathematics.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmark.report.table import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#882255", "#56B4E9", "#000000", "#D55E00", "#332288")
"""Neighbours differ in lightness by at least 15 of 100."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (2, 2)))
INK, FAINT, GRID = "#1a1a1a", "#595959", "#d9d9d9"
RIGHT, WRONG = "#0072B2", "#E69F00"
"""Colours of right and wrong; shape, line or fill differ as well."""
POINTS = 8.0
"""Size of the smallest text, where a figure is printed at its own size."""
WIDTH_IN = 7.0
"""Width of a text column in print."""
LONGEST, LONGEST_BESIDE = 26, 17
"""Most letters of a name in a drawing, and beside a point or a curve; the data beside it has the whole name."""
MOST_SERIES = 12
"""Most methods in one drawing: those with the highest recall; the data beside it has all."""
NEAR_POINTS = 11.0
"""How far above or below its point a name may stand without a line to it."""
LETTER_IN = 0.062
"""Width of a letter of the smallest text, on average."""
WIDE_LETTER_IN = 0.078
"""Width of a letter of the title of a panel, on the safe side."""


def parameters(salt: str) -> dict[str, Any]:
    """What matplotlib is told while a figure is made and written; names in an SVG depend on ``salt`` alone."""
    return {
        "text.parse_math": False,
        "text.usetex": False,
        "axes.formatter.use_mathtext": False,
        "axes.unicode_minus": True,
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": POINTS,
        **{f"{name}.labelsize": POINTS for name in ("axes", "xtick", "ytick")},
        "axes.titlesize": POINTS + 1,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.6,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "figure.facecolor": "white",
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "path.simplify": False,
    }


@contextmanager
def styled(salt: str) -> Iterator[None]:
    """Make and write figures in the style of the suite, whatever the user's own settings are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(parameters(salt))  # type: ignore[arg-type]
        yield


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one of several series is drawn: each differs from its neighbour in colour, marker and line."""

    colour: str
    marker: str
    line: Any

    @classmethod
    def of(cls, number: int) -> "Look":
        """The look of the series with this number."""
        return cls(
            colour=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            line=LINES[number % len(LINES)],
        )


def looks(names: Sequence[str]) -> Mapping[str, Look]:
    """A look for each name, in order."""
    return {name: Look.of(number) for number, name in enumerate(names)}


def short(words: str, longest: int = LONGEST) -> str:
    """``words`` in one line of at most ``longest`` printable letters: the end is kept, where names differ."""
    line = " ".join(printable(words).split())
    if len(line) <= longest:
        return line
    behind = longest // 3
    return f"{line[: longest - behind - 1]}…{line[-behind:]}"


@dataclass(frozen=True, kw_only=True)
class Margins:
    """Inches around each panel for what is written there."""

    left: float = 0.6
    right: float = 0.12
    top: float = 0.3
    bottom: float = 0.42


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A figure of equal panels in a grid, with a title above and a caption below."""

    figure: "Figure"
    panels: list["Axes"]
    panel_in: tuple[float, float]
    """Width and height of the inside of a panel."""
    n_columns: int = field(default=1)

    def is_left(self, number: int) -> bool:
        """Whether a panel is the first of its line."""
        return number % self.n_columns == 0

    def is_lowest(self, number: int) -> bool:
        """Whether there is no panel below this one."""
        return number + self.n_columns >= len(self.panels)


def sheet(
    n_panels: int,
    *,
    title: str,
    caption: Sequence[str] = (),
    n_columns: int = 2,
    height_in: float = 2.0,
    margins: Margins | None = None,
    names_in: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Sheet:
    """An empty sheet of ``n_panels`` panels, ``WIDTH_IN`` wide.

    ``names_in`` is room for names in inches that is there once: left of the panels, below them, and to their right.
    """
    from matplotlib.figure import Figure

    around = margins or Margins()
    n_columns = max(min(n_columns, n_panels), 1)
    n_lines = -(-n_panels // n_columns)
    n_letters = int(WIDTH_IN / LETTER_IN)
    what, _, of_what = printable(title).partition(" · ")
    topic = textwrap.wrap(of_what, n_letters)
    together = [printable(note).replace(" %", "\u00a0%") for note in caption]
    below = [line for note in together for line in textwrap.wrap(note, n_letters)]
    header_in, footer_in = 0.3 + 0.15 * len(topic), 0.1 + 0.145 * len(below) + names_in[1]
    column_in, line_in = (WIDTH_IN - names_in[0] - names_in[2]) / n_columns, around.top + height_in + around.bottom
    total_in = header_in + n_lines * line_in + footer_in
    figure = Figure(figsize=(WIDTH_IN, total_in))
    left, top, second = 0.08 / WIDTH_IN, 1 - 0.07 / total_in, 1 - 0.27 / total_in
    figure.text(left, top, short(what, 80), va="top", fontsize=POINTS + 2, weight="bold", color=INK)
    figure.text(left, second, "\n".join(topic), va="top", color=FAINT, linespacing=1.25)
    figure.text(left, 0.06 / total_in, "\n".join(below), va="bottom", color=FAINT, linespacing=1.25)
    width_in = column_in - around.left - around.right
    panels = []
    for number in range(n_panels):
        line, column = divmod(number, n_columns)
        left_in = names_in[0] + column * column_in + around.left
        bottom_in = total_in - header_in - (line + 1) * line_in + around.bottom
        box = (left_in / WIDTH_IN, bottom_in / total_in, width_in / WIDTH_IN, height_in / total_in)
        axes = figure.add_axes(box)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=2.5, width=0.6)
        panels.append(axes)
    return Sheet(figure=figure, panels=panels, panel_in=(width_in, height_in), n_columns=n_columns)


def say(axes: "Axes", words: str) -> None:
    """A sentence in place of what cannot be drawn in a panel."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    wrapped = textwrap.fill(printable(words), 32)
    axes.text(0.5, 0.5, wrapped, transform=axes.transAxes, ha="center", va="center", color=FAINT)


def label_ends(axes: "Axes", ends: Mapping[str, float], of: Mapping[str, Look], height_in: float) -> None:
    """Names to the right of a panel at the heights (in data) where their curves end, moved apart if they would meet."""
    from matplotlib.transforms import ScaledTranslation

    low, high = axes.get_ylim()
    at = {name: (min(max(value, low), high) - low) / (high - low) for name, value in ends.items()}
    places = spread_out(list(at.values()), 1.35 * POINTS / 72 / height_in)
    beside = axes.transAxes + ScaledTranslation(11 / 72, 0, axes.figure.dpi_scale_trans)
    for (name, end), place in zip(at.items(), places, strict=True):
        look = of[name]
        axes.annotate(
            short(name, LONGEST_BESIDE),
            xy=(1.0, end),
            xytext=(17, (place - end) * height_in * 72),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            color=INK,
            annotation_clip=False,
            arrowprops={
                **{"arrowstyle": "-", "color": look.colour, "linewidth": 0.8},
                **{"shrinkA": 9, "shrinkB": 1, "relpos": (0, 0.5)},
            },
        )
        axes.plot(
            1.0, place, marker=look.marker, color=look.colour, markersize=4, transform=beside, clip_on=False,
        )  # fmt: skip


def legend(drawn: Sheet, of: Mapping[str, Look]) -> None:
    """Names in the room to the right of all panels, for curves that do not end there."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=look.colour, linestyle=look.line, marker=look.marker, markersize=4, label=short(name))
        for name, look in of.items()
    ]
    box = drawn.panels[0].get_position()
    drawn.figure.legend(handles=handles, loc="upper right", bbox_to_anchor=(0.995, box.y1), frameon=False)


def spread_out(wanted: Sequence[float], apart: float) -> list[float]:
    """Places near those that are ``wanted``, in the same order, at least ``apart``, and between 0 and 1 if they fit.

    >>> spread_out([0.5, 0.5, 0.9], 0.2)
    [0.4, 0.6, 0.9]
    >>> spread_out([1.0, 1.0, 0.0], 0.5)
    [0.5, 1.0, 0.0]
    """
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    blocks: list[list[float]] = []  # middle and number of names that touch each other
    for number in order:
        blocks.append([wanted[number], 1])
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < apart * (blocks[-1][1] + blocks[-2][1]) / 2:
            middle, n = blocks.pop()
            other, m = blocks.pop()
            blocks.append([(middle * n + other * m) / (n + m), n + m])
    places = [middle + apart * (place - (n - 1) / 2) for middle, n in blocks for place in range(int(n))]
    for number in range(len(places)):  # upwards from 0, then downwards from 1
        places[number] = max(places[number], number * apart)
    for number in range(len(places)):
        places[-1 - number] = min(places[-1 - number], 1 - number * apart)
    found = [0.0] * len(wanted)
    for number, place in zip(order, places, strict=True):
        found[number] = round(place, 9)
    return found


def label_points(axes: "Axes", points: Mapping[str, tuple[float, float]], panel_in: tuple[float, float]) -> None:
    """Names beside points, each at the first place near it that meets no other name and no point."""
    low, high = (axes.transData.transform((axes.get_xlim()[end], axes.get_ylim()[end])) for end in (0, 1))
    scale = [(high[k] - low[k]) / (panel_in[k] * 72) for k in (0, 1)]
    at = {}
    for name, point in points.items():
        x, y = axes.transData.transform(point)
        at[name] = ((x - low[0]) / scale[0], (y - low[1]) / scale[1])
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in at.values()]
    for name, (x, y) in at.items():
        words = short(name, LONGEST_BESIDE)
        box, offset, side = _free_place(x, y, LETTER_IN * 72 * len(words), taken, (panel_in[0] * 72, panel_in[1] * 72))
        taken.append(box)
        is_far = abs(offset[1]) > NEAR_POINTS
        axes.annotate(
            words,
            xy=points[name],
            xytext=offset,
            textcoords="offset points",
            ha=side,
            va="center",
            color=INK,
            annotation_clip=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3},
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": FAINT} if is_far else None,
        )


Box = tuple[float, float, float, float]


def _free_place(
    x: float, y: float, width: float, taken: Sequence[Box], panel: tuple[float, float]
) -> tuple[Box, tuple[float, float], str]:
    """The box, its offset from the point, and its side, all in points of print; the least crowded if none is free."""
    steps = [(9.0 * step, side) for step in (0, 1, -1, 2, -2, 3, -3) for side in ("left", "right")]
    found: list[tuple[float, int, Box, tuple[float, float], str]] = []
    for step, side in [*steps[:2], (NEAR_POINTS, "center"), (-NEAR_POINTS, "center"), *steps[2:]]:
        left, shift = {"left": (x + 6, 6.0), "right": (x - 6 - width, -6.0), "center": (x - width / 2, 0.0)}[side]
        box = (left, y + step - POINTS * 0.6, left + width, y + step + POINTS * 0.6)
        outside = max(0.0, -box[0]) + max(0.0, box[2] - panel[0]) + max(0.0, -box[1]) + max(0.0, box[3] - panel[1])
        crowding = sum(_overlap(box, other) for other in taken) + outside * POINTS
        found.append((crowding, len(found), box, (shift, step), side))
    _, _, box, offset, side = min(found, key=lambda place: place[:2])
    return box, offset, side


def _overlap(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0.0) * max(high, 0.0)
