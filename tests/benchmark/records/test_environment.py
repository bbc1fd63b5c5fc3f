import json
import subprocess
from pathlib import Path

import pytest
import torch

import benchmark.records.environment as module
from benchmark.records.environment import environment, harness


def test_the_record_is_json_and_says_what_a_number_depends_on() -> None:
    found = environment("cpu", threads=torch.get_num_threads())
    assert json.loads(json.dumps(found)) == found
    assert found["device_type"] == "cpu"
    assert found["device"]
    assert found["threads"] == torch.get_num_threads()
    assert (found["precision"], found["tf32"]) == ("32-true", False)
    assert environment("cpu")["threads"] is None
    assert environment("cpu", sparse_backend="torch") == environment("cpu") | {"sparse_backend": "torch"}
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "Begin")
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)
    return tmp_path


def test_the_revision_is_recorded_and_results_do_not_make_it_dirty(repository: Path) -> None:
    revision = git(repository, "rev-parse", "HEAD")
    (repository / "results").mkdir()
    (repository / "results" / "result.json").write_text("{}")
    assert harness() == {"version": harness()["version"], "git_revision": revision, "dirty": False}
    (repository / "code.py").write_text("changed")
    assert harness()["dirty"] is True


def test_an_installed_suite_does_not_report_the_revision_of_whatever_lies_around_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site_packages = repository / ".venv" / "site-packages"
    site_packages.mkdir(parents=True)
    monkeypatch.setattr(module, "REPOSITORY", site_packages)
    found = harness()
    assert (found["git_revision"], found["dirty"]) == (None, None)


def test_without_git_the_revision_is_unknown(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert harness()["git_revision"] is None
