"""vision.onnx: all images of an observation to image tokens, in buffers that are made once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hyt.errors import BundleError
from hyt.runtime.backends.onnx_decoder import run
from hyt.runtime.backends.onnx_sessions import Sessions

IMAGES, TOKENS = "images", "image_tokens"


class Vision:
    """The encoder; `tokens` are those of the latest images, float32 (images * n, width), image after image."""

    def __init__(self, sessions: Sessions, path: Path, images: int) -> None:
        opened = sessions.open_as(path, {IMAGES: 3}, {TOKENS: None})
        shape, tokens = opened.inputs[IMAGES].shape, opened.outputs[TOKENS].shape
        fixed = all(isinstance(length, int) and 0 < length < 2**20 for length in (*shape, *tokens))
        if not fixed or len(shape) != 4 or len(tokens) != 2 or shape[0] != images:
            expected = f"{IMAGES} ({images}, size, size, 3) and {TOKENS} (n, width)"
            raise BundleError(str(path), expected=expected, received=f"{shape} and {tokens}")
        self.images, self.size, self.width = images, shape[1], tokens[1]
        self._session = opened.session
        self._pixels = np.zeros(shape, np.uint8)
        self.tokens: NDArray[np.float32] = np.zeros(tokens, np.float32)
        self._binding = opened.session.io_binding()
        self._binding.bind_ortvalue_input(IMAGES, sessions.value(self._pixels))
        self._binding.bind_ortvalue_output(TOKENS, sessions.value(self.tokens))

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> None:
        """Write `tokens`."""
        for place, image in zip(self._pixels, images, strict=True):
            np.copyto(place, image)
        run(self._session, self._binding)
