from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from batches import batch_of
from torch import Tensor, nn

from benchmark.contract.overfitting import SPLIT, learn_by_heart, own_cloud_recall, places_apart
from benchmark.descriptors.encoding import encode
from benchmark.descriptors.files import Descriptors
from datasets.prepared import PreparedDataset
from methods.base import Fusion, ImageInput
from methods.batch import Batch, load_sample
from methods.depth import QUICK_DEPTH, DepthNetwork
from methods.layers.bev import BevGrid
from methods.layers.range_image import RangeView
from methods.rangebev import PRESETS, RangeBev

SMALL = replace(
    PRESETS["quick"],
    backbone_block=1,
    image=ImageInput(height=24, width=32, per_image=True),
    view=RangeView(rows=16, columns=16, azimuth_deg="camera"),
    range_size=(16, 32),
    grid=BevGrid(rows=32, columns=24, forward_m=(0.0, 24.0), left_m=(-9.0, 9.0)),
    depth=replace(QUICK_DEPTH, source=DepthNetwork(height=24, width=32, channels=(8, 12))),
    depth_size=(12, 16),
)


@pytest.fixture
def method() -> RangeBev:
    torch.manual_seed(0)
    return RangeBev(SMALL).eval()


@pytest.fixture
def batch(small_world: PreparedDataset) -> Batch:
    return batch_of(small_world, 0, 5, 10)


def test_two_descriptors_of_a_kibibyte_each_and_what_fuses_them() -> None:
    paper = RangeBev(replace(PRESETS["paper"], weights="none"))
    assert [(spec.name, 4 * spec.size) for spec in paper.descriptors] == [("main", 1024), ("range", 1024)]
    assert paper.fusion == Fusion(descriptor="range", top=60)
    resnet50_without_classifier, gem, head = 23_508_032, 1, 2048 * 256 + 256
    encoders = [*paper.image_encoders.parameters(), *paper.cloud_encoders.parameters()]
    assert sum(p.numel() for p in encoders) == 4 * (resnet50_without_classifier + gem + head)


def test_the_main_descriptor_is_the_one_that_searches(batch: Batch) -> None:
    torch.manual_seed(0)
    by_range = RangeBev(SMALL).eval()
    by_bev = RangeBev(replace(SMALL, retrieved_by="bev")).eval()
    by_bev.load_state_dict(by_range.state_dict())
    found = {m: m.encode_clouds(m.cloud_inputs(batch)) for m in (by_range, by_bev)}
    assert list(found[by_range]) == ["main", "bev"]
    assert list(found[by_bev]) == ["main", "range"]
    assert found[by_range]["main"].equal(found[by_bev]["range"])
    assert found[by_range]["bev"].equal(found[by_bev]["main"])
    assert RangeBev(replace(SMALL, top=0)).fusion is None


class Wall(nn.Module):
    def forward(self, batch: Batch) -> Tensor:
        return torch.full((len(batch), 1, 12, 16), 10.0)


def test_a_perfect_depth_image_shows_from_above_what_the_cloud_shows(method: RangeBev, batch: Batch) -> None:
    """A wall across the view, once as depth and once as points."""
    method.depth = Wall()
    matrix = torch.linalg.inv(batch.camera_from_lidar[0])
    right, down = torch.meshgrid(torch.linspace(-9, 9, 60), torch.linspace(-7, 7, 50), indexing="xy")
    wall = torch.stack([right, down, torch.full_like(right, 10.0)], dim=-1).view(-1, 3)
    points = wall @ matrix[:3, :3].T + matrix[:3, 3]
    index = torch.arange(3).repeat_interleave(len(points))
    clouds = replace(batch.clouds, points=points.repeat(3, 1), batch_index=index)
    from_image = method.image_inputs(batch).bev
    from_cloud = method.cloud_inputs(replace(batch, clouds=clouds)).bev
    empty = method.cloud_inputs(replace(batch, clouds=replace(clouds, points=points[:0], batch_index=index[:0]))).bev
    rows_of_image, rows_of_cloud = ((seen != empty).any(1).any(2)[0] for seen in (from_image, from_cloud))
    assert rows_of_image.equal(rows_of_cloud)  # at 10 m and nowhere else
    assert rows_of_cloud.sum() == 1
    assert ((from_image != empty) == (from_cloud != empty)).float().mean() > 0.97


def test_points_behind_the_camera_are_not_seen_from_above(method: RangeBev, batch: Batch) -> None:
    turned = replace(batch.clouds, points=batch.clouds.points * torch.tensor([-1.0, 1.0, 1.0]))
    assert not method.cloud_inputs(batch).bev.equal(method.cloud_inputs(replace(batch, clouds=turned)).bev)
    behind = replace(batch.clouds, points=batch.clouds.points - torch.tensor([100.0, 0.0, 0.0]))
    seen = method.cloud_inputs(replace(batch, clouds=behind)).bev
    assert seen.equal(seen[..., :1, :1].expand_as(seen))


def test_triplets_leave_the_depth_network_alone(method: RangeBev, batch: Batch) -> None:
    depth, triplets = method.stages(SPLIT)
    assert (depth.name, triplets.name) == ("depth", "triplets")
    assert not {id(p) for p in method.depth.parameters()} & {
        id(p) for m in triplets.trainable() for p in m.parameters()
    }
    output = triplets(batch)
    output.loss_sum.backward()
    assert all(p.grad is None for p in method.depth.parameters())
    assert all(p.grad is not None for m in triplets.trainable() for p in m.parameters())
    assert output.statistics["triplets"] == 2 * 2 * 3 * 2  # descriptors, directions, anchors, negatives


def test_what_is_encoded_says_how_it_is_fused(method: RangeBev, small_world: PreparedDataset, tmp_path: Path) -> None:
    rows = np.arange(4)
    encode(method, small_world, rows, tmp_path, {"made": "for a test"})
    found = Descriptors.read(tmp_path)
    assert (found.distance, found.top, found.second.distance) == ("l2", 60, "l2")
    ids = small_world.frames.frame_id[rows].tolist()
    batch = batch_of(small_world, *rows.tolist())
    with torch.inference_mode():
        expected = method.encode_clouds(method.cloud_inputs(batch))
    np.testing.assert_allclose(found.of("cloud", ids), expected["main"], atol=1e-5)
    np.testing.assert_allclose(found.second.of("cloud", ids), expected["bev"], atol=1e-5)


def test_how_ranks_are_fused_changes_nothing_that_is_learnt(batch: Batch) -> None:
    def learnt(**changes: object) -> torch.Tensor:
        torch.manual_seed(0)
        method = RangeBev(replace(SMALL, **changes))
        stage = method.stages(SPLIT)[1]
        assert set(stage.ignores) == {"retrieved_by", "top"}
        stage(batch).loss_sum.backward()
        return torch.cat([p.grad.flatten() for m in stage.trainable() for p in m.parameters()])

    expected = learnt()
    assert learnt(top=0).equal(expected)
    assert learnt(retrieved_by="bev").equal(expected)


@pytest.mark.parametrize("name", RangeBev.variants)
def test_each_variant_changes_every_preset_but_those_that_are_so(name: str) -> None:
    same = [preset for preset, config in PRESETS.items() if RangeBev.variants[name].change(config) == config]
    assert same == {"range-first": ["quick", "pretrained"], "bev-first": ["gpu", "paper"]}.get(name, [])


def test_places_are_learnt_by_heart_with_both_descriptors(tiny_town: PreparedDataset) -> None:
    torch.manual_seed(0)
    method = RangeBev(
        replace(
            PRESETS["quick"],
            backbone_block=2,
            image=ImageInput(height=48, width=64, per_image=True),
            range_size=(32, 64),
        )
    )
    memory = learn_by_heart(method, tiny_town, n_places=4, early_steps=20, most_steps=40, budget_s=600.0)
    assert memory.before < 1
    rows = [row for row, _ in places_apart(tiny_town.frames, 4, 50.0)]
    samples = [load_sample(tiny_town, tiny_town.frame(row), ("image", "cloud")) for row in rows]
    assert [own_cloud_recall(method, samples, descriptor) for descriptor in (0, 1)] == [1, 1]
