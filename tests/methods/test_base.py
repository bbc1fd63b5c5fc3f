import pytest
import torch
from torch import Tensor
from torch.nn import functional

from methods.base import ImageInput, Method, MethodConfig
from methods.batch import Batch


def random_image(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8)


@pytest.mark.parametrize("antialias", [False, True])
def test_image_input_is_a_plain_bilinear_resize_and_normalisation(antialias: bool) -> None:
    image_input = ImageInput(height=9, width=14, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), antialias=antialias)
    images = [random_image(24, 32), random_image(5, 40)]
    found = image_input(images)
    for image, result in zip(images, found, strict=True):
        resized = functional.interpolate(
            image[None] / 255, (9, 14), mode="bilinear", align_corners=False, antialias=antialias
        )[0]
        mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1)
        torch.testing.assert_close(result, (resized - mean) / std)


def test_antialiasing_matters_when_an_image_shrinks() -> None:
    image = random_image(24, 32)
    plain, smooth = (ImageInput(height=6, width=8, antialias=antialias)([image]) for antialias in (False, True))
    assert (plain - smooth).abs().max() > 0.1


class Blind(Method):
    """Says nothing of images."""

    def __init__(self) -> None:
        super().__init__()
        self.config = MethodConfig()


def test_a_configuration_without_image_leaves_the_inputs_to_the_method() -> None:
    with pytest.raises(NotImplementedError, match="Blind: give the configuration an image, or write image_inputs"):
        Blind().image_inputs(Batch(frames=(), images=[], clouds=None, intrinsics=None, camera_from_lidar=None))
