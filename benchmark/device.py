"""The device that a run computes on, as torch knows it."""

import torch

from datasets.errors import CrossplaceError


def torch_device(name: str) -> torch.device:
    """The device called ``name``; raises :class:`CrossplaceError` where torch cannot use what the driver shows."""
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise CrossplaceError(
            f"the driver shows a CUDA device, but torch {torch.__version__} cannot use it; update the driver, or give "
            "--device cpu"
        )
    return device
