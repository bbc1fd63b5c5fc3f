from dataclasses import replace

import pytest

from methods.layers.voxels import VoxelGrid
from methods.vxp.config import PRESETS, Augmentation, EncoderWidths, VxpConfig
from methods.vxp.variants import VARIANTS

# epochs, batch size, learning rate, floor, decay, epochs between decays, weight decay (as published, all three sets)
TEACHER = (100, 16, 1e-5, 1e-6, 0.95, 2, 1e-6)
LOCAL = (30, 8, 1e-4, 5e-6, 0.95, 2, 1e-6)
GLOBAL = {
    "paper-oxford": (30, 8, 1e-4, 5e-6, 0.95, 2, 1e-6),
    "paper-kitti": (50, 16, 1e-4, 5e-6, 0.95, 1, 1e-6),
    "paper-vivid": (30, 16, 1e-4, 5e-6, 0.95, 2, 1e-6),
}
# growth rate, share of active triplets below which the batch grows, largest batch
GROWTH = {"paper-oxford": (1.4, 0.7, 80), "paper-kitti": (1.2, 0.8, 80), "paper-vivid": (1.2, 0.8, 80)}
# learning rate of the last epoch
LAST_GLOBAL = {"paper-oxford": 4.88e-5, "paper-kitti": 8.10e-6, "paper-vivid": 4.88e-5}

PAPERS = sorted(GLOBAL)


@pytest.mark.parametrize("name", PAPERS)
def test_paper_presets_train_as_published(name: str) -> None:
    config = PRESETS[name]
    schedules = {
        stage: (
            recipe.epochs,
            recipe.batch_size,
            recipe.learning_rate,
            recipe.learning_rate_floor,
            recipe.decay,
            recipe.decay_every,
            recipe.weight_decay,
        )
        for stage, recipe in [
            ("teacher", config.teacher),
            ("local", config.local_stage),
            ("global", config.global_stage),
        ]
    }
    assert schedules == {"teacher": TEACHER, "local": LOCAL, "global": GLOBAL[name]}
    assert {config.teacher.budget_s, config.local_stage.budget_s, config.global_stage.budget_s} == {None}
    assert (config.growth_rate, config.growth_threshold, config.growth_limit) == GROWTH[name]
    assert config.margin == 0.3


@pytest.mark.parametrize("name", PAPERS)
def test_paper_presets_have_none_of_the_later_choices(name: str) -> None:
    config = PRESETS[name]
    assert (config.teacher_features, config.output_sites, config.norm_momentum) == ("live", "dilated", 0.01)
    assert (config.pooling, config.joint_stage.epochs) == ("gem", 0)


@pytest.mark.parametrize(
    ("variant", "epochs"),
    [
        ("long-students", (8, 4, 16, 0)),
        ("joint", (0, 0, 0, 18)),
        ("joint-after-teacher", (8, 0, 0, 18)),
        ("long-students+joint", (0, 0, 0, 40)),
    ],
)
def test_variants_of_the_schedule(variant: str, epochs: tuple[int, ...]) -> None:
    quick = config = PRESETS["quick"]
    for name in variant.split("+"):
        config = VARIANTS[name].change(config)
    stages = config.teacher, config.local_stage, config.global_stage, config.joint_stage
    assert tuple(stage.epochs for stage in stages) == epochs
    last = stages[2] if epochs[2] else stages[3]
    if variant == "long-students":  # sixteen epochs end where eight did
        assert last.learning_rate_at(16) == pytest.approx(quick.global_stage.learning_rate_at(8))


@pytest.mark.parametrize("name", PAPERS)
def test_paper_presets_augment_as_published(name: str) -> None:
    expected = Augmentation(jitter=0.1, mirror_probability=0.5, rigid=True, affine=name != "paper-oxford")
    assert PRESETS[name].augmentation == expected


@pytest.mark.parametrize("name", PAPERS)
def test_paper_presets_have_the_published_architecture(name: str) -> None:
    config = PRESETS[name]
    assert (config.weights, config.backbone, config.backbone_block) == ("timm", "vit_small_patch8_224.dino", 11)
    assert (config.image.size, config.image.antialias, config.descriptor_size) == ((224, 224), False, 256)
    assert config.grid == VoxelGrid(lower_m=(0.0, -22.0, -4.0), upper_m=(44.0, 22.0, 18.0), size_m=(0.4, 0.4, 0.2))
    assert (config.grid.shape, config.max_voxels) == ((110, 110, 110), 10_000)
    assert config.feature_channels == (16, 64, 128)
    assert config.widths == EncoderWidths(entry=16, full=(16,), half=(32, 64, 64), deep=(128, 256, 256))


@pytest.mark.parametrize("name", PAPERS)
def test_learning_rates_end_where_they_did(name: str) -> None:
    config = PRESETS[name]
    assert config.global_stage.learning_rate_at(config.global_stage.epochs - 1) == pytest.approx(
        LAST_GLOBAL[name], rel=1e-2
    )
    assert config.local_stage.learning_rate_at(29) == pytest.approx(4.88e-5, rel=1e-2)
    # the teacher's floor is reached in epoch 90
    assert config.teacher.learning_rate_at(89) > 1e-6
    assert config.teacher.learning_rate_at(90) == 1e-6


def test_defaults_are_the_oxford_preset() -> None:
    assert PRESETS["paper-oxford"] == VxpConfig()


def test_the_gpu_preset_is_the_paper_s_within_a_time_budget() -> None:
    gpu, paper = PRESETS["gpu"], PRESETS["paper-oxford"]
    budgets = {stage: getattr(gpu, stage).budget_s for stage in ("teacher", "local_stage", "global_stage")}
    assert all(budget_s > 0 for budget_s in budgets.values())
    limited = {stage: replace(getattr(paper, stage), budget_s=budget_s) for stage, budget_s in budgets.items()}
    assert replace(paper, **limited) == gpu


def test_the_quick_preset_needs_no_download_and_is_smaller() -> None:
    quick, paper = PRESETS["quick"], PRESETS["paper-oxford"]
    assert quick.weights == "none"
    assert quick.image.size < paper.image.size
    assert all(small <= large for small, large in zip(quick.grid.shape, paper.grid.shape, strict=True))
