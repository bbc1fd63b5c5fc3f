"""What the network of CMRNet sees: images of one size, and the map as it would look from a rough pose."""

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as image_ops

from datasets.errors import CrossplaceError
from methods.cmrnet.config import CmrnetConfig
from methods.layers.poses import Rigid, applied, inverse
from methods.layers.visibility import back_projected, drawn_depth, visible
from methods.registration import RegistrationBatch


class Pictures(NamedTuple):
    """Images as network input."""

    pixels: Float[Tensor, "b 3 h w"]
    """Normalised images. What is beside an image is 0."""
    intrinsics_px: Float[Tensor, "b 4"]
    """fx, fy, cx, cy in pixels of the input."""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of each image within the input."""


def pictures(batch: RegistrationBatch, config: CmrnetConfig) -> Pictures:
    """Images of a batch at the size of the input."""
    size = config.image.size
    fitted = [_fitted(image, config, frame.frame_id) for image, frame in zip(batch.images, batch.frames, strict=True)]
    sizes = tuple((image.shape[1], image.shape[2]) for image in fitted)
    pixels = [config.image.normalised(image[None])[0] for image in fitted]
    padded = [functional.pad(p, (0, size[1] - p.shape[2], 0, size[0] - p.shape[1])) for p in pixels]
    scale = batch.intrinsics.new_tensor([[width, height, width, height] for height, width in sizes])
    return Pictures(torch.stack(padded), batch.intrinsics * scale, sizes)


def _fitted(image: UInt8[Tensor, "3 _ _"], config: CmrnetConfig, frame_id: str) -> Float[Tensor, "3 _ _"]:
    """An image from 0 to 1 that fits into the input."""
    size, scaled = config.image.size, image.float() / 255
    if config.fit == "resize":
        same = tuple(scaled.shape[1:]) == size
        return scaled if same else image_ops.resize(scaled, list(size), antialias=config.image.antialias)
    if scaled.shape[1] > size[0] or scaled.shape[2] > size[1]:
        raise CrossplaceError(
            f"frame {frame_id}: an image of {scaled.shape[2]} × {scaled.shape[1]} pixels does not fit into the input "
            f"of {size[1]} × {size[0]}; choose fit=resize, for example --variant fit=resize, or a larger input"
        )
    return scaled


def drawn(
    points: list[Float[Tensor, "_ 3"]], map_from_camera: Rigid, seen: Pictures, config: CmrnetConfig
) -> Float[Tensor, "b 1 h w"]:
    """Depth of each map at a pose, metres, without what the visibility filter finds hidden."""
    height, width = config.image.size
    depth_m = seen.pixels.new_zeros(len(points), 1, height, width)
    for number, (some, pose) in enumerate(zip(points, inverse(map_from_camera), strict=True)):
        rows, columns = seen.sizes[number]
        one = drawn_depth(applied(pose, some), seen.intrinsics_px[number], rows, columns, config.max_depth_m)
        depth_m[number, 0, :rows, :columns] = one
    radius = config.occlusion_radius
    return visible(depth_m, seen.intrinsics_px, radius) if radius else depth_m


def depth_input(depth_m: Float[Tensor, "b 1 h w"], config: CmrnetConfig) -> Float[Tensor, "b 1 h w"]:
    """Depth as the network sees it, from 0 (unknown) to 1."""
    if not config.has_log_depth:
        return depth_m / config.max_depth_m
    nearness = 1 - depth_m.clamp(min=1.0).log() / torch.tensor(config.max_depth_m).log()
    return torch.where(depth_m > 0, 0.2 + 0.8 * nearness, 0.0)


class Cells(NamedTuple):
    """One point of the map for each cell of the network's output."""

    points: Float[Tensor, "b n 3"]
    """In the rough camera's frame (right, down, forward), metres."""
    position_px: Float[Tensor, "b n 2"]
    """Where each point appears from the rough pose."""
    is_there: Float[Tensor, "b n"]
    """1 where a cell has a point, 0 elsewhere."""


def cells(depth_m: Float[Tensor, "b 1 h w"], intrinsics_px: Float[Tensor, "b 4"], side: int) -> Cells:
    """The nearest point of each cell of ``side`` × ``side`` pixels, in the order of the rows."""
    nearness = torch.where(depth_m > 0, 1 / depth_m.clamp(min=0.01), 0.0)
    strongest, pixel = functional.max_pool2d(nearness, side, ceil_mode=True, return_indices=True)
    chosen = pixel.flatten(1)[:, None]
    points = back_projected(depth_m, intrinsics_px).flatten(2).gather(2, chosen.expand(-1, 3, -1)).transpose(1, 2)
    width = depth_m.shape[3]
    position = torch.stack([chosen[:, 0] % width, chosen[:, 0].div(width, rounding_mode="floor")], dim=2) + 0.5
    return Cells(points, position.to(points.dtype), (strongest.flatten(1) > 0).to(points.dtype))
