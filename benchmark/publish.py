"""Copying a run's result into the committed results."""

from pathlib import Path

from benchmark.result import RANKS, RESULT, Result
from datasets.errors import CrossplaceError
from datasets.files import write_atomically


def publish(run: Path, results_folder: Path) -> Path:
    """Copy the result in ``run`` to ``results_folder/<dataset>/<run id>``; returns the new folder.

    Results of real data hold aggregates only: per-query positions are under the data's own licence and stay behind.
    """
    result = Result.read(run)
    target = results_folder / result.dataset.name / result.run_id
    for name in (RESULT,) if result.dataset.is_real else (RANKS, RESULT):
        try:
            content = (run / name).read_bytes()
        except OSError as error:
            raise CrossplaceError(f"{run / name}: not readable ({error}); run bench again") from error
        write_atomically(target / name, content)
    return target
