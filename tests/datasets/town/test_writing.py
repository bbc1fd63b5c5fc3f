import os
import subprocess
import sys

from datasets.town import writing
from datasets.town.town import Town

GENERATE = """
import sys
from pathlib import Path
from datasets.town import Town, writing
writing.FRAMES_PER_JOB = 1
for more in writing.write_drives(Town(preset="tiny", every=4).drives()[:1], Path(sys.argv[1]), workers=2):
    print(more, flush=True)
"""


def test_workers_end_with_a_killed_generator_and_what_they_wrote_is_kept(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", GENERATE, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as generator:
        assert generator.stdout is not None
        assert [generator.stdout.readline() for _ in range(2)] == ["0\n", "1\n"]
        generator.kill()
        generator.communicate(timeout=60)  # the pipe's end: the workers, who hold it too, are gone
    drives = Town(preset="tiny", every=4).drives()[:1]
    frames = len(drives[0].frame_times_s())
    before, *_ = writing.write_drives(drives, tmp_path, workers=1)
    assert 1 <= before < frames
    assert list(writing.write_drives(drives, tmp_path, workers=1)) == [frames]
