"""Images as they lie in a dataset: PNG, or whatever Pillow reads when others wrote them."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from hyt.dataset.layout import CameraInfo
from hyt.errors import DatasetError


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """A uint8 (H, W, 3) RGB image as PNG, lossless."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()


def decode_image(data: bytes, camera: CameraInfo, where: str) -> npt.NDArray[np.uint8]:
    """The uint8 (H, W, 3) RGB image in `data`; raises DatasetError naming `where` when it is none of the camera's."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as problem:
        raise DatasetError(
            f"{where}, camera {camera.name}", expected="an image that Pillow reads", received=str(problem)
        ) from None
    if pixels.shape != (camera.height, camera.width, 3):
        raise DatasetError(
            f"{where}, camera {camera.name}",
            expected=f"{camera.height} x {camera.width} pixels, as meta/info.json says",
            received=f"{pixels.shape[0]} x {pixels.shape[1]}",
        )
    return pixels
