"""What the machine can do, measured in the same run as what is compared with it: memory bandwidth and arithmetic.

`python -m hyt.runtime.machine THREADS` prints it as JSON, in a process of its own: BLAS takes its number of threads
only when it is loaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np

STREAM_BYTES = 256 * 2**20
_GEMM = 1024
_REPEAT = 7
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Ceiling:
    """Streaming read in bytes per second and float32 matrix products in FLOP per second, on `threads` threads."""

    threads: int
    bytes_per_second: float
    flops_per_second: float


def measure_ceiling(threads: int) -> Ceiling:
    """Best of seven: read 256 MiB in `threads` parts at once; multiply 1024 x 1024 matrices with numpy."""
    environment = {**os.environ, **dict.fromkeys(_BLAS_THREADS, str(threads))}
    command = [sys.executable, "-m", "hyt.runtime.machine", str(threads)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return Ceiling(**json.loads(result.stdout))


def _measure(threads: int) -> Ceiling:
    data = np.ones(STREAM_BYTES // 8, dtype=np.int64)  # touched, so every page is its own
    parts = np.array_split(data, threads)
    with ThreadPoolExecutor(threads) as pool:
        # max of integers is one vector compare per load: the memory is what it waits for.
        stream = _best(lambda: list(pool.map(np.max, parts)))
    left = np.random.default_rng(0).standard_normal((_GEMM, _GEMM)).astype(np.float32)
    out = np.empty_like(left)
    product = _best(lambda: np.matmul(left, left, out=out))
    return Ceiling(threads, data.nbytes / stream, 2 * _GEMM**3 / product)


def _best(call: Callable[[], object]) -> float:
    call()
    seconds = []
    for _ in range(_REPEAT):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    print(json.dumps(asdict(_measure(int(sys.argv[1])))))
