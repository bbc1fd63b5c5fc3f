"""Copying a run's result into the committed results."""

import shutil
from pathlib import Path

from benchmark.result import RANKS, RESULT, Result


def publish(run: Path, results_folder: Path) -> Path:
    """Copy the result in ``run`` to ``results_folder/<dataset>/<run id>``; returns the new folder.

    Results of real data hold aggregates only: per-query positions are under the data's own licence and stay behind.
    """
    result = Result.read(run)
    target = results_folder / result.dataset.name / result.run_id
    target.mkdir(parents=True, exist_ok=True)
    if not result.dataset.is_real:
        shutil.copyfile(run / RANKS, target / RANKS)
    shutil.copyfile(run / RESULT, target / RESULT)
    return target
