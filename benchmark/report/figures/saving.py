"""The file of a picture of a dataset: PNG or JPEG, as its name ends."""

from pathlib import Path
from typing import TYPE_CHECKING

from datasets.errors import CrossplaceError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG, JPEG = (".png",), (".jpg", ".jpeg")
JPEG_QUALITY = 85


def check_ending(path: Path) -> None:
    """Refuse a file that is neither PNG nor JPEG."""
    if path.suffix.lower() not in PNG + JPEG:
        raise CrossplaceError(f"{path}: this picture is drawn as PNG or JPEG; let the name end in .png or .jpg")


def save(figure: "Figure", path: Path, dpi: int) -> None:
    """Write a figure on its own background, in the format that the name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": JPEG_QUALITY, "optimize": True} if path.suffix.lower() in JPEG else {}
    figure.savefig(path, dpi=dpi, pil_kwargs=options)
