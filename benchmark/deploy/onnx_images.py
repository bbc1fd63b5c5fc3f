"""The image branch of a method as an ONNX file: written, made small, and run in place of the network."""

import copy
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.deploy.map_files import identity
from datasets.errors import CrossplaceError, install
from datasets.files import write_atomically
from methods.base import Method

NEEDED = f"ONNX files need the extra 'export': {install('export')}"
VOXELS = "its input is no tensor but voxels or the like, whose number differs from cloud to cloud"


class NotExportable(Exception):
    """The reason why a network cannot be written as a file."""


INPUT = "input_"
"""What names of inputs begin with in a file: a descriptor may be called as an input is."""


def flat(inputs: Any) -> dict[str, Tensor]:
    """The tensors of a network input by name; raises :class:`NotExportable` if it holds anything else."""
    named = {"inputs": inputs}
    if is_dataclass(inputs):
        named = {field.name: getattr(inputs, field.name) for field in fields(inputs)}
    if not all(isinstance(value, Tensor) for value in named.values()):
        raise NotExportable(VOXELS)
    return named


class Encoder(nn.Module):
    """One branch of a method as a function of tensors alone, which exporters can follow."""

    def __init__(self, method: Method, branch: str, example: Any) -> None:
        super().__init__()
        self.method, self.branch = method, branch
        self.kind = None if isinstance(example, Tensor) else type(example)
        self.names = tuple(flat(example))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Descriptors in the order of the method's names."""
        inputs = tensors[0] if self.kind is None else self.kind(**dict(zip(self.names, tensors, strict=True)))
        found = getattr(self.method, self.branch)(inputs)
        return tuple(found[spec.name] for spec in self.method.descriptors)


def write_onnx(method: Method, inputs: Any, path: Path) -> None:
    """Write the image branch for one image at a time; ``inputs`` are the network input of one image.

    The file begins behind ``image_inputs``. It names the method, its configuration and its weights. Raises
    :class:`NotExportable` if it cannot be written.
    """
    require()
    encoder = Encoder(method, "encode_images", inputs)
    with followed(), torch.no_grad():
        program = torch.onnx.export(
            encoder,
            tuple(tensor.clone() for tensor in flat(inputs).values()),  # tensors of inference mode cannot be traced
            input_names=[f"{INPUT}{name}" for name in encoder.names],
            output_names=[spec.name for spec in method.descriptors],
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    write_atomically(path, _stamped(program.model_proto, method))


def write_int8(source: Path, path: Path, method: Method) -> None:
    """Write the file ``source`` again with weights of 8 bits; activations are quantised while it runs.

    Raises :class:`NotExportable` if the file has no weights of convolutions or matrices.
    """
    require()
    import onnx

    with same_search_path():  # one of its parts puts its own folder, with a file benchmark.py, among the modules
        from onnxruntime.quantization import QuantType, quantize_dynamic

    part = path.with_name(f".{path.name}.part")
    try:
        with quietly():
            quantize_dynamic(source, part, weight_type=QuantType.QUInt8)
        model = onnx.load(part)
        if not any(node.op_type.endswith("Integer") for node in model.graph.node):
            raise NotExportable("no weights that 8 bits would make smaller")
        write_atomically(path, _stamped(model, method))
    finally:
        part.unlink(missing_ok=True)


def _stamped(model: Any, method: Method) -> bytes:
    import onnx

    onnx.helper.set_model_props(model, identity(method))
    content: bytes = model.SerializeToString()
    return content


class OnnxImages:
    """The image branch in a file, called as the method's own ``encode_images``."""

    def __init__(self, path: Path) -> None:
        require()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # many kinds, none of which share a base
            raise CrossplaceError(
                f"{path}: no ONNX file that can be run; write it again with crossplace export"
            ) from error
        self.made_of: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        """Method, configuration and weights that the file was written from."""
        self.names: Sequence[str] = [output.name for output in self.session.get_outputs()]

    def __call__(self, inputs: Any) -> dict[str, Tensor]:
        """Descriptors by name; the images of a batch go through the file one by one."""
        tensors = flat(inputs)
        device = next(iter(tensors.values())).device
        arrays = {f"{INPUT}{name}": tensor.cpu().numpy() for name, tensor in tensors.items()}
        n_images = len(next(iter(arrays.values())))
        found = [
            self.session.run(None, {name: array[i : i + 1] for name, array in arrays.items()}) for i in range(n_images)
        ]
        joined = [torch.cat([torch.from_numpy(one) for one in column]) for column in zip(*found, strict=True)]
        return {name: tensor.to(device) for name, tensor in zip(self.names, joined, strict=True)}


def with_onnx_images(method: Method, path: Path) -> Method:
    """The same method, whose image branch is the file ``path``; maps and weights fit as before.

    Raises:
        CrossplaceError: no ONNX file, or one that was written from another method, configuration or weights.
    """
    encoder = OnnxImages(path)
    if encoder.made_of != identity(method):
        raise CrossplaceError(
            f"{path}: written from another method, configuration or weights; write it again with crossplace "
            "export from the weights of today"
        )
    changed = copy.copy(method)
    changed.__dict__["encode_images"] = encoder
    return changed


def require() -> None:
    """Raise :class:`CrossplaceError` unless the extra is there."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise CrossplaceError(NEEDED) from error


@contextmanager
def same_search_path() -> Iterator[None]:
    """Let an import leave ``sys.path`` as it was, so that no later process finds foreign files by our names."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def quietly() -> Iterator[None]:
    """Without the exporters' words about their own insides, which no reader can act on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def followed() -> Iterator[None]:
    """Quietly, with whatever torch says about code that it cannot follow as :class:`NotExportable`."""
    try:
        with quietly():
            yield
    except Exception as error:  # many kinds, by what stopped it
        raise NotExportable(
            f"torch cannot follow its code ({type(error).__name__}), such as decisions by the values of tensors"
        ) from error
