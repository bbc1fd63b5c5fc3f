"""Images of sensor_msgs/CompressedImage, as ``image_transport`` writes them: JPEG or PNG with 8 bits a channel."""

import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from datasets.errors import CrossplaceError

MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
"""By mode of Pillow: the mode in which the pixels are taken. Modes of more than 8 bits a channel are not in it."""
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_DEPTH_AT = 24
"""The byte of a PNG file that holds the bits a channel."""
CURE = "convert the images to JPEG or PNG with 8 bits a channel"


def decompressed(message: Any) -> tuple[str, UInt8[ndarray, "h w *c"]]:
    """The encoding of the image before it was compressed (empty if not stated), and its grey or RGB pixels.

    Raises:
        CrossplaceError: the image is damaged, of another format, or of more than 8 bits a channel.
    """
    content = bytes(message.data)
    encoding = message.format.partition(";")[0].strip()
    is_deep = content.startswith(PNG_START) and content[PNG_DEPTH_AT : PNG_DEPTH_AT + 1] == b"\x10"
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            mode = "" if is_deep else MODES.get(image.mode, "")
            image.verify()  # the decoder itself ignores wrong checksums
        with Image.open(io.BytesIO(content)) as image:
            pixels: Any = np.asarray(image.convert(mode)) if mode else None
    except Exception as error:  # many kinds, by format
        raise CrossplaceError(
            f"the compressed image ({message.format!r}) is damaged or neither JPEG nor PNG; {CURE}"
        ) from error
    if pixels is None:
        raise CrossplaceError(f"the compressed image ({message.format!r}) has more than 8 bits a channel; {CURE}")
    return encoding, pixels
