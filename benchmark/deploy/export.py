"""Networks as files for other runtimes, each compared with the network that it was written from.

``EXPORTS`` lists what is tried of a method. What cannot be written, or is not the same, is a hole with its reason.
"""

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor, nn

from benchmark import door
from benchmark.cost.inputs import evenly
from benchmark.deploy.onnx_images import (
    Encoder,
    NotExportable,
    OnnxImages,
    flat,
    followed,
    quietly,
    require,
    with_onnx_images,
    write_int8,
    write_onnx,
)
from benchmark.report.table import Cell, Column, Table, number, text
from benchmark.runs.plan import Plan
from benchmark.runs.run import train
from datasets.errors import CrossplaceError
from datasets.files import write_atomically
from methods.base import Method
from methods.batch import Batch, collate, load_sample

LARGEST_DIFFERENCE = 1e-3
"""Largest difference of any number of a descriptor between network and file."""
LARGEST_LOSS = 0.5
"""Points of R@1 that 8 bits may cost."""
N_EXAMPLES = 3
"""Frames of the test that network and file are compared on."""
N_ROUNDS = 20
"""Times that network and file are run in turn."""
MIB = 2**20
PROGRAM = "torch.export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One file, or the reason why there is none."""

    part: str
    """Part of the method: image, cloud, or the name of a module within the cloud branch."""
    form: str
    """Kind of file."""
    file: Path | None = None
    size_mib: float | None = None
    network_ms: Sequence[float] = ()
    """Times of the network as it is, for one frame."""
    file_ms: Sequence[float] = ()
    """Times of the file, for the same frames in turn with the network."""
    difference: float | None = None
    """Largest difference of any number of a descriptor."""
    recall: float | None = None
    """R@1 of images in clouds with the file, percent; that of the network where the file equals it."""
    hole: str = ""


@dataclass(frozen=True, kw_only=True)
class ToExport:
    """What is exported, and with what it is compared."""

    method: Method
    examples: Sequence[Batch]
    """Batches of one frame each, with image and cloud. The first one is what exporters follow."""
    folder: Path
    recall_of: Callable[[Method], float]
    """R@1 of images in clouds by a method, percent."""

    @cached_property
    def recall(self) -> float:
        """R@1 of the method itself."""
        return self.recall_of(self.method)

    def file(self, ending: str) -> Path:
        """Where a file goes."""
        return self.folder / f"{self.method.card.name}-{ending}"


def export_of(plan: Plan, folder: Path) -> ToExport:
    """The method of a plan with its weights, frames of its test, and recall by the plan's protocol.

    Raises:
        CrossplaceError: the extra is missing, or no frame of the test has both an image and a cloud.
    """
    require()
    dataset, protocol = plan.dataset, plan.request.data.protocol
    rows = compared_rows(plan).tolist()
    method = train(plan).eval()
    device = next((p.device for p in method.parameters()), torch.device("cpu"))
    examples = [collate([load_sample(dataset, dataset.frame(row), ("image", "cloud"))]).to(device) for row in rows]

    def recall(asked: Method) -> float:
        with tempfile.TemporaryDirectory() as scratch:
            descriptors = door.encode(asked, dataset, Path(scratch) / "descriptors", protocol=protocol)
            accept = plan.request.data.accept
            result = door.evaluate(descriptors, dataset, protocol=protocol, runs=Path(scratch), accept=accept)
        share = result.headline("image->cloud").values["R@1"]
        assert share is not None, "what cannot be answered is refused by evaluate"
        return 100 * share

    return ToExport(method=method, examples=examples, folder=folder, recall_of=recall)


def compared_rows(plan: Plan) -> Int[ndarray, " n"]:
    """The frames that network and file are compared on; raises :class:`CrossplaceError` if there are none."""
    frames = plan.dataset.frames.take(plan.rows)
    rows = plan.rows[(frames.image != "") & (frames.cloud != "")]
    if not len(rows):
        raise CrossplaceError(
            f"{plan.dataset.folder}: no frame of the test has both an image and a cloud to compare files with; "
            "choose other data"
        )
    return evenly(rows, N_EXAMPLES)


def image_onnx(subject: ToExport) -> Iterator[Exported]:
    """The image branch as ONNX."""
    path, method = subject.file("image.onnx"), subject.method
    path.unlink(missing_ok=True)
    inputs = [method.image_inputs(batch) for batch in subject.examples]
    try:
        write_onnx(method, inputs[0], path)
    except NotExportable as reason:
        yield Exported(part="image", form="onnx", hole=str(reason))
        return
    found = _alike(_timed("image", "onnx", path, method.encode_images, OnnxImages(path), inputs), path)
    yield found if found.hole else replace(found, recall=subject.recall)


def image_int8(subject: ToExport) -> Iterator[Exported]:
    """The ONNX file with weights of 8 bits, if recall stays."""
    source, path, method = subject.file("image.onnx"), subject.file("image-int8.onnx"), subject.method
    path.unlink(missing_ok=True)
    if not source.is_file():
        yield Exported(part="image", form="onnx int8", hole="there is no ONNX file to make smaller")
        return
    try:
        write_int8(source, path, method)
    except NotExportable as reason:
        yield Exported(part="image", form="onnx int8", hole=str(reason))
        return
    before, after = subject.recall, subject.recall_of(with_onnx_images(method, path))
    if before - after > LARGEST_LOSS:
        path.unlink()
        hole = f"R@1 falls from {before:.1f} to {after:.1f} %, by more than {LARGEST_LOSS} points"
        yield Exported(part="image", form="onnx int8", recall=after, hole=hole)
        return
    inputs = [method.image_inputs(batch) for batch in subject.examples]
    found = _timed("image", "onnx int8", path, method.encode_images, OnnxImages(path), inputs)
    yield replace(found, recall=after)


def cloud_program(subject: ToExport) -> Iterator[Exported]:
    """The cloud branch by ``torch.export``: all of it, or its modules that take and give one tensor a cloud."""
    method = subject.method
    inputs = [method.cloud_inputs(batch) for batch in subject.examples]
    try:
        calls = [tuple(flat(one).values()) for one in inputs]
        yield _program(subject, "cloud", Encoder(method, "encode_clouds", inputs[0]), calls)
    except NotExportable as reason:
        modules = dense_modules(method, inputs)
        rest = "; its parts that torch can follow are exported" if modules else ""
        yield Exported(part="cloud", form=PROGRAM, hole=f"{reason}{rest}")
        for name, (module, calls) in modules.items():
            try:
                yield _program(subject, name, module, calls)
            except NotExportable as own_reason:
                yield Exported(part=name, form=PROGRAM, hole=str(own_reason))


def _program(subject: ToExport, part: str, module: nn.Module, calls: Sequence[tuple[Tensor, ...]]) -> Exported:
    """One module as a file, called with the tensors of each frame."""
    path = subject.file(f"{part}.pt2")
    calls = [tuple(tensor.clone() for tensor in call) for call in calls]  # tensors of inference mode cannot be traced
    with followed(), torch.no_grad():
        program = torch.export.export(module, calls[0])
    _leave_out_unused(program)
    content = io.BytesIO()
    with quietly():
        torch.export.save(program, content)
        write_atomically(path, content.getvalue())
        loaded = torch.export.load(path).module()
    return _alike(_timed(part, PROGRAM, path, lambda call: module(*call), lambda call: loaded(*call), calls), path)


def _leave_out_unused(program: torch.export.ExportedProgram) -> None:
    """Take the weights of the other branch out of a program."""
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    for node in [*program.graph.nodes]:
        if node.op == "placeholder" and not node.users and node.name in names:
            program.graph.erase_node(node)
            program.state_dict.pop(names[node.name], None)
            signature.input_specs[:] = [spec for spec in signature.input_specs if spec.arg.name != node.name]
    program.graph_module.recompile()


EXPORTS: tuple[Callable[[ToExport], Iterator[Exported]], ...] = (image_onnx, image_int8, cloud_program)
"""What is tried of every method, in this order."""


def exports(subject: ToExport) -> Iterator[Exported]:
    """Everything that can be written of a method, with what it costs, and the reasons for what cannot."""
    subject.method.eval()
    for each in EXPORTS:
        yield from each(subject)


def dense_modules(method: Method, inputs: Sequence[Any]) -> dict[str, tuple[nn.Module, list[tuple[Tensor, ...]]]]:
    """Modules of the cloud branch that take and give one tensor a cloud, by name, with the tensors of each cloud.

    Of modules within each other, the outermost is taken. Modules that see rows of points or of voxels are left out.
    """
    calls: dict[str, list[tuple[Tensor, ...]]] = {}

    def noting(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def note(_: nn.Module, arguments: tuple[Any, ...], found: Any) -> None:
            if all(isinstance(value, Tensor) and len(value) == 1 for value in (*arguments, found)):
                calls.setdefault(name, []).append(arguments)

        return note

    modules = {name: module for name, module in method.named_modules() if name}
    hooks = [module.register_forward_hook(noting(name)) for name, module in modules.items()]
    try:
        with torch.no_grad():
            for one in inputs:
                method.encode_clouds(one)
    finally:
        for hook in hooks:
            hook.remove()
    every = {name for name, noted in calls.items() if len(noted) == len(inputs)}
    outer = [name for name in calls if name in every and not any(name.startswith(f"{other}.") for other in every)]
    return {name: (modules[name], calls[name]) for name in outer}


def _alike(found: Exported, path: Path) -> Exported:
    """What was found of a file; one that differs too much from the network is removed, and is a hole."""
    if found.difference is not None and found.difference <= LARGEST_DIFFERENCE:
        return found
    path.unlink()
    hole = f"its descriptors differ by up to {found.difference:.2g}, more than {LARGEST_DIFFERENCE:g}"
    return Exported(part=found.part, form=found.form, difference=found.difference, hole=hole)


def _timed(
    part: str,
    form: str,
    path: Path,
    network: Callable[[Any], Any],
    file: Callable[[Any], Any],
    inputs: Sequence[Any],
) -> Exported:
    """A file beside the network: its size, the times of both in turn, and the largest difference."""
    with torch.no_grad():
        difference = max(_difference(network(one), file(one)) for one in inputs)
        times_ms: tuple[list[float], list[float]] = ([], [])
        for number_of_round in range(N_ROUNDS):
            for times, run in zip(times_ms, (network, file), strict=True):
                started = time.perf_counter()
                run(inputs[number_of_round % len(inputs)])
                times.append((time.perf_counter() - started) * 1e3)
    return Exported(
        part=part,
        form=form,
        file=path,
        size_mib=path.stat().st_size / MIB,
        network_ms=times_ms[0],
        file_ms=times_ms[1],
        difference=difference,
    )


def _difference(a: Any, b: Any) -> float:
    """Largest absolute difference between the tensors of two outputs."""
    if isinstance(a, Tensor):
        return float((a - b).abs().max())
    pairs = [(a[key], b[key]) for key in a] if isinstance(a, dict) else zip(a, b, strict=True)
    return max(_difference(*pair) for pair in pairs)


def export_table(title: str, found: Sequence[Exported]) -> Table:
    """The exports as a table; reasons of holes stand below it."""
    columns = [
        Column(name="Part"),
        Column(name="Form"),
        Column(name="Size", unit="MiB", digits=2),
        Column(name="Network", unit="ms", digits=2),
        Column(name="File", unit="ms", digits=2),
        Column(name="Difference", unit="10⁻³", digits=3),
        Column(name="R@1", unit="%"),
    ]

    def row(one: Exported) -> list[Cell]:
        thousandths = None if one.difference is None else one.difference * 1e3
        return [
            text(one.part),
            text(one.form),
            number(one.size_mib, reason=one.hole),
            *(number(statistics.median(times) if times else None) for times in (one.network_ms, one.file_ms)),
            *(number(value) for value in (thousandths, one.recall)),
        ]

    notes = [
        "Times are medians for one frame without preprocessing, network and file in turn. R@1 is that of images in "
        "clouds: of the network, and with weights of 8 bits."
    ]
    return Table(title=title, columns=columns, rows=[row(one) for one in found], notes=notes)
