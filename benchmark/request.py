"""What a person asks for: the options that the commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DEFAULT_SEVERITY: Literal[3] = 3


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which method, how configured, on which data."""

    dataset: str = "town"
    """Registered dataset (crossplace list datasets), or a folder in the prepared form."""
    source: Path | None = None
    """Folder of the raw download; the town needs none."""
    dataset_options: tuple[str, ...] = ()
    """Options of the dataset as key=value, such as preset=tiny."""
    protocol: str | None = None
    """Protocol (crossplace list protocols); default: that of the dataset."""
    method: str = "vxp"
    """Registered method (crossplace list methods); bench takes all, one after the other."""
    preset: str = "quick"
    """Configuration of the method (crossplace list presets)."""
    variant: str = ""
    """Changes of the preset (crossplace list variants), joined by +."""
    share: float = 1.0
    """Share of the preset's training epochs to do, above 0; tables say so where it is less than all."""
    seed: int = 0
    """Of initialisation, sampling, augmentation and the random ranker."""
    weights: str | None = None
    """Pretrained backbone: none (from scratch), timm (download) or a file; default: as the preset says."""
    weights_sha256: str = ""
    """Expected SHA-256 of the backbone file (hexadecimal)."""
    depth: str | None = None
    """Depth from one image, for methods that use it: network (trained on the LiDAR), a folder with depth.json,
    module:function or an entry point; default: as the preset says. See docs/depth.md."""
    retrain: bool = False
    """Train even if trained weights for this preset and dataset come with the suite."""
    untrained: bool = False
    """Take the network as initialised: a control."""
    checkpoint: Path | None = None
    """Weights of the whole method, in place of training: from a training folder, or made by crossplace convert."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 …"""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    """Of training; mixed precision pays on a GPU."""
    sparse_backend: Literal["auto", "torch", "spconv"] = "auto"
    """What computes sparse convolutions; auto is spconv on CUDA where it is installed, else torch."""
    workers: int = 0
    """Processes that load training data; 0 loads in the main one."""
    perturb: str | None = None
    """Change the evaluated frames (crossplace list perturbations); default: not at all. See docs/robustness.md."""
    severity: Literal[0, 1, 2, 3, 4, 5] = DEFAULT_SEVERITY
    """How much --perturb changes, from 1 to 5; 0 changes nothing."""
    runs: Path = Path("runs")
    """Folder for checkpoints, descriptors and results of this machine."""
