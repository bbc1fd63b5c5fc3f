"""The training loop: stages in order, on Lightning Fabric, resumable at every epoch."""

import csv
import io
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from benchmark.console import track
from benchmark.frames.loading import KeptSamples, batch_loader
from benchmark.protocol.selection import select
from benchmark.training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from benchmark.training.optimising import lay_out, optimizer_of, set_learning_rate, set_training_mode
from benchmark.training.processes import Processes, launched
from benchmark.training.report import KEPT, WEIGHTS, StageReport, TrainingReport
from datasets.base import Frames, Modality, Protocol
from datasets.errors import CrossplaceError
from datasets.files import sha256_of, write_atomically
from datasets.prepared import PreparedDataset
from methods.base import Method, Stage, StageOutput
from methods.batch import Batch
from methods.learning.normalisation import batch_norms, measured_statistics
from methods.registration import Registrar

try:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision
except ImportError:  # the full lightning package brings it under another name
    from lightning.fabric import Fabric
    from lightning.fabric.plugins import MixedPrecision

log = logging.getLogger(__name__)

MEASURED_FRAMES = 400
"""Training frames, in whole batches, on which statistics of batch normalisations are measured. At most an epoch."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to run, as opposed to what to train."""

    accelerator: str = "cpu"
    """``cpu`` or ``cuda``."""
    devices: list[int] | int = 1
    """How many devices, or which one: ``[1]`` is the second GPU. Under ``torchrun`` each process takes its own."""
    precision: str = "32-true"
    workers: int = 0


def train(
    method: Method | Registrar,
    dataset: PreparedDataset,
    protocol: Protocol,
    folder: Path,
    seed: int,
    options: TrainingOptions,
    stage_folders: Mapping[str, Path] | None = None,
) -> TrainingReport:
    """Train all stages of ``method`` and leave weights and ``training.json`` in ``folder``.

    Interrupted training continues after the last finished epoch. All randomness derives from seed, stage and epoch.
    ``stage_folders`` says where each stage keeps its checkpoints (default: below ``folder``); a stage that another
    run has finished there is taken over. Several processes under ``torchrun`` train together, on shared folders. Their
    number changes the weights by rounding alone.
    """
    fabric = _fabric(options)
    processes = Processes(fabric.global_rank, fabric.world_size)
    rows = {
        "train": select(dataset.frames, protocol.split.train),
        "validation": select(dataset.frames, protocol.split.validation),
    }
    if not len(rows["train"]):
        raise CrossplaceError(f"protocol {protocol.name}: no frame of {dataset.folder} is selected for training")
    reports = {}
    for number, stage in enumerate(method.stages(protocol.split)):
        place = stage_folders[stage.name] if stage_folders else folder / stage.name
        run = _StageRun(fabric, processes, method, stage, dataset, rows, (seed, number), place, options)
        with processes.locked(place):
            reports[stage.name] = run()
    if processes.is_first:
        save_weights(method, folder / WEIGHTS)
        TrainingReport(weights_sha256=sha256_of(folder / WEIGHTS), stages=reports).write(folder)
    processes.wait()
    return TrainingReport.read(folder)


class _Autocast(MixedPrecision):
    """Mixed precision inside the networks alone: coordinates in half precision would be off by decimetres."""

    def convert_input(self, data: Any) -> Any:
        return data


def _fabric(options: TrainingOptions) -> Fabric:
    chosen: dict[str, Any] = {"precision": options.precision}
    if options.precision.endswith("mixed"):
        chosen = {"plugins": _Autocast(options.precision, options.accelerator)}
    return launched(accelerator=options.accelerator, devices=options.devices, **chosen)


class _Trained:
    """What a stage trains, with the names it has in the method: all that its checkpoints need to hold."""

    def __init__(self, method: Method | Registrar, stage: Stage) -> None:
        tensors = {id(t) for module in stage.trainable() for t in module.state_dict(keep_vars=True).values()}
        self._method = method
        self._names = {name for name, t in method.state_dict(keep_vars=True).items() if id(t) in tensors}

    def state_dict(self) -> dict[str, Tensor]:
        return {name: t for name, t in self._method.state_dict().items() if name in self._names}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._method.load_state_dict(state, strict=False)


class _StageRun:
    """One stage from its first (or next) epoch to its best weights."""

    def __init__(
        self,
        fabric: Fabric,
        processes: Processes,
        method: Method | Registrar,
        stage: Stage,
        dataset: PreparedDataset,
        rows: dict[str, np.ndarray],
        seed: tuple[int, int],
        folder: Path,
        options: TrainingOptions,
    ) -> None:
        self.fabric, self.processes = fabric, processes
        self.method, self.stage, self.dataset = method, stage, dataset
        self.seed, self.folder, self.options = seed, folder, options
        self.trained = _Trained(method, stage)
        self.samples = KeptSamples(dataset, stage.modalities)
        self.rows = {part: _with_modalities(dataset.frames, some, stage.modalities) for part, some in rows.items()}
        self.samplers = {
            "train": stage.sampler(dataset.frames.take(self.rows["train"]), training=True),
            "validation": stage.sampler(dataset.frames.take(self.rows["validation"]), training=False),
        }
        self.history: list[dict[str, int | float]] = []
        self.progress: dict[str, Any] = {
            "epoch": 0,
            "best_epoch": None,
            "best_score": None,
            "seconds": 0.0,
            "sampler": self.samplers["train"].state(),
            "history": self.history,
        }

    def __call__(self) -> StageReport:
        recipe, stage = self.stage.recipe, self.stage
        for parameter in self.method.parameters():
            parameter.requires_grad_(False)
        is_mixed = self.options.precision.endswith("mixed")
        if is_mixed:
            lay_out(stage, torch.channels_last)
        optimizer = optimizer_of(stage.to(self.fabric.device))
        wrapped, fabric_optimizer = self.fabric.setup(stage, optimizer)
        found = load_checkpoint(self.folder, self.trained, optimizer)
        if found is None:
            self._prepare()
        else:
            self.progress = found
            self.history = self.progress["history"]
            self.samplers["train"].load_state(found["sampler"])
            log.info("%s: resuming after epoch %d of %d", stage.name, found["epoch"], recipe.epochs)
        while self.progress["epoch"] < recipe.epochs and not self._is_stopped():
            self._epoch(wrapped, fabric_optimizer, optimizer)
        if is_mixed:
            lay_out(stage, torch.contiguous_format)
        if self.progress["best_epoch"] is not None:
            load_weights(self.trained, self.folder / "best.safetensors")
        return StageReport(
            epochs_done=self.progress["epoch"],
            epochs_planned=recipe.epochs,
            best_epoch=self.progress["best_epoch"],
            seconds=round(self.progress["seconds"], 1),
            stopped_early=recipe.is_stopped(self._scores()),
            history=[{name: epoch[name] for name in KEPT if name in epoch} for epoch in self.history],
        )

    def _prepare(self) -> None:
        """The stage's own preparation, on batches of the first epoch that are not augmented."""
        self.stage.eval()
        torch.manual_seed(int(np.random.SeedSequence([*self.seed]).generate_state(1)[0]))
        with torch.no_grad():
            self.stage.before(self._loaded(self._batches("train", [*self.seed, 0, 0]), is_whole=True))
        self.processes.as_first(self.stage)

    def _batches(self, part: str, seed: Sequence[int]) -> list[list[int]]:
        """Rows of the dataset in each batch of the part's sampler."""
        local = self.samplers[part].batches(np.random.default_rng(seed))
        return [self.rows[part][some].tolist() for some in local]

    def _loaded(
        self, batches: Sequence[Sequence[int]], augmented_by: Sequence[int] | None = None, *, is_whole: bool = False
    ) -> Iterator[Batch]:
        """The rows of batches that this process holds, on the device; augmented if there is a seed for it."""
        augment, seed = (None, (0,)) if augmented_by is None else (self.stage.augment, augmented_by)
        options: dict[str, Any] = {"augment": augment, "seed": seed, "workers": self.options.workers}
        options["own"] = None if is_whole else self.processes.own
        for batch in batch_loader(self.dataset, batches, self.stage.modalities, kept=self.samples, **options):
            yield batch.to(self.fabric.device)

    def _step(self, rows: Sequence[int]) -> AbstractContextManager[None]:
        """Context of work on the batch of these rows."""
        return self.processes.step(lambda: [self.dataset.frame(row) for row in rows])

    def _measure(self) -> None:
        """Measure the statistics of the batch normalisations that the stage trains, for the weights as they are now.

        The batches are the stage's own, not augmented, and differ from epoch to epoch.
        """
        trained = self.stage.trainable()
        if not batch_norms(*trained):
            return
        batches = self._batches("train", [*self.seed, self.progress["epoch"], 2])
        frames_before = np.cumsum([0, *(len(batch) for batch in batches)])[:-1]
        some = [batch for batch, n in zip(batches, frames_before, strict=True) if n < MEASURED_FRAMES]
        self.stage.eval()
        with torch.no_grad(), measured_statistics(*trained):
            for rows, batch in zip(some, self._loaded(some), strict=True):
                with self._step(rows):
                    self.stage(batch)

    def _is_stopped(self) -> bool:
        recipe = self.stage.recipe
        is_spent = recipe.budget_s is not None and self.progress["seconds"] >= recipe.budget_s
        return is_spent or recipe.is_stopped(self._scores())

    def _scores(self) -> list[float]:
        """What every epoch so far scored."""
        return [epoch["score"] for epoch in self.history]

    def _epoch(self, wrapped: Any, fabric_optimizer: Any, optimizer: torch.optim.Optimizer) -> None:
        epoch, stage, started = self.progress["epoch"], self.stage, time.perf_counter()
        recipe, scores, learning_rate = stage.recipe, self._scores(), 0.0

        def step(loss: Tensor, number: int, n_steps: int) -> None:
            nonlocal learning_rate
            learning_rate = recipe.learning_rate_at(epoch, scores, step=number, n_steps=n_steps)
            set_learning_rate(optimizer, learning_rate)
            fabric_optimizer.zero_grad()
            self.fabric.backward(loss)
            if recipe.clip_norm is not None:
                self.fabric.clip_gradients(
                    wrapped, fabric_optimizer, max_norm=recipe.clip_norm, error_if_nonfinite=False
                )
            fabric_optimizer.step()

        # Dropout and the like draw from torch's own generator, which a resumed run must find as an uninterrupted one.
        torch.manual_seed(int(np.random.SeedSequence([*self.seed, epoch]).generate_state(1)[0]))
        training = self._pass(wrapped, "train", step)
        if not training:
            raise CrossplaceError(
                f"stage {stage.name}: no batch can be formed from {len(self.rows['train'])} training frames of "
                f"{self.dataset.folder}; this stage needs places that were visited more than once"
            )
        self._measure()
        validation = self._pass(wrapped, "validation", None)
        self.samplers["train"].after_epoch(training)
        scored = validation or training
        score = stage.score(scored)
        self._keep_best(score)
        seconds = self.processes.seconds(time.perf_counter() - started, self.fabric.device)
        self.history.append(
            {"epoch": epoch + 1, "learning_rate": learning_rate, "seconds": round(seconds, 2), "score": score}
            | {f"train_{k}": v for k, v in training.items()}
            | {f"validation_{k}": v for k, v in validation.items()}
        )
        self.progress |= {
            "epoch": epoch + 1,
            "seconds": self.progress["seconds"] + seconds,
            "sampler": self.samplers["train"].state(),
            "history": self.history,
        }
        self._keep(optimizer)
        losses = " · ".join(f"{k} {v['loss']:.4f}" for k, v in (("train", training), ("validation", validation)) if v)
        log.info("%s: epoch %d/%d · %s · %.0f s", stage.name, epoch + 1, stage.recipe.epochs, losses, seconds)

    def _keep(self, optimizer: torch.optim.Optimizer) -> None:
        """Write what the epoch came to, which all processes then find."""
        if self.processes.is_first:
            save_checkpoint(self.folder, self.trained, optimizer, self.progress)
            _write_history(self.folder, self.history)
        self.processes.wait()

    def _keep_best(self, score: float) -> None:
        """Keep the weights after this epoch, unless an earlier one has a better score."""
        if self.progress["best_score"] is None or score <= self.progress["best_score"]:
            self.progress |= {"best_score": score, "best_epoch": self.progress["epoch"] + 1}
            if self.processes.is_first:
                save_weights(self.trained, self.folder / "best.safetensors")

    def _pass(self, wrapped: Any, part: str, step: Callable[[Tensor, int, int], None] | None) -> dict[str, float]:
        """One pass over ``part``; mean loss and summed statistics, empty if there were no batches."""
        stage, epoch = self.stage, self.progress["epoch"]
        stage.eval()
        if step:
            set_training_mode(stage)
        # Validation batches are the same every epoch.
        seed = [*self.seed, epoch if step else 0, 0 if step else 1]
        batches = self._batches(part, seed)
        loaded = self._loaded(batches, seed if step else None)
        sums: dict[str, float] = defaultdict(float)
        name = f"{stage.name} {epoch + 1}/{stage.recipe.epochs} {part}"
        forward = wrapped if step else stage  # validation is in full precision, as evaluation
        with torch.set_grad_enabled(step is not None):
            for number, batch in enumerate(track(loaded, name, len(batches))):
                with self._step(batches[number]):
                    own = forward(batch)
                output, own_loss = self.processes.total(own, len(batches[number]))
                loss = output.loss
                if not torch.isfinite(loss):
                    raise CrossplaceError(
                        f"stage {stage.name}, epoch {epoch + 1}, {part} step {number + 1}: the loss is {loss.item()}; "
                        f"frames of this batch: {', '.join(f.frame_id for f in batch.frames)}. {_cause(stage)}"
                    )
                if step:
                    step(own_loss, number, len(batches))
                for key, value in _sums(output):
                    sums[key] += value
        if not batches:
            return {}
        loss_sum, count = sums.pop("loss_sum"), sums.pop("count")
        return {"loss": loss_sum / max(count, 1.0)} | dict(sums)


def _with_modalities(frames: Frames, rows: Int[ndarray, " n"], modalities: Sequence[Modality]) -> Int[ndarray, " k"]:
    paths = {"image": frames.image, "cloud": frames.cloud}
    return rows[np.all([paths[modality][rows] != "" for modality in modalities], axis=0)]


def _cause(stage: Stage) -> str:
    """Why a loss is not finite, as far as the trained weights of ``stage`` tell, and what to do."""
    if all(weights.isfinite().all() for module in stage.trainable() for weights in module.parameters()):
        return "Weights are finite, so look at the loss of this stage, and at these images and clouds"
    return "Weights are not finite, so an update was too large: lower the learning rate"


def _sums(output: StageOutput) -> Iterable[tuple[str, float]]:
    yield "loss_sum", float(output.loss_sum.detach())
    yield "count", float(output.count)
    yield from ((key, float(value)) for key, value in output.statistics.items())


def _write_history(folder: Path, history: list[dict[str, int | float]]) -> None:
    """``metrics.csv``, one line an epoch, and TensorBoard events if TensorBoard is installed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]))
    writer.writeheader()
    writer.writerows(history)
    write_atomically(folder / "metrics.csv", text.getvalue().encode())
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return
    with SummaryWriter(str(folder / "tensorboard")) as events:
        for key, value in history[-1].items():
            if math.isfinite(value):
                events.add_scalar(key, value, int(history[-1]["epoch"]))
