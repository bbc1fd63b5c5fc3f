from collections.abc import Iterator

import pytest
import torch
from batches import batch_of

from benchmark.training.checkpoint import load_weights
from datasets.base import Selection, Split
from datasets.errors import CrossplaceError
from datasets.prepared import PreparedDataset
from methods.batch import Batch
from methods.layers.sparse import backend as sparse_backend
from methods.vxp import Vxp

SPLIT = Split(train=Selection(), validation=Selection())


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Where spconv can be had; without the tensor cores' rounding."""
    device = torch.device(request.param)
    if device.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    try:
        sparse_backend.resolve("spconv", device)
    except CrossplaceError as error:
        pytest.skip(str(error))
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield device
    torch.backends.cudnn.allow_tf32 = allowed


@pytest.fixture
def method(device: torch.device) -> Vxp:
    torch.manual_seed(0)
    return Vxp(Vxp.presets["quick"]).to(device)


@pytest.fixture
def batch(small_world: PreparedDataset, device: torch.device) -> Batch:
    """Four frames, the second without any point."""
    batch = batch_of(small_world, 0, 3, 14, 30)
    is_left = batch.clouds.batch_index != 1
    batch.clouds.points, batch.clouds.batch_index = batch.clouds.points[is_left], batch.clouds.batch_index[is_left]
    return batch.to(device)


def test_quick_descriptors_are_equal_under_both_backends(method: Vxp, batch: Batch) -> None:
    load_weights(method, Vxp.shipped[0].file)
    method.eval()
    found = {}
    for backend in ("torch", "spconv"):
        with sparse_backend.using(backend), torch.inference_mode():
            found[backend] = method.encode_clouds(method.cloud_inputs(batch))["main"]
    assert found["torch"].std(0).max() > 1e-2, "different clouds have different descriptors"
    torch.testing.assert_close(found["spconv"], found["torch"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["local", "global"])
def test_a_training_step_is_equal_under_both_backends(method: Vxp, batch: Batch, name: str) -> None:
    stage = next(stage for stage in method.stages(SPLIT) if stage.name == name)
    begun = {key: value.clone() for key, value in method.state_dict().items()}
    found = {}
    for backend in ("torch", "spconv"):
        method.load_state_dict(begun)
        stage.eval()
        for module in stage.trainable():
            module.train()
        with sparse_backend.using(backend):
            output = stage(batch)
            loss = output.loss_sum / output.count
        method.zero_grad()
        loss.backward()
        gradients = {key: p.grad.clone() for key, p in method.cloud_branch.named_parameters() if p.grad is not None}
        found[backend] = {"loss": loss.detach()} | gradients | method.cloud_branch.encoder.state_dict(prefix="after ")
        found[backend] = {key: value.clone() for key, value in found[backend].items()}
    assert len(found["torch"]) > 20
    for key, expected in found["torch"].items():
        scale = float(expected.abs().max()) if expected.is_floating_point() else 1.0
        torch.testing.assert_close(
            found["spconv"][key], expected, atol=1e-4 * scale, rtol=1e-4, msg=f"{key} differs between the backends"
        )
