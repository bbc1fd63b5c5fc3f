"""Image backbones from timm, cut to the feature map that a method uses."""

import re
from pathlib import Path
from textwrap import shorten
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_download
from jaxtyping import Float
from timm.models import load_state_dict
from torch import Tensor, nn

from datasets.errors import CrossplaceError
from datasets.files import sha256_of
from methods.base import DOWNLOAD, FROM_SCRATCH, PACKAGE
from methods.layers.package_weights import load_packaged


class ImageBackbone(nn.Module):
    """One intermediate feature map of a timm model. Later layers are removed.

    For transformers, the map holds the tokens of block ``block``, without class token and without the final norm (as
    published for VXP's DINO ViT-S/8: 384×28×28 at 224×224). For convolutional networks, it is the output of stage
    ``block`` (ResNet-18: 1 → 64 channels at stride 4, 2 → 128 at stride 8 …).
    """

    def __init__(
        self, name: str, block: int, image_size: tuple[int, int], weights: str, weights_sha256: str = ""
    ) -> None:
        super().__init__()
        self.block = block
        self.encoder = _create(name, image_size, weights, weights_sha256)
        n_maps = len(self.encoder.feature_info)
        if not 0 <= block < n_maps:
            raise CrossplaceError(f"backbone {name}: no feature map {block}; choose one from 0 to {n_maps - 1}")
        if not hasattr(self.encoder, "prune_intermediate_layers"):
            raise CrossplaceError(
                f"backbone {name}: timm {timm.__version__} cannot give its feature maps; install a newer one: "
                "python -m pip install 'timm>=1.0.31'"
            )
        self.encoder.prune_intermediate_layers([block], prune_norm=True, prune_head=True)
        with torch.no_grad():
            example = self.eval()(torch.zeros(1, 3, *image_size))
        self.train()
        self.channels = example.shape[1]
        """Channels of the feature map."""
        self.map_size: tuple[int, int] = tuple(example.shape[2:])
        """Rows and columns of the feature map."""

    @property
    def has_class_token(self) -> bool:
        """Whether the backbone is a transformer with a class token."""
        return bool(getattr(self.encoder, "num_prefix_tokens", 0))

    def forward(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c h w"]:
        """Feature map of normalised images."""
        maps = self._intermediates(pixels)
        return maps[-1]

    def class_token(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c"]:
        """The class token after the block of the feature map, of a backbone with :attr:`has_class_token`."""
        return self.map_and_class_token(pixels)[1]

    def map_and_class_token(
        self, pixels: Float[Tensor, "b 3 height width"]
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c"]]:
        """Feature map and class token in one pass, of a backbone with :attr:`has_class_token`."""
        feature_map, prefix = self._intermediates(pixels, return_prefix_tokens=True)[-1]
        return feature_map, prefix[:, 0]

    def _intermediates(self, pixels: Tensor, **options: bool) -> Any:
        return self.encoder.forward_intermediates(
            pixels, indices=[self.block], norm=False, stop_early=True, intermediates_only=True, **options
        )


class PooledBackbone(nn.Module):
    """A whole timm model without its classifier: one vector for each image, with the model's own pooling.

    Convolutional networks average their last map. Transformers give the class token after the final norm.
    """

    def __init__(self, name: str, image_size: tuple[int, int], weights: str, weights_sha256: str = "") -> None:
        super().__init__()
        self.encoder = _create(name, image_size, weights, weights_sha256)
        self.encoder.reset_classifier(0)
        self.channels: int = self.encoder.num_features

    def forward(self, pixels: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c"]:
        """Features of normalised images."""
        return self.encoder(pixels)


def _create(name: str, image_size: tuple[int, int], weights: str, weights_sha256: str) -> Any:
    """The whole timm model. If its weights cannot be loaded, the error gives the reason in one sentence."""
    if not timm.is_model(name):
        raise CrossplaceError(f"backbone {name!r}: timm {timm.__version__} has no such model (see timm.list_models())")
    size = {"img_size": image_size} if name.startswith("vit_") else {}
    if weights == FROM_SCRATCH:
        return timm.create_model(name, **size)
    if weights == PACKAGE:
        return load_packaged(name, timm.create_model(name), weights_sha256)
    path = None if weights == DOWNLOAD else _checked_file(name, Path(weights).expanduser(), weights_sha256)
    try:
        if weights == DOWNLOAD and weights_sha256:
            path = _checked_file(name, _downloaded(name), weights_sha256)
        overlay = {"file": str(path), "hf_hub_id": None, "url": None} if path else {}
        model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **size)
        if path:
            _check_shapes(model, path)
    except CrossplaceError:
        raise
    except Exception as error:  # many kinds, by source and file format
        reason = shorten(
            f"{type(error).__name__}: {error}", 160, placeholder=" …"
        )  # without it, thousands of tensor names
        raise CrossplaceError(
            f"weights {weights!r} could not be loaded into {name} ({reason}). "
            + (
                "Expected a checkpoint of this very architecture, as safetensors or a plain state dict"
                if weights != DOWNLOAD
                else "timm downloads them on first use, which needs a network; get the file elsewhere and pass "
                "--weights FILE, or train from scratch on purpose with --weights none"
            )
        ) from error
    return model


def _downloaded(name: str) -> Path:
    """The file that timm would load, in the hub's cache. It is fetched separately, so that its hash can be checked."""
    return Path(hf_hub_download(timm.get_pretrained_cfg(name).hf_hub_id, "model.safetensors"))


def _checked_file(name: str, path: Path, expected_sha256: str) -> Path:
    """``path``, if it exists and has the expected hash (given, or in its name)."""
    if not path.is_file():
        raise CrossplaceError(
            f"backbone weights for {name}: no file {path}; pass --weights FILE, --weights timm to download, --weights "
            "package for those of a Python package, or --weights none to train from scratch on purpose"
        )
    found = sha256_of(path)
    in_name = re.search(r"-([0-9a-f]{8})\.", path.name)  # torch.hub's convention: first digits of the SHA-256
    expected = expected_sha256 or (in_name.group(1) if in_name else "")
    if not found.startswith(expected):
        raise CrossplaceError(
            f"{path}: SHA-256 is {found}, expected {expected}…; the file is damaged or another model, fetch it again"
        )
    return path


def _check_shapes(model: nn.Module, path: Path) -> None:
    """Refuse weights that timm would resample silently, above all patches of another size.

    Only position embeddings may differ. They are resampled to other image sizes on purpose.
    """
    expected = {key: tensor.shape for key, tensor in model.state_dict().items() if key != "pos_embed"}
    for key, tensor in load_state_dict(str(path)).items():
        if key in expected and tensor.shape != expected[key]:
            raise ValueError(f"{key} has shape {tuple(tensor.shape)}, expected {tuple(expected[key])}")
