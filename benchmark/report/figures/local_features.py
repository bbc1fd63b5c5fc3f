"""Features of voxels beside those of the pixels that they project to, in colours that mean the same for both.

One principal component analysis of both kinds gives three components, which become red, green and blue. Where local
alignment has worked, a voxel has the colour of its pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from benchmark.report.figures.gallery import dataset_of
from benchmark.report.figures.style import FAINT, Margins, sheet, short
from benchmark.report.figures.topics import Sources, Topic, cells, chosen, names_in, queries_of, ranks_of
from benchmark.report.table import Cell, Column, Table, number, text
from datasets.errors import CrossplaceError
from datasets.files import sha256_of
from datasets.prepared import PreparedDataset
from datasets.summary import spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmark.records.schema import Result
    from methods.base import Method

N_FRAMES = 3
PIXEL, VOXEL = "pixel", "voxel"
TAILS = (2, 98)
"""Percentiles of a component that become no and full colour."""


@dataclass(frozen=True, kw_only=True)
class Local:
    """Local features of one frame; places are fractions of the width and height of the image."""

    pixels: Float[ndarray, "h w c"]
    voxels: Float[ndarray, "n c"]
    uv: Float[ndarray, "n 2"]
    cells: Int[ndarray, "n 2"]
    """Row and column of the pixel that each voxel falls into."""


def numbers(topic: Topic, sources: Sources) -> Table:
    """A line for each pixel of the feature map and each voxel in view: its place and its colour.

    Raises:
        CrossplaceError: no dataset, no weights, or a method without local features.
    """
    assert topic.row is not None
    dataset, run = dataset_of(topic, sources), topic.row.runs[0]
    method = _method(run.result, sources.weights)
    found = queries_of(run, ranks_of(run, "query_frame", "frame_id"), next(iter(run.result.directions)))
    ids = found.of_frame("id", np.unique(found["frame"])).tolist()
    frames = dataset.frames
    usable = np.flatnonzero(np.isin(frames.frame_id, ids) & (frames.image != "") & (frames.cloud != ""))
    if not len(usable):
        raise CrossplaceError(f"no query of {dataset.name} has an image and a cloud; prepare the dataset with both")
    chosen_rows = spread(usable, N_FRAMES)
    local = [_local(method, dataset, int(row)) for row in chosen_rows]
    if not any(len(each.voxels) for each in local):
        raise CrossplaceError(f"no voxel of {dataset.name} is in view of its camera; check with crossplace data check")
    rows = []
    for row, found_there, colours in zip(chosen_rows, local, in_colours(local), strict=True):
        rows += _lines(str(frames.frame_id[row]), found_there, colours)
    own, other = alignment(local)
    names = [Column(name="frame"), Column(name="of")]
    places = [Column(name=name, digits=3) for name in ("u", "v", "red", "green", "blue")]
    return Table(
        title=f"Local features · {topic.words}",
        columns=[*names, *places],
        rows=rows,
        notes=[
            "Three principal components of pixel and voxel features together, as red, green and blue: alike colours "
            f"are alike features. Mean cosine of a voxel and its pixel: {own:.2f}; and the pixel of another voxel: "
            f"{other:.2f}. Components and cosines are around the mean of all voxels and their pixels."
        ],
    )


def _method(result: "Result", weights: Path | None) -> "Method":
    """The method of a result with its weights; refused if it has no local features, or if its weights are not here."""
    from benchmark.registry import METHODS
    from benchmark.request import MethodOptions
    from benchmark.training.checkpoint import load_weights
    from benchmark.training.configuring import configure
    from methods.base import FROM_SCRATCH

    made = result.method
    if made.origin == "foreign" or made.name not in METHODS.names():
        raise CrossplaceError(f"{made.name} is no registered method, so that nothing is known of its local features")
    kind = METHODS.get(made.name)
    options = MethodOptions(name=made.name, preset=made.preset, variant=made.variant)
    method = kind(replace(configure(kind, options), weights=FROM_SCRATCH, weights_sha256=""))
    if not hasattr(getattr(method, "cloud_branch", None), "in_view"):
        raise CrossplaceError("the method has no features of voxels that project to pixels; there is nothing to show")
    shipped = {each.sha256: each.file for each in kind.shipped}
    file = weights or shipped.get(made.weights_sha256)
    if made.origin == "untrained":
        raise CrossplaceError("the network is as initialised, so that nothing is aligned; draw a trained result")
    if file is None:
        raise CrossplaceError("its weights are not here; name their file with --weights")
    if sha256_of(file) != made.weights_sha256:
        raise CrossplaceError(f"{file.name} does not hold the weights of this result; name their file with --weights")
    load_weights(method, file, "name the weights of this method and preset with --weights")
    return method.eval()


def _local(method: Any, dataset: PreparedDataset, row: int) -> Local:
    import torch

    from methods.batch import collate, load_sample
    from methods.layers.projection import image_cells

    batch = collate([load_sample(dataset, dataset.frame(row), ("image", "cloud"))])
    with torch.no_grad():
        pixels = method.image_branch.backbone(method.image_inputs(batch))[0]
        seen = method.cloud_branch.in_view(method.cloud_inputs(batch))
        column, line = image_cells(seen.uv, *pixels.shape[-2:]).unbind(1)
    return Local(
        pixels=pixels.permute(1, 2, 0).double().numpy(),
        voxels=seen.features.double().numpy(),
        uv=seen.uv.double().numpy(),
        cells=torch.stack([line, column], dim=1).numpy(),
    )


def in_colours(local: Sequence[Local]) -> list[tuple[Float[ndarray, "h w 3"], Float[ndarray, "n 3"]]]:
    """Colours between 0 and 1 of pixels and voxels of each frame, by one analysis of the voxels and their pixels.

    Pixels that no voxel falls into, such as those of the sky, take no part in it.
    """
    everything = np.concatenate([part for each in local for part in (each.voxels, _own_pixels(each))])
    mean = everything.mean(axis=0)
    _, _, components = np.linalg.svd(everything - mean, full_matrices=False)
    axes = np.zeros((3, everything.shape[1]))
    axes[: min(3, len(components))] = components[:3]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes *= np.where(largest < 0, -1.0, 1.0)  # the sign of a component is free
    low, high = np.percentile((everything - mean) @ axes.T, TAILS, axis=0)

    def colour(features: Float[ndarray, "*n c"]) -> Float[ndarray, "*n 3"]:
        return np.clip(((features - mean) @ axes.T - low) / np.maximum(high - low, 1e-12), 0, 1)

    return [(colour(each.pixels), colour(each.voxels)) for each in local]


def alignment(local: Sequence[Local]) -> tuple[float, float]:
    """Mean cosine of voxels with their pixels, and with the pixels of the voxels half of a frame further on."""
    mean = np.concatenate([part for each in local for part in (each.voxels, _own_pixels(each))]).mean(axis=0)
    own, other = [], []
    for each in local:
        at_pixels = _unit(_own_pixels(each) - mean)
        voxels = _unit(each.voxels - mean)
        own.append((voxels * at_pixels).sum(axis=1))
        other.append((voxels * np.roll(at_pixels, len(voxels) // 2, axis=0)).sum(axis=1))
    both = np.concatenate(own), np.concatenate(other)
    return float(both[0].mean()), float(both[1].mean())


def _unit(rows: Float[ndarray, "n c"]) -> Float[ndarray, "n c"]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _own_pixels(local: Local) -> Float[ndarray, "n c"]:
    """The pixel that each voxel falls into."""
    return local.pixels[local.cells[:, 0], local.cells[:, 1]]


def _flat(pixels: Float[ndarray, "h w c"]) -> Float[ndarray, "n c"]:
    return pixels.reshape(-1, pixels.shape[-1])


def _lines(
    frame: str, local: Local, colours: tuple[Float[ndarray, "h w 3"], Float[ndarray, "n 3"]]
) -> list[list[Cell]]:
    height, width, _ = local.pixels.shape
    line, column = np.mgrid[:height, :width]
    centres = np.stack([(column + 0.5) / width, (line + 0.5) / height], axis=-1).reshape(-1, 2)
    found = [(PIXEL, centres, _flat(colours[0])), (VOXEL, local.uv, colours[1])]
    return [
        [text(frame), text(kind), *(number(round(float(value), 4)) for value in (*place, *colour))]
        for kind, places, shades in found
        for place, colour in zip(places, shades, strict=True)
    ]


def draw(table: Table, sources: Sources) -> "Figure":
    """A line a frame: its image, the features of its pixels, and those of its voxels where they project."""
    assert sources.dataset is not None
    dataset, frames = sources.dataset, names_in(table, "frame")
    rows_of = {frame: row for row, frame in enumerate(dataset.frames.frame_id.tolist())}
    drawn = sheet(
        3 * len(frames),
        title=table.title,
        caption=table.notes,
        n_columns=3,
        height_in=1.65,
        margins=Margins(left=0.06, right=0.06, top=0.24, bottom=0.06),
    )
    for place, frame in enumerate(frames):
        pixels = dataset.load_image(dataset.frame(rows_of[frame]))
        height, width = pixels.shape[:2]
        panels = drawn.panels[3 * place : 3 * place + 3]
        names = (short(frame), "features of pixels", "features of voxels, projected")
        panels[0].imshow(pixels, extent=(0, width, height, 0))
        for axes, kind in zip(panels[1:], (PIXEL, VOXEL), strict=True):
            part = chosen(chosen(table, "frame", frame), "of", kind)
            values = np.array(cells(part, "u", "v", "red", "green", "blue"), dtype=float).reshape(-1, 5)
            _features(axes, values, kind, (width, height))
        for axes, name in zip(panels, names, strict=True):
            axes.set_title(name, loc="left", fontsize=8)
            axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=FAINT)
    return drawn.figure


def _features(axes: Any, values: Float[ndarray, "n 5"], kind: str, size: tuple[int, int]) -> None:
    """Squares of the feature map, or dots where voxels project."""
    width, height = size
    if kind == PIXEL:
        n_columns = len(np.unique(values[:, 0]))
        grid = values[:, 2:].reshape(-1, n_columns, 3)
        axes.imshow(grid, extent=(0, width, height, 0), interpolation="nearest")
        return
    axes.set_facecolor("#f2f2f2")
    axes.scatter(values[:, 0] * width, values[:, 1] * height, c=values[:, 2:], s=10, linewidths=0, rasterized=True)
