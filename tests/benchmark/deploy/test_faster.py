"""What a faster copy finds on the town, with weights of the suite."""

from pathlib import Path

import pytest

from benchmark import door
from benchmark.deploy.localizer import Localizer
from benchmark.deploy.weights import method_with_weights
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.layers.inference import Precision, for_inference

MOST_LOST = 0.2
"""Points of recall."""


def recall(method: Method, town: PreparedDataset, folder: Path) -> dict[str, float]:
    """R@1 of both directions across modalities, percent."""
    result = door.evaluate(door.encode(method, town, folder / "descriptors"), town, runs=folder)
    found = {name: result.headline(name).values["R@1"] for name in ("image->cloud", "cloud->image")}
    return {name: 100 * value for name, value in found.items() if value is not None}


@pytest.fixture(scope="module")
def before(tiny_town: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Recall of the plain method."""
    return recall(method_with_weights("twin_layout"), tiny_town, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_recall_stays(
    precision: Precision, before: dict[str, float], tiny_town: PreparedDataset, tmp_path: Path
) -> None:
    after = recall(for_inference(method_with_weights("twin_layout"), precision), tiny_town, tmp_path)
    assert min(before.values()) > 20, "recall of what finds nothing would say nothing"
    assert after == pytest.approx(before, abs=MOST_LOST)


def test_a_map_made_in_one_precision_is_asked_in_another(tiny_town: PreparedDataset, tmp_path: Path) -> None:
    """The map belongs to the method, whichever copy of it describes: the frame of a place finds that place."""
    method = method_with_weights("twin_layout")
    drive = tiny_town.frames.traversal_names()[0]
    Localizer.build(method, tiny_town, [drive]).save(tmp_path / "map")
    loaded = Localizer.load(tmp_path / "map", method, precision="auto")
    for row in range(0, len(loaded), 10):
        (place,) = loaded.query(cloud=tiny_town.load_cloud(tiny_town.frame(row)), top=1)
        assert place.name == loaded.places.frames.frame_id[row]
        assert 0 < place.distance < 0.05
