"""Image backbones from timm, cut to the feature map that a method uses."""

import re
from pathlib import Path

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from datasets.errors import CrossplaceError
from datasets.files import sha256_of

FROM_SCRATCH, DOWNLOAD = "none", "timm"


class ImageBackbone(nn.Module):
    """One intermediate feature map of a timm model, later layers removed.

    For transformers the tokens of block ``block`` as a map, without class token and without the final norm (as
    published for VXP's DINO ViT-S/8: 384×28×28 at 224×224). For convolutional networks the output of stage ``block``
    (ResNet-18: 1 → 64 channels at stride 4, 2 → 128 at stride 8 …).
    """

    def __init__(self, name: str, block: int, image_size: int, weights: str, weights_sha256: str = "") -> None:
        super().__init__()
        extra = {"img_size": image_size} if name.startswith("vit_") else {}
        try:
            self.encoder = timm.create_model(name, **_weights_arguments(name, weights, weights_sha256), **extra)
        except CrossplaceError:
            raise
        except Exception as error:
            raise CrossplaceError(
                f"weights {weights!r} could not be loaded into {name} ({type(error).__name__}: {error}). "
                + (
                    "timm downloads them on first use, which needs a network; get the file elsewhere and pass "
                    "--weights FILE, or train from scratch on purpose with --weights none"
                    if weights == DOWNLOAD
                    else "Expected a checkpoint of this very architecture, as safetensors or a plain state dict"
                )
            ) from error
        self.encoder.prune_intermediate_layers([block], prune_norm=True, prune_head=True)
        self.block = block
        with torch.no_grad():
            was_training = self.encoder.training
            example = self.eval()(torch.zeros(1, 3, image_size, image_size))
            self.encoder.train(was_training)
        self.channels = example.shape[1]
        """Channels of the feature map."""
        self.map_size = (example.shape[2], example.shape[3])
        """Rows and columns of the feature map."""

    def forward(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c h w"]:
        """Feature map of normalised images."""
        maps = self.encoder.forward_intermediates(
            pixels, indices=[self.block], norm=False, stop_early=True, intermediates_only=True
        )
        return maps[-1]


def _weights_arguments(name: str, weights: str, expected_sha256: str) -> dict[str, object]:
    """Arguments of ``timm.create_model`` for a weights choice; the file's hash is checked first."""
    if weights in (FROM_SCRATCH, DOWNLOAD):
        return {"pretrained": weights == DOWNLOAD}
    path = Path(weights).expanduser()
    if not path.is_file():
        raise CrossplaceError(
            f"backbone weights for {name}: no file {path}; pass --weights FILE, --weights timm to download, or "
            "--weights none to train from scratch on purpose"
        )
    found = sha256_of(path)
    in_name = re.search(r"-([0-9a-f]{8})\.", path.name)  # torch.hub's convention: first digits of the SHA-256
    expected = expected_sha256 or (in_name.group(1) if in_name else "")
    if not found.startswith(expected):
        raise CrossplaceError(
            f"{path}: SHA-256 is {found}, expected {expected}…; the file is damaged or another model, fetch it again"
        )
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path), "hf_hub_id": None, "url": None}}
