"""Variants of VXP: what each changes, and that stages ignore only what they may."""

from dataclasses import fields, replace

import pytest
import torch
from small_vxp import CONFIG, SPLIT

from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.base import ImageInput
from methods.batch import collate, load_sample
from methods.layers.voxels import VoxelGrid
from methods.vxp import Vxp, published
from methods.vxp.config import PRESETS, EncoderWidths, VxpConfig
from methods.vxp.variants import VARIANTS

QUICK, PAPER = PRESETS["quick"], PRESETS["paper-oxford"]
TRAINED_AS_QUICK = ["quick", "pretrained", "gpu-pretrained"]
SMALL = replace(CONFIG, image=ImageInput(height=112, width=112, antialias=False))


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_changes_every_preset_but_the_one_that_is_so(name: str) -> None:
    same = [preset for preset, config in PRESETS.items() if VARIANTS[name].change(config) == config]
    expected = {
        "resnet18": ["quick"],
        "vit-s8": [p for p in PRESETS if p not in TRAINED_AS_QUICK],
        "cached-teacher": ["quick", "pretrained"],
        "centred": TRAINED_AS_QUICK,
        "stretched-centres": [p for p in PRESETS if p.startswith("published-")],
    }
    assert same == expected.get(name, [])


@pytest.mark.parametrize(
    ("name", "preset", "backbone", "block"),
    [
        ("resnet50", QUICK, "resnet50", 2),
        ("resnet50", PAPER, "resnet50", 2),
        ("vgg16", PAPER, "vgg16", 3),
        ("vit-s16", PAPER, "vit_small_patch16_224.dino", 11),
        ("vit-s16", QUICK, "vit_small_patch16_224.dino", 3),
    ],
)
def test_encoders_are_cut_where_the_presets_are(name: str, preset: VxpConfig, backbone: str, block: int) -> None:
    config = VARIANTS[name].change(preset)
    assert (config.backbone, config.backbone_block) == (backbone, block)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet18", (128, 28, 28)),
        ("resnet50", (512, 28, 28)),
        ("vgg16", (512, 28, 28)),
        ("vit-s8", (384, 28, 28)),
        ("vit-s16", (384, 14, 14)),
        ("dinov2-s14", (384, 16, 16)),
    ],
)
def test_maps_of_the_papers_preset(name: str, shape: tuple[int, int, int]) -> None:
    config = replace(VARIANTS[name].change(PAPER), weights="none", widths=SMALL.widths)
    backbone = Vxp(config).eval().image_branch.backbone
    with torch.inference_mode():
        assert backbone(torch.zeros(1, 3, 224, 224)).shape[1:] == shape


@pytest.mark.parametrize("name", [name for name, v in VARIANTS.items() if v.is_cheap] + ["vit-s16+class-token"])
def test_every_affordable_variant_trains_a_step_in_each_stage(name: str, small_world: PreparedDataset) -> None:
    config = SMALL
    for part in name.split("+"):
        config = VARIANTS[part].change(config)
    torch.manual_seed(0)
    method = Vxp(config)
    batch = collate([load_sample(small_world, small_world.frame(r), ("image", "cloud")) for r in (0, 12, 5, 17)])
    names = [stage.name for stage in method.stages(SPLIT)]
    other = {"no-local-stage": ["teacher", "global"], "joint": ["joint"], "joint-after-teacher": ["teacher", "joint"]}
    assert names == other.get(name, ["teacher", "local", "global"])
    for stage in method.stages(SPLIT):
        method.requires_grad_(False)
        for module in stage.trainable():
            module.requires_grad_(True).train()
        stage.before(iter([batch]))
        output = stage(batch)
        (output.loss_sum / output.count.clamp(min=1)).backward()
        gradients = [p.grad for module in stage.trainable() for p in module.parameters() if p.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_convolutional_encoder_has_no_class_token() -> None:
    with pytest.raises(CrossplaceError, match="backbone resnet18 has no class token"):
        Vxp(VARIANTS["class-token"].change(SMALL))


CHANGES = {
    "grid": VoxelGrid(size_m=(2.0, 2.0, 1.0)),
    "max_voxels": 50,
    "feature_channels": (4,),
    "collisions": "nearest-wins",
    "stretched_centres": True,
    "as_published": published.KITTI,
    "widths": EncoderWidths(entry=4, full=(), half=(4,), deep=(4,)),
    "inverse_depth_weighting": False,
    "head_from_teacher": True,
    "output_sites": "occupied",
    "teacher_features": "cached",
    "norm_momentum": 0.5,
    "is_centred": True,
    "joint_stage": replace(SMALL.joint_stage, epochs=1),
    "local_stage": replace(SMALL.local_stage, epochs=1, batch_size=3),
    "global_stage": replace(SMALL.global_stage, epochs=1, batch_size=3),
}


def outcome(config: VxpConfig, number: int, dataset: PreparedDataset) -> dict[str, torch.Tensor]:
    """What a stage's trained modules are after its preparation and one step on fixed samples."""
    torch.manual_seed(0)
    method = Vxp(config)
    stage = method.stages(SPLIT)[number]
    method.requires_grad_(False)
    stage.eval()
    for module in stage.trainable():
        module.requires_grad_(True).train()
    batch = collate([load_sample(dataset, dataset.frame(r), ("image", "cloud")) for r in (0, 12, 5, 17)])
    stage.before(iter([batch]))
    optimizer = torch.optim.Adam([p for m in stage.trainable() for p in m.parameters()], lr=stage.recipe.learning_rate)
    output = stage(batch)
    (output.loss_sum / output.count.clamp(min=1)).backward()
    optimizer.step()
    modules = enumerate(stage.trainable())
    return {f"{i}.{key}": value for i, module in modules for key, value in module.state_dict().items()}


@pytest.mark.parametrize("number", [0, 1], ids=["teacher", "local"])
def test_what_a_stage_ignores_changes_nothing_that_it_learns(number: int, small_world: PreparedDataset) -> None:
    ignored = Vxp(SMALL).stages(SPLIT)[number].ignores
    assert set(ignored) <= {f.name for f in fields(VxpConfig)}
    reference = outcome(SMALL, number, small_world)
    for name in ignored:
        found = outcome(replace(SMALL, **{name: CHANGES[name]}), number, small_world)
        assert all(torch.equal(reference[key], found[key]) for key in reference), name


def test_the_last_stage_ignores_nothing() -> None:
    assert Vxp(SMALL).stages(SPLIT)[-1].ignores == ()
