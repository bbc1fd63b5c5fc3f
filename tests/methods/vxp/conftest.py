"""Random weights under the names and in the shapes of the authors' files."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

State = dict[str, Tensor]

# name, channels in, channels out
SPARSE_LAYERS = [
    ("conv_input", 128, 16),
    ("encoder_layers.encoder_layer1.0", 16, 16),
    ("encoder_layers.encoder_layer2.0", 16, 32),
    ("encoder_layers.encoder_layer2.1", 32, 64),
    ("encoder_layers.encoder_layer2.2", 64, 64),
    ("encoder_layers.encoder_layer3.0", 64, 128),
    ("encoder_layers.encoder_layer3.1", 128, 256),
    ("encoder_layers.encoder_layer3.2", 256, 256),
    ("conv_out", 256, 384),
]
POINT_LAYERS = [(6, 16), (32, 64), (128, 128)]


def norm_state(name: str, channels: int) -> State:
    return {
        f"{name}.weight": torch.rand(channels) + 0.5,
        f"{name}.bias": torch.randn(channels) / 10,
        f"{name}.running_mean": torch.randn(channels) / 10,
        f"{name}.running_var": torch.rand(channels) + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(7),
    }


def random_encoder() -> State:
    """What the file of the first student stage holds."""
    state: State = {}
    for number, (n_in, n_out) in enumerate(POINT_LAYERS):
        state[f"vfe.vfe_layers.{number}.linear.weight"] = torch.randn(n_out, n_in) / n_in**0.5
        state |= norm_state(f"vfe.vfe_layers.{number}.norm", n_out)
    for name, n_in, n_out in SPARSE_LAYERS:
        state[f"middle.{name}.0.weight"] = torch.randn(n_out, 3, 3, 3, n_in) * (2 / (9 * n_in)) ** 0.5
        state |= norm_state(f"middle.{name}.1", n_out)
    return state


def random_student() -> State:
    """What the file of the second student stage holds."""
    state = {f"voxel_feat_ext.{name}": tensor for name, tensor in random_encoder().items()}
    state["gem.p"] = torch.tensor([2.6])
    state["gem.dense_head.weight"] = torch.randn(256, 384) / 384**0.5
    state["gem.dense_head.bias"] = torch.randn(256) / 10
    return state


def random_teacher() -> State:
    """What the image teacher's file holds: DINO's ViT-S/8, its unused last normalisation included."""
    shapes = {
        "cls_token": (1, 1, 384),
        "pos_embed": (1, 785, 384),
        "patch_embed.proj.weight": (384, 3, 8, 8),
        "patch_embed.proj.bias": (384,),
        "norm.weight": (384,),
        "norm.bias": (384,),
    }
    for block in range(12):
        for name, shape in {
            "norm1.weight": (384,),
            "norm1.bias": (384,),
            "attn.qkv.weight": (1152, 384),
            "attn.qkv.bias": (1152,),
            "attn.proj.weight": (384, 384),
            "attn.proj.bias": (384,),
            "norm2.weight": (384,),
            "norm2.bias": (384,),
            "mlp.fc1.weight": (1536, 384),
            "mlp.fc1.bias": (1536,),
            "mlp.fc2.weight": (384, 1536),
            "mlp.fc2.bias": (384,),
        }.items():
            shapes[f"blocks.{block}.{name}"] = shape
    state = {f"backbone.encoder.{name}": torch.randn(shape) / 20 for name, shape in shapes.items()}
    state["pooling.p"] = torch.tensor([3.4])
    state["pooling.dense_head.weight"] = torch.randn(256, 384) / 384**0.5
    state["pooling.dense_head.bias"] = torch.randn(256) / 10
    return state


@pytest.fixture(scope="session")
def official() -> dict[str, State]:
    """One state dict a kind of file."""
    torch.manual_seed(11)
    return {"local student": random_encoder(), "student": random_student(), "teacher": random_teacher()}


@pytest.fixture(scope="session")
def official_files(official: dict[str, State], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same as files."""
    folder = tmp_path_factory.mktemp("official")
    for kind, state in official.items():
        torch.save(state, folder / f"{kind}.pth")
    return {kind: folder / f"{kind}.pth" for kind in official}
