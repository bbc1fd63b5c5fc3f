from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmark.training import convert as module
from benchmark.training.convert import CONVERTERS, convert
from datasets.errors import CrossplaceError


@pytest.fixture(autouse=True)
def doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format of one tensor a file, in place of a real one."""
    monkeypatch.setitem(CONVERTERS, "twice", f"{__name__}:twice")
    monkeypatch.setattr(module.importlib, "import_module", lambda _: Formats)


class Formats:
    @staticmethod
    def twice(source: Path, teacher: Path | None) -> dict[str, torch.Tensor]:
        if not source.is_file():
            raise CrossplaceError(f"{source}: no file")
        return {path.stem: 2 * torch.load(path, weights_only=True) for path in (source, teacher) if path}


def test_what_the_format_reads_is_written(tmp_path: Path) -> None:
    for name, value in (("a", 1.5), ("b", 4.0)):
        torch.save(torch.tensor([value]), tmp_path / f"{name}.pth")
    convert("twice", tmp_path / "a.pth", tmp_path / "new" / "out.safetensors", tmp_path / "b.pth")
    assert {n: t.tolist() for n, t in load_file(tmp_path / "new" / "out.safetensors").items()} == {"a": [3], "b": [8]}


def test_nothing_good_is_lost_if_the_source_is_bad(tmp_path: Path) -> None:
    (tmp_path / "out.safetensors").write_bytes(b"good")
    with pytest.raises(CrossplaceError, match="no file"):
        convert("twice", tmp_path / "a.pth", tmp_path / "out.safetensors", None)
    assert (tmp_path / "out.safetensors").read_bytes() == b"good"
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]
