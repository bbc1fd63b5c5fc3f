"""Images as they were published, as PNG, or as people keep them to save room, as JPEG."""

from pathlib import Path

from datasets.errors import CrossplaceError
from datasets.readers import image_size

SUFFIXES = (".png", ".jpg", ".jpeg")
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
JPEG_END = b"\xff\xd9"
JPEG_TAIL_BYTES = 64
"""The end of a JPEG is looked for in so many bytes, because some programs fill the file up behind it."""


def size_of_whole(path: Path) -> tuple[int, int]:
    """Width and height of an image that is not cut off; its suffix does not matter, and only its ends are read."""
    size = image_size(path)
    with path.open("rb") as file:
        is_png = file.read(len(PNG_START)) == PNG_START
        file.seek(-min(path.stat().st_size, JPEG_TAIL_BYTES), 2)
        tail = file.read()
    if not (tail.endswith(PNG_END) if is_png else JPEG_END in tail):
        raise CrossplaceError(f"{path}: not a readable image (cut off, or more follows its end); fetch it again")
    return size
