"""The device that a run computes on, as torch knows it."""

import torch

from datasets.errors import CrossplaceError


def torch_device(name: str) -> torch.device:
    """The device called ``name``, which from now on computes in float32 what is to be float32.

    By default torch rounds the inputs of convolutions to TF32 on CUDA, so that descriptors differ from those of a CPU
    by more than one percent.

    Raises:
        CrossplaceError: torch cannot use what the driver shows.
    """
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise CrossplaceError(
                f"the driver shows a CUDA device, but torch {torch.__version__} cannot use it; update the driver, or "
                "give --device cpu"
            )
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return device


def rounds_to_tf32(device: torch.device) -> bool:
    """Whether matrix products or convolutions on ``device`` round their inputs to TF32."""
    return device.type == "cuda" and (torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32)
