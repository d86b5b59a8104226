"""What the machine can do, in a process of its own: reading, float32 products and int8 products, each by the fastest of
several libraries at hand.

    python -m contestants.ceilings THREADS BYTES COLUMNS,ROWS,POSITIONS...     # from the folder benchmarks; prints JSON
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

REPEAT = 10
FLOAT_SIZE = 1024  # of square float32 matrices
READ_COLUMNS = 4096
MOST_READ = 256 * 2**20  # bytes: beyond any cache


@dataclass(frozen=True)
class Ceilings:
    """On `threads` threads: bytes a second read, again and again, from as much memory as `read_bytes`; operations a
    second of float32 and of int8 products, a multiply-add being two; and whose int8 product it was."""

    threads: int
    read_bytes: int
    bytes_per_second: float
    float32_per_second: float
    int8_per_second: float
    int8_by: str

    def better(self, other: Ceilings) -> Ceilings:
        """The higher of each."""
        best = max(self, other, key=lambda one: one.int8_per_second)
        return Ceilings(
            self.threads,
            self.read_bytes,
            max(self.bytes_per_second, other.bytes_per_second),
            max(self.float32_per_second, other.float32_per_second),
            best.int8_per_second,
            best.int8_by,
        )


def measure(threads: int, shapes: list[tuple[int, int, int]], weights: int) -> Ceilings:
    """Of products with these columns, rows and positions, and of reading as many bytes as the weights have."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "contestants.ceilings", str(threads), str(weights)]
    command += [",".join(map(str, shape)) for shape in shapes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return Ceilings(**json.loads(done.stdout.splitlines()[-1]))


def _measure(threads: int, weights: int, shapes: list[tuple[int, int, int]]) -> Ceilings:
    from gemm import best, vendor

    from hyt.runtime import _core
    from hyt.runtime.machine import measure_ceiling

    read_rows = max(min(weights, MOST_READ) // (READ_COLUMNS // 32 * 18), 16)
    *_, read, size = _core.time_product("", READ_COLUMNS, read_rows, 1, threads, REPEAT)
    numpy = measure_ceiling(threads)
    import torch  # behind what its threads would disturb

    torch.set_num_threads(threads)
    left = torch.rand(FLOAT_SIZE, FLOAT_SIZE)
    float32 = max(2 * FLOAT_SIZE**3 / best(lambda: left @ left, REPEAT), numpy.flops_per_second)
    speeds: dict[str, float] = {}
    for columns, rows, positions in shapes:
        for name, seconds in vendor(columns, rows, positions, threads, REPEAT).items():
            speeds[name] = max(2 * columns * rows * positions / seconds, speeds.get(name, 0.0))
    name = max(speeds, key=lambda one: speeds[one])
    return Ceilings(threads, size, max(size / read, numpy.bytes_per_second), float32, speeds[name], name)


if __name__ == "__main__":
    threads, weights, *shapes = sys.argv[1:]
    triples = [tuple(map(int, shape.split(","))) for shape in shapes]
    print(json.dumps(asdict(_measure(int(threads), int(weights), triples))))  # type: ignore[arg-type]
