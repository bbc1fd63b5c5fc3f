from dataclasses import replace

import pytest
import torch
from batches import count

from benchmark.contract.overfitting import SPLIT
from methods.base import ImageInput
from methods.batch import Batch
from methods.layers.range_image import RangeView
from methods.learning.cross_modal import TripletTraining
from methods.range_plain import PRESETS, RangePlain

SMALL = replace(
    PRESETS["quick"],
    backbone_block=1,
    image=ImageInput(height=24, width=32, per_image=True),
    view=RangeView(rows=16, columns=16),
    range_size=(16, 32),
)


@pytest.fixture
def method() -> RangePlain:
    torch.manual_seed(0)
    return RangePlain(SMALL).eval()


def test_two_whole_resnets_with_pooling_and_head_and_a_kibibyte_a_place() -> None:
    full = RangePlain(replace(PRESETS["full"], weights="none"))
    resnet18_without_classifier, gem, head = 11_176_512, 1, 512 * 256 + 256
    assert count(full) == 2 * (resnet18_without_classifier + gem + head)
    assert 4 * full.descriptors[0].size == 1024


def test_descriptors_have_unit_length(method: RangePlain, batch: Batch) -> None:
    for found in (method.encode_images(method.image_inputs(batch)), method.encode_clouds(method.cloud_inputs(batch))):
        assert found["main"].shape == (6, 1, 256)
        torch.testing.assert_close(found["main"].norm(dim=2), torch.ones(6, 1))


def test_a_cloud_without_points_looks_like_one_out_of_reach(method: RangePlain, batch: Batch) -> None:
    points, index = batch.clouds.points, batch.clouds.batch_index
    far = replace(batch, clouds=replace(batch.clouds, points=points * 1e4))
    none = replace(batch, clouds=replace(batch.clouds, points=points[:0], batch_index=index[:0]))
    assert method.cloud_inputs(far).equal(method.cloud_inputs(none))
    assert not method.cloud_inputs(far).equal(method.cloud_inputs(batch))


@pytest.mark.parametrize("mining", ["hardest", "all"])
def test_the_loss_is_that_of_a_loop_over_triplets_across_modalities(batch: Batch, mining: str) -> None:
    torch.manual_seed(0)
    method = RangePlain(replace(SMALL, training=TripletTraining(mining=mining))).eval()
    stage = method.stages(SPLIT)[0]
    output = stage(batch)
    images = method.encode_images(method.image_inputs(batch))["main"][:, 0]
    clouds = method.encode_clouds(method.cloud_inputs(batch))["main"][:, 0]
    total, active, triplets = 0.0, 0, 0
    for anchors, others in ((images, clouds), (clouds, images)):
        distance = torch.cdist(anchors, others)
        for i in range(6):
            near = [distance[i, j].item() for j in range(6) if j // 2 == i // 2]  # rows of the same place
            far = [distance[i, j].item() for j in range(6) if j // 2 != i // 2]
            if mining == "hardest":
                near, far = [max(near)], [min(far)]
            losses = [max(p - n + 0.3, 0) for p in near for n in far]
            total, active = total + sum(losses), active + sum(loss > 1e-7 for loss in losses)
            triplets += len(losses)
    assert output.loss_sum.item() == pytest.approx(total, rel=1e-4)
    assert (output.count, output.statistics["triplets"]) == (active, triplets)
    assert stage.score({"loss": total / active, "active": active, "triplets": triplets}) == pytest.approx(
        total / triplets, rel=1e-4
    )
