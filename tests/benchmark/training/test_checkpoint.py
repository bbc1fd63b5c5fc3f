from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from benchmark.training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from datasets.errors import CrossplaceError


def network(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, 1))


def step(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    loss: torch.Tensor = module(torch.arange(8.0).view(4, 2)).square().sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def test_weights_come_back_with_buffers(tmp_path: Path) -> None:
    saved, loaded = network(), network()
    saved(torch.randn(5, 2))  # moves the running statistics
    save_weights(saved, tmp_path / "weights.safetensors")
    load_weights(loaded, tmp_path / "weights.safetensors")
    for name, tensor in saved.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Linear(2, 3), r"no tensor 'weight'; these weights are for another method"),
        (network(4), r"0\.weight has shape \(3, 2\), this configuration needs \(4, 2\)"),
        (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), r"'2\.bias' does not belong to this configuration"),
    ],
    ids=["missing", "shape", "surplus"],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, other: nn.Module, message: str) -> None:
    save_weights(network(), tmp_path / "w.safetensors")
    with pytest.raises(CrossplaceError, match=message):
        load_weights(other, tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04pickle"], ids=["absent", "empty", "other format"])
def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CrossplaceError, match=r"w\.safetensors: no readable safetensors file"):
        load_weights(network(), path)


def test_a_restored_checkpoint_continues_as_if_nothing_had_happened(tmp_path: Path) -> None:
    one, two = network(), network()
    for module in (one, two):
        module.load_state_dict(one.state_dict())
    optimizers = [torch.optim.Adam(module.parameters(), lr=0.1) for module in (one, two)]
    step(one, optimizers[0])
    save_checkpoint(tmp_path, one, optimizers[0], {"epoch": 1, "note": [1.5, None]})
    progress = load_checkpoint(tmp_path, two, optimizers[1])
    assert progress == {"epoch": 1, "note": [1.5, None], "tensors": "epoch-0001.safetensors"}
    for module, optimizer in zip((one, two), optimizers, strict=True):
        step(module, optimizer)
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    module = network()
    assert load_checkpoint(tmp_path, module, torch.optim.Adam(module.parameters())) is None


def test_only_the_newest_tensors_are_kept(tmp_path: Path) -> None:
    module = network()
    optimizer = torch.optim.Adam(module.parameters())
    (tmp_path / ".epoch-0001.safetensors.x7").write_text("what a kill left")
    for epoch in (1, 2):
        save_checkpoint(tmp_path, module, optimizer, {"epoch": epoch})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-0002.safetensors", "progress.json"]


def test_tied_and_transposed_parameters_can_be_saved(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    module.register_buffer("transposed", torch.arange(6.0).view(2, 3).T)
    save_weights(module, tmp_path / "w.safetensors")
    found = load_file(tmp_path / "w.safetensors")
    torch.testing.assert_close(found["0.weight"], found["1.weight"], rtol=0, atol=0)
    assert found["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]]


def checkpoint(folder: Path, module: nn.Module) -> None:
    optimizer = torch.optim.Adam(module.parameters())
    step(module, optimizer)
    save_checkpoint(folder, module, optimizer, {"epoch": 1})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (network(4), r"damaged training state .*0\.weight has shape \(3, 2\), .*delete .* to start over"),
        (nn.Linear(2, 3), r"damaged training state .*no tensor 'weight'"),
    ],
    ids=["width", "layers"],
)
def test_a_checkpoint_of_another_network_is_refused_and_changes_nothing(
    tmp_path: Path, other: nn.Module, message: str
) -> None:
    checkpoint(tmp_path, network())
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CrossplaceError, match=message):
        load_checkpoint(tmp_path, other, torch.optim.Adam(other.parameters()))
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_the_optimizer_of_other_parameters_is_refused(tmp_path: Path) -> None:
    module = network()
    checkpoint(tmp_path, module)
    with pytest.raises(CrossplaceError, match=r"optimizer\.\d\.exp_avg\S* is of another method or configuration"):
        load_checkpoint(tmp_path, module, torch.optim.Adam(reversed(list(module.parameters()))))


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    module = network()
    for name in ("a", "b"):
        save_weights(module, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model."])
def test_weights_with_names_of_other_programs_fit(prefix: str, tmp_path: Path) -> None:
    one, other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    save_file({f"{prefix}{name}": tensor for name, tensor in one.state_dict().items()}, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_network_whose_own_names_begin_so_is_left_alone(tmp_path: Path) -> None:
    class Wrapping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.module = nn.Linear(2, 3), nn.Linear(2, 3)

    one, other = Wrapping(), Wrapping()
    save_weights(one, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(one.module.weight, other.module.weight)
