"""Copying results and studies into the committed results."""

from pathlib import Path

from benchmark.records.schema import RANKS, RESULT, Result
from benchmark.records.study import STUDY, StudyRecord
from datasets.errors import CrossplaceError
from datasets.files import write_atomically


def publish(run: Path, results_folder: Path) -> Path:
    """Copy the result in ``run`` to ``results_folder/<dataset>/<run id>``, a study to ``…/studies/<name>``.

    Returns the new folder. Results of real data hold aggregates only: per-query positions are under the data's own
    licence and stay behind.
    """
    if (run / STUDY).is_file():
        StudyRecord.read(run / STUDY)
        target = results_folder / "studies" / run.name
        names: tuple[str, ...] = (STUDY,)
    else:
        result = Result.read(run)
        target = results_folder / result.dataset.name / result.run_id
        names = (RESULT,) if result.dataset.is_real else (RANKS, RESULT)
    for name in names:
        try:
            content = (run / name).read_bytes()
        except OSError as error:
            raise CrossplaceError(f"{run / name}: not readable ({error}); run bench again") from error
        write_atomically(target / name, content)
    return target
