"""Says what a firmware image takes: flash and RAM by arm-none-eabi-size, and the deepest stack of its own code.

The compiler notes for every function the stack it takes and the calls it makes (-fcallgraph-info=su). This adds them up
along the deepest chain of calls from each entry: main and the interrupts. Calls through the HAL's pointers go to the
port's functions of those names. Recursion, or a stack of a size that is not known, is an error.

    python stack_usage.py BUILD PORT    e.g. python stack_usage.py build/firmware stm32f4
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

HAL = ("transmit", "output", "emergency_stop", "measure")
INTERRUPT_FRAME = 32  # bytes that a Cortex-M saves by itself


def read_calls(folder: Path) -> tuple[dict[str, int], dict[str, set[str]], set[str]]:
    """Stack in bytes of each function, whom it calls, and those whose stack is not bounded by the compiler."""
    stack: dict[str, int] = {}
    calls: dict[str, set[str]] = defaultdict(set)
    unbounded = set()
    for path in sorted(folder.glob("*.ci")):
        text = path.read_text()
        for title, size, kind in re.findall(r'node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \(([^)]*)\)', text):
            stack[title] = int(size)
            if kind not in ("static", "dynamic,bounded"):
                unbounded.add(title)
        for source, target in re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', text):
            calls[source].add(target)
    pointers = [name for name in stack if name.rpartition(":")[2] in HAL]
    for source in list(calls):
        if "__indirect_call" in calls[source]:
            calls[source] |= set(pointers)
    return stack, calls, unbounded


def deepest(stack: dict[str, int], calls: dict[str, set[str]], entry: str) -> tuple[int, list[str]]:
    """Bytes and functions of the deepest chain of calls from `entry`; raises ValueError on recursion."""
    open_calls: list[str] = []

    @cache
    def below(name: str) -> tuple[int, tuple[str, ...]]:
        if name in open_calls:
            raise ValueError(f"recursion: {' -> '.join([*open_calls, name])}")
        open_calls.append(name)
        best = max((below(callee) for callee in sorted(calls.get(name, ()))), default=(0, ()))
        open_calls.pop()
        return stack.get(name, 0) + best[0], (name, *best[1])

    size, chain = below(entry)
    return size, [name.rpartition(":")[2] for name in chain]


def main(arguments: list[str]) -> int:
    """Prints the figures of one port; returns 1 when its stack has no bound."""
    build, port = Path(arguments[0]), arguments[1]
    print(
        subprocess.run(
            ["arm-none-eabi-size", str(build / f"hyt-firmware-{port}.elf")], check=True, capture_output=True, text=True
        ).stdout,
        end="",
    )
    stack, calls, unbounded = read_calls(build / port)
    entries = [name for name in stack if re.search(r"(^|:)(main|on_timer)$|interrupt$", name)]
    called = {callee for callees in calls.values() for callee in callees}
    try:
        sizes = {entry: deepest(stack, calls, entry) for entry in entries if entry == "main" or entry not in called}
    except ValueError as error:
        print(f"{port}: {error}", file=sys.stderr)
        return 1
    if unbounded:
        print(f"{port}: no bound for the stack of {sorted(unbounded)}", file=sys.stderr)
        return 1
    for size, chain in sizes.values():
        print(f"stack {size:5} bytes: {' -> '.join(chain)}")
    loop = max(size for entry, (size, _) in sizes.items() if entry.endswith("main"))
    interrupt = max(size for entry, (size, _) in sizes.items() if not entry.endswith("main")) + INTERRUPT_FRAME
    print(f"stack {loop + interrupt:5} bytes at most: the main loop and one interrupt; library routines apart")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
