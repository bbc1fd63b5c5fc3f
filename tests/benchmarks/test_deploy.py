"""What a localizer adds to encoding and search: ``nox -s cost`` shows both sides.

Both sides describe by the faster copy of the method and search by the same function.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.deploy.localizer import Localizer
from benchmark.deploy.places import Places
from benchmark.deploy.weights import method_with_weights
from benchmark.evaluation.estimates import Space
from benchmark.evaluation.nearest import nearest
from datasets.prepared import PreparedDataset, frames_at
from methods.batch import collate, load_sample
from methods.layers.inference import for_inference

N_PLACES, TOP = 5000, 5


def many_places(n: int, size: int) -> Places:
    """Places along a road, with random descriptors."""
    poses = np.tile(np.eye(4), (n, 1, 1))
    poses[:, 0, 3] = np.arange(n)
    times, names = np.arange(n, dtype=np.int64), [f"place-{i}" for i in range(n)]
    frames = frames_at(poses, times, traversal="t", world="w", frame_id=names, image=[""] * n, cloud=[""] * n)
    return Places(frames=frames, descriptors={"main": np.random.default_rng(0).normal(size=(n, 1, size))})


@pytest.mark.parametrize("what", ["encode and search", "query"])
@pytest.mark.benchmark(
    group=f"an image in a map of {N_PLACES} places, twin_layout quick: target of query, at most 1 ms more"
)
def test_query(benchmark: Any, what: str, tiny_town: PreparedDataset) -> None:
    method = method_with_weights("twin_layout")
    main = method.descriptors[0]
    places = many_places(N_PLACES, main.size)
    drive = next(iter(tiny_town.traversals.values()))
    localizer = Localizer(method, drive, places=places)
    batch = collate([load_sample(tiny_town, tiny_town.frame(0), ("image",))])
    image = tiny_town.load_image(tiny_town.frame(0))
    faster, space = for_inference(method, "float32"), Space.of([places.descriptors[main.name]], main.distance)
    searched = space.side(places.descriptors[main.name])

    def bare() -> list[str]:
        with torch.inference_mode():
            found = faster.encode_images(faster.image_inputs(batch))[main.name]
        asking = space.side(found.numpy().astype(np.float64))
        rows, _ = nearest(asking, searched, main.distance, TOP)
        return places.frames.frame_id[rows[0]].tolist()

    assert [place.name for place in localizer.query(image=image, top=TOP)] == bare()
    runs: dict[str, Callable[[], object]] = {
        "encode and search": bare,
        "query": lambda: localizer.query(image=image, top=TOP),
    }
    benchmark(runs[what])
