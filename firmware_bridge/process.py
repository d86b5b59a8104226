"""FirmwareProcess: the firmware as a program on this computer, in real time or in lockstep with a simulator."""

from __future__ import annotations

import numbers
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np

from hyt.errors import InputError, LinkError
from hyt.firmware_bridge.constants import MICRO
from hyt.firmware_bridge.guard import Guard
from hyt.firmware_bridge.messages import Array

PROGRAM = "hyt-firmware-host"
LONGEST_ADVANCE = 1_000_000  # ticks


@dataclass(frozen=True)
class AxisConfig:
    """One axis: limits in `unit`, per second; a velocity or acceleration limit of 0 is no limit.

    `linear` and `cubic` reach each point at its step's last tick; `hold` takes it at the step's first.
    """

    name: str
    unit: str
    low: float
    high: float
    max_velocity: float
    max_acceleration: float
    interpolation: Literal["linear", "hold", "cubic"] = "linear"
    initial: float = 0.0


@dataclass(frozen=True)
class FirmwareConfig:
    """What is built into a microcontroller's firmware; timeouts in ticks, see PROTOCOL.md.

    An underrun timeout of 0 never trips. `start_tick` is the tick at boot.
    """

    axes: Sequence[AxisConfig]
    tick_hz: int = 1000
    link_timeout_ticks: int = 100
    underrun_timeout_ticks: int = 0
    stop_action: Literal["hold", "decelerate", "release"] = "hold"
    stall_limit_ticks: int = 100
    start_tick: int = 0


def find_file(name: str, remedy: str = "install hyt again") -> Path:
    """A program or image of the installed package; raises LinkError when the package was installed without it."""
    # Beside this file in a wheel; an editable install keeps what was built in site-packages, apart from the sources.
    candidates = [Path(__file__).parent / "bin" / name]
    with suppress(PackageNotFoundError):
        candidates.append(Path(str(distribution("hyt").locate_file(f"hyt/firmware_bridge/bin/{name}"))))
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise LinkError(
        name,
        expected="it in the installed package",
        received=f"nothing at {' or '.join(str(candidate) for candidate in candidates)}",
        remedy=remedy,
    )


def configuration_arguments(
    config: FirmwareConfig, *, lockstep: bool, trace: Path | str | None, clock_ppm: int
) -> list[str]:
    """The command line of a firmware that is told its configuration at the start."""
    if not isinstance(config, FirmwareConfig) or not all(isinstance(axis, AxisConfig) for axis in config.axes):
        raise InputError("firmware configuration", expected="a FirmwareConfig of AxisConfigs", received=repr(config))
    arguments = ["--lockstep"] if lockstep else []
    arguments += ["--trace", str(trace)] if trace is not None else []
    arguments += ["--clock-ppm", str(clock_ppm)]
    for axis in config.axes:
        limits = [axis.low, axis.high, axis.max_velocity, axis.max_acceleration, axis.initial]
        try:
            *texts, initial = (repr(float(number)) for number in limits)
        except (TypeError, ValueError):
            raise InputError(f"axis {axis.name}", expected="limits that are numbers", received=repr(axis)) from None
        fields = [str(axis.name), str(axis.unit), *texts, str(axis.interpolation), initial]
        arguments += ["--axis", ",".join(fields)]
    arguments += ["--tick-hz", str(config.tick_hz), "--link-timeout", str(config.link_timeout_ticks)]
    arguments += ["--underrun-timeout", str(config.underrun_timeout_ticks), "--stop-action", str(config.stop_action)]
    return [*arguments, "--stall-limit", str(config.stall_limit_ticks), "--start-tick", str(config.start_tick)]


class FirmwareProcess:
    """Runs the firmware until `close`; `port` is the path of its serial port.

    In lockstep ticks pass in `advance` and nowhere else. In real time they pass by the clock as a microcontroller's
    would, which runs `clock_ppm` millionths too fast. In either the program ends with this process, even by kill -9.
    `trace` names a CSV file with one line per tick. Raises InputError for a configuration that the firmware refuses
    and LinkError when it does not start.
    """

    def __init__(
        self,
        config: FirmwareConfig,
        *,
        lockstep: bool,
        trace: Path | str | None = None,
        clock_ppm: int = 0,
        program: Path | None = None,
    ) -> None:
        arguments = configuration_arguments(config, lockstep=lockstep, trace=trace, clock_ppm=clock_ppm)
        self._launch(config, [str(program or find_file(PROGRAM)), *arguments], lockstep=lockstep)

    def _launch(
        self,
        config: FirmwareConfig,
        command: Sequence[str],
        *,
        lockstep: bool,
        keep: Sequence[int] = (),
        remedy: str = "install hyt again",
    ) -> None:
        self.config = config
        self._lockstep = lockstep
        self._name = Path(command[0]).name
        try:
            # A session of its own: a microcontroller does not hear the Ctrl-C of our terminal.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                pass_fds=keep,
            )
            self._guard = None if self._ends_with_input() else Guard(self._process.pid)
        except OSError as error:
            raise LinkError(self._name, expected="it to start", received=str(error), remedy=remedy) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        self.port = self._boot()

    def __enter__(self) -> FirmwareProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    def advance(self, ticks: int) -> Array:
        """Runs ticks in lockstep; returns float64 (ticks, axes): the setpoint of each, in physical units.

        Everything that a Link call has returned from is heard before the first of them. Raises InputError for a number
        of ticks below 0 or above 1,000,000 and outside lockstep, LinkError when the program has ended.
        """
        whole = isinstance(ticks, numbers.Integral)
        if not self._lockstep or not whole or not 0 <= ticks <= LONGEST_ADVANCE:
            raise InputError("advance", expected=f"lockstep, and 0 to {LONGEST_ADVANCE} ticks", received=str(ticks))
        self._say(f"advance {int(ticks)}\n")
        axes = len(self.config.axes)
        data = bytearray()
        size = 4 * ticks * axes
        while len(data) < size:
            part = os.read(self._output, size - len(data))
            if not part:
                raise self._ended()
            data += part
        return np.frombuffer(bytes(data), "=i4").reshape(ticks, axes) / MICRO

    def emergency_stop(self, pressed: bool) -> None:
        """Presses or releases the firmware's emergency stop input."""
        if self._lockstep:
            self._say(f"estop {int(pressed)}\n")
        else:
            self._process.send_signal(signal.SIGUSR1 if pressed else signal.SIGUSR2)

    def close(self) -> None:
        """Ends the program; raises LinkError when it had ended by itself. May be called again."""
        if self._process.stdin is None or self._process.stdin.closed:
            return
        if not self._ends_with_input():
            self._process.terminate()
        self._process.stdin.close()
        self._dismiss_guard()
        code = self._process.wait(timeout=10)
        errors = self._read_errors()
        if code != 0:
            raise LinkError(self._name, expected="exit code 0", received=f"{code}: {errors}")

    def _ends_with_input(self) -> bool:
        return self._lockstep

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.dismiss()

    def _boot(self) -> str:
        """Waits until the firmware is ready; returns its port."""
        return self._read_line()

    def _read_line(self) -> str:
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self._output, 1)
            if not byte:
                raise self._refused()
            line += byte
        return line.decode().strip()

    def _say(self, line: str) -> None:
        try:
            os.write(self._input, line.encode())
        except (BrokenPipeError, ValueError):
            raise self._ended() from None

    def _read_errors(self) -> str:
        assert self._process.stderr is not None
        assert self._process.stdout is not None
        with self._process.stderr as stream, self._process.stdout:
            return stream.read().decode(errors="replace").strip()

    def _refused(self) -> InputError:
        self._dismiss_guard()
        self._process.wait(timeout=10)
        assert self._process.stdin is not None
        self._process.stdin.close()
        return InputError("firmware configuration", received=self._read_errors(), remedy="correct it")

    def _ended(self) -> LinkError:
        return LinkError(self._name, expected="a running program", received=f"it ended with {self._process.poll()}")
