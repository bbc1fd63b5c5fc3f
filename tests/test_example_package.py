"""The worked example of docs/example-package, installed into an environment of its own beside crossplace."""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "docs" / "example-package"


@pytest.fixture(scope="module")
def crossplace(tmp_path_factory: pytest.TempPathFactory) -> "Crossplace":
    """The command in a fresh environment that has the example and, through a path file, all that is installed here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    paths = dict.fromkeys([str(EXAMPLE.parents[1]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (Path(site) / "all-that-is-here.pth").write_text("\n".join(paths) + "\n")
    copy = tmp_path_factory.mktemp("example") / "package"  # a build leaves files beside its sources
    subprocess.run(["cp", "-r", EXAMPLE, copy], check=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", copy],
        check=True,
        capture_output=True,
        env=os.environ | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    return Crossplace(python, folder)


class Crossplace:
    """The command of one environment."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        code = "from benchmark.cli.main import entry_point; entry_point()"
        environment = os.environ | {"CROSSPLACE_DATA": str(self.folder / "data"), "PYTHONPATH": ""}
        return subprocess.run(
            [self.python, "-c", code, *arguments], capture_output=True, text=True, env=environment, cwd=self.folder
        )


def test_it_is_not_there_without_the_package() -> None:
    from benchmark.registry import DATASETS, METHODS

    assert "column_profile" not in METHODS.names()
    assert "corridor" not in DATASETS.names()


def test_its_method_is_listed_with_its_card(crossplace: Crossplace) -> None:
    listed = crossplace("list", "methods")
    assert listed.returncode == 0, listed.stderr
    assert "column_profile" in listed.stdout
    card = crossplace("list", "methods", "column_profile")
    assert "column_profile\nname: column_profile\ntitle: Column profile (worked example)" in card.stdout


def test_its_method_keeps_the_contract(crossplace: Crossplace) -> None:
    checked = crossplace("check-method", "column_profile", "--dataset", "corridor")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("ok ") >= 11
    assert "BROKEN" not in checked.stdout


def test_it_is_trained_and_evaluated_on_its_own_dataset(crossplace: Crossplace) -> None:
    done = crossplace("bench", "--method", "column_profile", "--dataset", "corridor", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "corridor · own-data-20m" in done.stdout
    assert list((crossplace.folder / "runs" / "results").glob("column_profile-*/result.json"))
