"""QemuFirmware: the firmware on an emulated microcontroller, a Cortex-M3, with its UART on a TCP socket."""

from __future__ import annotations

import socket
from pathlib import Path

from hyt.firmware_bridge.process import FirmwareConfig, FirmwareProcess, configuration_arguments, find_file

EMULATOR = "qemu-system-arm"
IMAGE = "hyt-firmware-qemu.elf"


class QemuFirmware(FirmwareProcess):
    """A FirmwareProcess whose firmware is an image for the LM3S6965, run by qemu-system-arm; `port` is tcp://.

    In lockstep it is as deterministic as the host program. In real time the emulator loses ticks on a busy computer, as
    the firmware then counts; it proves logic, not a UART's timing. One host at a time is heard, the next one waits.
    Raises LinkError when the emulator or the image is missing, InputError for a configuration that the firmware
    refuses.
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
        image = program or find_file(
            IMAGE, "build hyt where gcc-arm-none-eabi and libnewlib-arm-none-eabi are installed"
        )
        self._arguments = configuration_arguments(config, lockstep=lockstep, trace=trace, clock_ppm=clock_ppm)
        # The socket is ours from the start, so no other program can take its number.
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            command = [EMULATOR, "-M", "lm3s6965evb", "-display", "none", "-monitor", "none", "-kernel", str(image)]
            command += ["-semihosting-config", "enable=on,target=native"]
            command += ["-chardev", f"socket,id=link,fd={server.fileno()},server=on,wait=off,nodelay=on"]
            command += [
                "-chardev",
                "stdio,id=console,signal=off",
                "-serial",
                "chardev:link",
                "-serial",
                "chardev:console",
            ]
            super()._launch(
                config, command, lockstep=lockstep, keep=(server.fileno(),), remedy="apt install qemu-system-arm"
            )

    def emergency_stop(self, pressed: bool) -> None:
        """Presses or releases the firmware's emergency stop input."""
        self._say(f"estop {int(pressed)}\n")

    def reset(self) -> None:
        """Resets the microcontroller: it boots again, disarmed and without a session; the connection stays."""
        self._say("reset\n")
        self._boot()

    def _ends_with_input(self) -> bool:
        return False  # the emulator does not look at the end of its input

    def _read_errors(self) -> str:
        # The emulator has remarks of its own.
        lines = super()._read_errors().splitlines()
        return "; ".join([line for line in lines if line.startswith("hyt-firmware")] or lines)

    def _boot(self) -> str:
        self._read_line()  # "boot": what is said before it is lost
        self._say("\n".join([*self._arguments, "", ""]))
        self._read_line()  # "ready"
        return self._address
