"""Betters Q4_0 weights by coordinate descent: each level and each scale in turn, as it makes the error least.

GPTQ never looks back: a column is rounded before it is known what the later ones can make up for. Here every column is
rounded again while all others stay as they are, and the scale of each block is fitted to its levels, sweep after sweep.
The error (w - q)^T H (w - q) of a row can only fall.
"""

from __future__ import annotations

import numpy as np

from hyt.export.quantization.q4_0 import BLOCK, HIGHEST, LOWEST, Floats, half

SWEEPS = 4
"""At most; a sweep that takes off less than `ENOUGH` of the error is the last."""
ENOUGH = 5e-3


def refine(rows: Floats, levels: Floats, scales: Floats, hessian: Floats) -> None:
    """Better `levels` (n, columns), -8 .. 7, and `scales` (n, columns / 32), float16 values, in place.

    rows: what they stand for, (n, columns); hessian: (columns, columns), positive definite
    """
    columns = rows.shape[1]
    values = levels * np.repeat(scales, BLOCK, axis=1)
    pull = (rows - values) @ hessian  # half the gradient: how much the error falls where a value grows
    least = float(((rows - values) * pull).sum())
    for _ in range(SWEEPS):
        for number in range(columns // BLOCK):
            part = slice(number * BLOCK, (number + 1) * BLOCK)
            own, before = hessian[part, part], values[:, part].copy()
            levels[:, part], scales[:, number] = _block(
                pull[:, part].copy(), before, levels[:, part], scales[:, number], own
            )
            values[:, part] = levels[:, part] * scales[:, number, None]
            pull -= (values[:, part] - before) @ hessian[part]
        error = float(((rows - values) * pull).sum())
        if error > (1 - ENOUGH) * least:
            break
        least = error


def _block(pull: Floats, values: Floats, levels: Floats, scale: Floats, hessian: Floats) -> tuple[Floats, Floats]:
    """New levels (n, 32) and scales (n,) of one block; `pull` and `values` (n, 32) are changed as they go."""
    levels = levels.copy()
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
    for j in range(BLOCK):
        wanted = values[:, j] + pull[:, j] / hessian[j, j]
        levels[:, j] = np.clip(np.rint(wanted * inverse), LOWEST, HIGHEST)
        pull -= (scale * levels[:, j] - values[:, j])[:, None] * hessian[j]
    over, under = (pull * levels).sum(axis=1), ((levels @ hessian) * levels).sum(axis=1)
    step = half(scale + np.divide(over, under, out=np.zeros_like(over), where=under > 0)) - scale
    return levels, scale + np.where(step * (step * under - 2 * over) < 0, step, 0.0)
