"""Settings of CMRNet: the published network, and a smaller one that also predicts displacements."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from datasets.errors import CrossplaceError
from methods.base import ImageInput, MethodConfig, Variant
from methods.learning.relighting import Relighting
from methods.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnRange:
    """Ranges of the rough poses of one training, uniform and independent, in the axes forward, right, down."""

    low_m: tuple[float, float, float]
    """Smallest shift forward, right and down, metres."""
    high_m: tuple[float, float, float]
    """Largest shift forward, right and down, metres."""
    angle_deg: float
    """Largest angle about each axis, degrees."""


LARGE = DrawnRange(low_m=(-2.0, -2.0, -2.0), high_m=(2.0, 2.0, 1.0), angle_deg=10.0)
MIDDLE = DrawnRange(low_m=(-1.0, -1.0, -1.0), high_m=(1.0, 1.0, 1.0), angle_deg=2.0)
SMALL = DrawnRange(low_m=(-0.6, -0.6, -0.6), high_m=(0.6, 0.6, 0.6), angle_deg=2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Displacements:
    """A second output: where in the image the map's points of each cell really appear, and how sure that is."""

    weight: float = 1.0
    """Weight of the loss of displacements beside the loss of poses."""
    prior_m: float = 1.2
    """Expected size of the correction along each axis, metres."""
    prior_deg: float = 6.0
    """Expected size of the correction about each axis, degrees."""
    shared_cells: float = 30.0
    """So many cells err together, as the solve counts them."""
    steps: int = 8
    """Steps of the solve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Random changes of training frames."""

    mirror_probability: float = 0.5
    """Probability of mirroring image and map together."""
    jitter: float = 0.1
    """Strength of the plain colour jitter, which is used without relighting."""
    relighting: Relighting | None = None
    """Random light, colour and noise of images. None: plain colour jitter instead."""
    roll_deg: float = 5.0
    """Largest turn of the image about the optical axis, together with the map, degrees."""


@dataclass(frozen=True, kw_only=True)
class CmrnetConfig(MethodConfig):
    """Architecture and training. Defaults are the values of the published code."""

    image: ImageInput = ImageInput(height=384, width=1280)
    """Size of the network input."""
    fit: Literal["pad", "resize"] = "pad"
    """How images get the size of the input: zeros on the right and below, or a change of scale."""
    channels: tuple[int, ...] = (16, 32, 64, 96, 128, 196)
    """Channels of each level of both pyramids. Each level halves the size."""
    reach: int = 4
    """Largest shift in the cost volume, cells."""
    dense: tuple[int, ...] = (128, 128, 96, 64, 32)
    """Channels of each convolution of the dense block."""
    hidden: tuple[int, int] = (512, 256)
    """Sizes of the fully connected layers: the shared one, and the one of each head."""
    max_depth_m: float = 100.0
    """Depth that counts as 1, metres. Points further away are not drawn."""
    has_log_depth: bool = False
    """Whether the network sees the logarithm of depth. If not, it sees depth itself."""
    sees_depth_features: bool = False
    """Whether the dense block also gets the features of the depth image. If not, it gets the cost volume alone."""
    flattens_all: bool = True
    """Whether the fully connected layer sees all maps of the dense block. If not, it sees the last one."""
    occlusion_radius: int = 5
    """Reach of the visibility filter, pixels of the input. 0: no filter."""
    ranges: tuple[DrawnRange, ...] = (LARGE, MIDDLE, SMALL)
    """Ranges of the starts that networks are trained for, in the order of use."""
    is_shared: bool = False
    """Whether one network is trained for all ranges together. If not, each range has a network of its own."""
    iterations: int = 3
    """How often a pose is corrected."""
    displacements: Displacements | None = None
    """How displacements of cells are learnt beside the pose, and solved for a pose. None: not at all, as published."""
    solves: bool = False
    """Whether the pose is solved from the displacements. If not, it is what the heads say, as published."""
    regressed_m: float = 0.2
    """Usual error of a regressed position along each axis, metres. How far the last correction moved comes on top."""
    regressed_deg: float = 0.7
    """Usual error of a regressed orientation about each axis, degrees. The last correction comes on top."""
    inflation: tuple[float, float] = (1.0, 1.0)
    """Factors of the standard deviations of position and of orientation that a solved pose is returned with. They are
    chosen so that errors on validation frames are as large as stated."""
    changes: Changes = Changes()
    most_frames: tuple[int, int] = (0, 0)
    """Most frames that are used in training, and in validation: a fixed random choice. 0: all of them."""
    recipe: Recipe = Recipe(
        epochs=300,
        batch_size=24,
        learning_rate=1e-4,
        learning_rate_floor=1e-4,
        weight_decay=5e-6,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        side = 2 ** len(self.channels)
        wanted = "a multiple of 8" if self.fit == "resize" else f"a multiple of {side}"
        unit = 8 if self.fit == "resize" else side
        if self.image.height % unit or self.image.width % unit:
            raise CrossplaceError(f"input {self.image.height} × {self.image.width}: expected {wanted} each way")

    @property
    def n_networks(self) -> int:
        """How many networks are trained."""
        return 1 if self.is_shared else len(self.ranges)


_PAPER = CmrnetConfig()
_QUICK = replace(
    _PAPER,
    image=ImageInput(height=120, width=160),
    fit="resize",
    channels=(16, 32, 64),
    dense=(48, 40, 32, 32, 32),
    hidden=(128, 64),
    max_depth_m=45.0,
    has_log_depth=True,
    sees_depth_features=True,
    flattens_all=False,
    occlusion_radius=0,
    ranges=(LARGE, MIDDLE),
    is_shared=True,
    iterations=4,
    displacements=Displacements(),
    regressed_m=0.65,
    regressed_deg=1.6,
    inflation=(2.4, 1.25),
    most_frames=(520, 64),
    changes=Changes(relighting=Relighting(), roll_deg=0.0),
    recipe=Recipe(
        epochs=30,
        batch_size=8,
        learning_rate=1e-3,
        learning_rate_floor=1e-5,
        schedule="cosine",
        warmup_steps=60,
        optimizer="adamw",
        weight_decay=1e-4,
        clip_norm=5.0,
    ),
)

PRESETS: dict[str, MethodConfig] = {"quick": _QUICK, "paper": _PAPER}


def _with(**fields: Any) -> Any:
    return lambda config: replace(config, **fields)


def _solved(config: CmrnetConfig) -> CmrnetConfig:
    """The pose of the solve; a configuration without displacements gets them."""
    return replace(config, solves=True, displacements=config.displacements or Displacements())


VARIANTS: dict[str, Variant] = {
    "solved": Variant(question="Do heads or a solve give the better pose?", change=_solved),
    "no-filter": Variant(question="Does the visibility filter help?", change=_with(occlusion_radius=0)),
    "filter": Variant(question="Does the visibility filter help?", change=_with(occlusion_radius=2)),
    "one-iteration": Variant(question="What does refinement bring?", change=_with(iterations=1)),
    "two-iterations": Variant(question="What does refinement bring?", change=_with(iterations=2)),
    "cost-alone": Variant(
        question="Does the network need the depth beside the cost volume?", change=_with(sees_depth_features=False)
    ),
    "plain-depth": Variant(question="How should depth be scaled?", change=_with(has_log_depth=False)),
}
"""Any of them can be combined."""
