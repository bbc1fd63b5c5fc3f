"""Where the weights of a run come from: shipped with the suite, given as a file, trained, or as initialised."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.records.schema import Origin
from benchmark.request import MethodOptions
from benchmark.training.declared import Declared
from datasets.errors import CrossplaceError
from datasets.files import sha256_of


@dataclass(frozen=True, kw_only=True)
class WeightSource:
    """One source of weights, found before any work starts."""

    origin: Origin
    words: str
    """The origin for people, with the command that made shipped weights."""
    file: Path | None = None
    """The file of the weights where one exists by now; weights that training makes lie in the training's folder."""
    sha256: str = ""
    share_of_schedule: float | None = None

    @property
    def is_to_train(self) -> bool:
        """Whether the weights come out of training."""
        return self.origin == "trained"

    @property
    def remedy(self) -> str:
        """What to do about a file that is not what it should be."""
        if self.origin == "given":
            return "name the method, preset and variant that it is for, or another file with --checkpoint"
        if self.origin == "shipped":
            return "restore the file from the repository or train anew with --retrain"
        return "take its folder away to train anew"

    def check(self) -> None:
        """Refuse a shipped file that is not the one its card names."""
        if self.origin != "shipped" or self.file is None:
            return
        found = sha256_of(self.file) if self.file.is_file() else "no file"
        if found != self.sha256:
            raise CrossplaceError(f"{self.file}: expected SHA-256 {self.sha256}, found {found}; {self.remedy}")


def check_options(options: MethodOptions) -> None:
    """Refuse a checkpoint that is not there, or that another option contradicts."""
    if options.checkpoint is None:
        return
    if options.untrained or options.retrain:
        raise CrossplaceError(
            "--checkpoint gives trained weights, --untrained and --retrain refuse them; leave one out"
        )
    if not options.checkpoint.is_file():
        raise CrossplaceError(f"--checkpoint {options.checkpoint}: no such file; crossplace train or convert makes one")


def find_weights(declared: Declared, options: MethodOptions, fingerprint: Callable[[], str]) -> WeightSource:
    """The source for a configured method on the dataset with this fingerprint, which is asked for only if it matters.

    Shipped weights are for exactly one configuration, dataset and seed.
    """
    if options.checkpoint:
        words = f"given ({options.checkpoint.name})"
        return WeightSource(origin="given", words=words, file=options.checkpoint, sha256=sha256_of(options.checkpoint))
    if not declared.is_trainable:
        return WeightSource(origin="nothing to train", words="nothing to train")
    if options.untrained:
        return WeightSource(origin="untrained", words="untrained")
    shipped = () if options.retrain else declared.shipped
    for weights in shipped:
        if weights.seed == options.seed and weights.fingerprint == fingerprint():
            return WeightSource(
                origin="shipped",
                words=f"shipped with the suite ({weights.file.name}), made by: {weights.command}",
                file=weights.file,
                sha256=weights.sha256,
                share_of_schedule=weights.share_of_schedule,
            )
    return WeightSource(origin="trained", words="trained")
