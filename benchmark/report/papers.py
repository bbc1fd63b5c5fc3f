"""The tables that papers print, in their shape: which result of the suite fills which cell (docs/papers.md).

``benchmark.report.paper_tables`` draws them, with printed numbers from ``results/published/``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True, kw_only=True)
class PaperPart:
    """What a column of a paper's table averages over."""

    name: str = ""
    """What the paper calls it, as the column ``split`` of the published files; nothing for everything."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Pairs of query and database traversals, which weigh alike; nothing for the headline of the protocol."""
    on_town: str = "town"
    """The protocol of the town that asks the most similar question."""


@dataclass(frozen=True, kw_only=True)
class PaperColumn:
    """One column of numbers."""

    part: PaperPart = PaperPart()
    direction: str = ""
    """The direction of a recall; nothing for a part of the cost."""
    metric: str
    """A name of :data:`benchmark.records.published.QUANTITIES`."""


@dataclass(frozen=True, kw_only=True)
class PaperLine:
    """One row of a paper's table."""

    name: str
    """What the published files call it."""
    method: str = ""
    """The method of the suite; nothing where it has none."""
    variant: str = ""
    train_split: str = ""
    """What was trained on, where the paper has several rows that differ in it."""
    is_printed: bool = True
    """Whether a paper prints this row; if not, it holds results of the suite alone."""


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table of a paper."""

    title: str
    dataset: str
    protocol: str
    """The protocol that comes nearest to what the paper does."""
    published_protocol: str | None = None
    """What the published files call the rule, where the suite has no protocol with it."""
    lines: tuple[PaperLine, ...]
    columns: tuple[PaperColumn, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper and its tables."""

    name: str
    """What the paper calls its method."""
    tables: tuple[PaperTable, ...]
    notes: tuple[str, ...] = ()
    """What of the tables is known, and from where."""


def _columns(parts: Sequence[PaperPart], directions: Sequence[str], metrics: Sequence[str]) -> tuple[PaperColumn, ...]:
    return tuple(PaperColumn(part=p, direction=d, metric=m) for p, d, m in product(parts, directions, metrics))


def _sequences(*names: str) -> tuple[PaperPart, ...]:
    """Sequences of KITTI, each searched in itself."""
    return tuple(PaperPart(name=name, pairs=((name, name),), on_town="town-revisit") for name in names)


def _vivid(place: str, light: str, on_town: str) -> PaperPart:
    """Two runs of a place of ViViD++, in both orders."""
    one, other = f"{place}_{light}", f"{place}_day2"
    return PaperPart(name=f"{place} {light}-day2", pairs=((one, other), (other, one)), on_town=on_town)


IMAGE_ASKS, CLOUD_ASKS = "image->cloud", "cloud->image"
ACROSS, WITHIN = (IMAGE_ASKS, CLOUD_ASKS), ("image->image", "cloud->cloud")
INFERRED = "The paper's tables could not be read; their shape is inferred from its code and its abstract."
OWN_FRAME = "Whether a query could find its own frame in the printed tables is not known: no difference is formed."

# --- VXP -----------------------------------------------------------------------------------------

_VXP = PaperLine(name="VXP", method="vxp")
_VXP_LINES = (PaperLine(name="Cattaneo", method="cattaneo"), PaperLine(name="(LC)^2", method="lc2"), _VXP)
_OXFORD = "oxford-vxp-as-published"

VXP = Paper(
    name="VXP",
    notes=(INFERRED,),
    tables=(
        PaperTable(
            title="Oxford RobotCar between images and clouds, all pairs of 23 runs",
            dataset="oxford",
            protocol=_OXFORD,
            lines=_VXP_LINES,
            columns=_columns([PaperPart()], ACROSS, ["R@1", "R@1%"]),
        ),
        *(
            PaperTable(
                title="ViViD++, both orders of the runs",
                dataset="vivid",
                protocol="vivid-vxp-as-published",
                lines=_VXP_LINES,
                columns=_columns([_vivid(place, light, on_town)], ACROSS, ["R@1", "R@1%"]),
            )
            for place, (light, on_town) in product(("campus", "city"), (("day1", "town"), ("night", "town-night")))
        ),
        *(
            PaperTable(
                title="KITTI odometry, revisits",
                dataset="kitti",
                protocol="kitti-vxp-as-published",
                lines=_VXP_LINES,
                columns=_columns([sequence], ACROSS, ["R@1", "R@1%"]),
            )
            for sequence in _sequences("00", "02")
        ),
        PaperTable(
            title="Oxford RobotCar within one modality, in the same shared space",
            dataset="oxford",
            protocol=_OXFORD,
            lines=(_VXP,),
            columns=_columns([PaperPart()], (*ACROSS, *WITHIN), ["R@1"]),
        ),
        PaperTable(
            title="What the parts bring, on Oxford RobotCar",
            dataset="oxford",
            protocol=_OXFORD,
            lines=(
                _VXP,
                PaperLine(name="VXP, ResNet-50", method="vxp", variant="resnet50"),
                PaperLine(name="VXP, VGG16", method="vxp", variant="vgg16"),
                PaperLine(name="VXP, NetVLAD", method="vxp", variant="netvlad"),
                PaperLine(name="VXP, without the local stage", method="vxp", variant="no-local-stage"),
            ),
            columns=_columns([PaperPart()], ACROSS, ["R@1"]),
        ),
        PaperTable(
            title="Time and size",
            dataset="oxford",
            protocol=_OXFORD,
            lines=_VXP_LINES,
            columns=tuple(PaperColumn(metric=metric) for metric in ("image", "cloud", "parameters")),
        ),
    ),
)

# --- (LC)² ---------------------------------------------------------------------------------------

LC2 = Paper(
    name="(LC)²",
    notes=(INFERRED, "Its clouds ask and its images are searched."),
    tables=(
        PaperTable(
            title="ViViD++ campus, day1 asks and day2 is searched",
            dataset="vivid",
            protocol="vivid-campus-day1-day2",
            published_protocol="",
            lines=(PaperLine(name="(LC)^2", method="lc2"),),
            columns=_columns(
                [PaperPart(name="campus day1 -> day2", pairs=(("campus_day1", "campus_day2"),))], [CLOUD_ASKS], ["R@1"]
            ),
        ),
        PaperTable(
            title="Oxford RobotCar",
            dataset="oxford",
            protocol="oxford-vxp",
            published_protocol="",
            lines=(PaperLine(name="(LC)^2", method="lc2"),),
            columns=_columns([PaperPart()], [CLOUD_ASKS], ["R@1"]),
        ),
    ),
)

# --- LIP-Loc -------------------------------------------------------------------------------------

LIPLOC = Paper(
    name="LIP-Loc",
    notes=(INFERRED, "Its table on KITTI-360 has no shape here, because the suite does not read KITTI-360."),
    tables=(
        PaperTable(
            title="KITTI odometry, three sizes of the training set",
            dataset="kitti",
            protocol="liploc-as-published",
            lines=(
                PaperLine(name="LIP-Loc, large", method="liploc", train_split="03-07"),
                PaperLine(name="LIP-Loc, larger", method="liploc", train_split="00-07"),
                PaperLine(name="LIP-Loc, largest", method="liploc", train_split="00-07, 11-13, 15-21"),
            ),
            columns=_columns(_sequences("08", "09"), [IMAGE_ASKS], ["R@1"]),
        ),
        PaperTable(
            title="What loss and encoder bring, on KITTI odometry",
            dataset="kitti",
            protocol="liploc-as-published",
            lines=(
                PaperLine(name="LIP-Loc, triplet loss", method="liploc", variant="triplet"),
                PaperLine(name="LIP-Loc, ViT-S/16", method="liploc", variant="vit-s16"),
            ),
            columns=_columns(_sequences("08", "09"), [IMAGE_ASKS], ["R@1"]),
        ),
    ),
)

# --- ModaLink ------------------------------------------------------------------------------------

_P_I2P_LINES = (
    PaperLine(name="Cattaneo", method="cattaneo"),
    *(PaperLine(name=f"{depth}-Points") for depth in ("MIM", "PSM", "LEA")),
    *(PaperLine(name=f"{depth}-I2P-Rec") for depth in ("MIM", "PSM", "LEA")),
    PaperLine(name="I2P-Rec", method="i2prec", is_printed=False),
    PaperLine(name="ModaLink", method="modalink"),
    PaperLine(name="InsCMPR"),
    PaperLine(name="DXPR", method="dxpr"),
)

MODALINK = Paper(
    name="ModaLink",
    notes=(
        "The paper's own tables could not be read; rows and recall are those of Table III of DXPR, which quotes them.",
        OWN_FRAME,
        "Table III prints no R@1% of Cattaneo.",
        "MIM, PSM and LEA give I2P-Rec its depth; the row I2P-Rec is the suite's, with its own depth.",
    ),
    tables=(
        *(
            PaperTable(
                title="KITTI odometry, trained on the head of 00, each sequence against itself, 10 m",
                dataset="kitti",
                protocol="kitti-00head-10m",
                lines=_P_I2P_LINES,
                columns=_columns(_sequences("00", "02", "05", "06", "08"), [IMAGE_ASKS], [metric]),
            )
            for metric in ("R@1", "R@1%")
        ),
        PaperTable(
            title="Speed",
            dataset="kitti",
            protocol="kitti-00head-10m",
            lines=(PaperLine(name="ModaLink", method="modalink"),),
            columns=(PaperColumn(metric="frames/s"), PaperColumn(metric="image"), PaperColumn(metric="cloud")),
        ),
    ),
)

# --- RangeBEV ------------------------------------------------------------------------------------

_P_RB_LINES = (
    PaperLine(name="PlainEBD"),
    PaperLine(name="(LC)^2", method="lc2"),
    PaperLine(name="I2P-Rec", method="i2prec"),
    _VXP,
    PaperLine(name="ModaLink", method="modalink"),
    PaperLine(name="CMVM"),
    PaperLine(name="RangeBEV", method="rangebev"),
)

RANGEBEV = Paper(
    name="RangeBEV",
    notes=(
        "Table I was read from the picture of it in the authors' repository; the paper's other tables were not.",
        "How RangeBEV's authors trained VXP could not be read: no difference is formed.",
    ),
    tables=tuple(
        PaperTable(
            title="KITTI odometry, trained on 11 to 21, each sequence against itself, own frame dropped, 10 m",
            dataset="kitti",
            protocol="kitti-synchronous-10m",
            lines=_P_RB_LINES,
            columns=_columns(_sequences("00", "02", "05", "06", "07", "08"), [IMAGE_ASKS], [metric]),
        )
        for metric in ("R@1", "R@5", "R@1%")
    ),
)

PAPERS: dict[str, Paper] = {"vxp": VXP, "lc2": LC2, "liploc": LIPLOC, "modalink": MODALINK, "rangebev": RANGEBEV}
"""Papers by the names of their methods; ``results/published/NAME.csv`` holds what each prints."""
