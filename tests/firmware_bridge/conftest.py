"""What the tests of the bridge share: the firmware built with sanitizers, and a raw wire to it."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tools import tool

from hyt.firmware_bridge import AxisConfig, FirmwareConfig, FirmwareProcess, QemuFirmware
from hyt.firmware_bridge.codec import Frame, FrameDecoder, encode_frame
from hyt.firmware_bridge.constants import HELLO, SCHEMA_HASH, MessageType

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware_bridge" / "firmware"


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-alone firmware project, built with its C tests under ASan and UBSan."""
    cmake = tool("cmake")
    folder = tmp_path_factory.mktemp("firmware")
    options = ["-DHYT_BUILD_TESTS=ON", "-DHYT_SANITIZE=ON", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    for command in ([cmake, "-S", str(FIRMWARE), "-B", str(folder), *options], [cmake, "--build", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def program(build: Path) -> Path:
    return build / "hyt-firmware-host"


def two_axes(**changes: object) -> FirmwareConfig:
    """Two linear axes of +-1 m without velocity and acceleration limits, 400 ticks a second."""
    settings: dict[str, object] = {"axes": [AxisConfig(n, "m", -1, 1, 0, 0) for n in "xy"], "tick_hz": 400}
    return FirmwareConfig(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.fixture
def start(build: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., FirmwareProcess]]:
    """Starts the firmware: sanitized on this computer or, with ports.both, on an emulated microcontroller as well.

    At the end of the test it must end cleanly, which a sanitizer report prevents.
    """
    started: list[FirmwareProcess] = []
    qemu = getattr(request, "param", "host") == "qemu"

    def start_one(
        *, lockstep: bool = True, trace: Path | None = None, clock_ppm: int = 0, **changes: object
    ) -> FirmwareProcess:
        config = two_axes(**changes)
        kind, program = (QemuFirmware, "hyt-firmware-qemu.elf") if qemu else (FirmwareProcess, "hyt-firmware-host")
        started.append(kind(config, lockstep=lockstep, trace=trace, clock_ppm=clock_ppm, program=build / program))
        return started[-1]

    yield start_one
    for process in started:
        process.close()


class Wire:
    """The port without a Link: sends any bytes, collects the frames that come back."""

    def __init__(self, port: str) -> None:
        if port.startswith("tcp://"):
            host, _, number = port.removeprefix("tcp://").partition(":")
            self._fd = socket.create_connection((host, int(number))).detach()
        else:
            self._fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []
        self._tick = 0  # of the last frame that was looked at

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def say(self, type_: int, payload: bytes = b"", *, session: int = 7, sequence: int = 0) -> None:
        self.send(encode_frame(Frame(type_, session, sequence, 0, self._tick, payload)))

    def hello(self, session: int = 7) -> Frame:
        self.say(MessageType.HELLO, HELLO.pack(SCHEMA_HASH), session=session)
        return self.expect(lambda frame: frame.type == MessageType.WELCOME and frame.session == session)

    def expect(self, wanted: Callable[[Frame], bool], timeout: float = 10.0) -> Frame:
        """The next frame that is wanted; those before it are dropped."""
        deadline = time.monotonic() + timeout
        while True:
            while self._frames:
                frame = self._frames.pop(0)
                self._tick = frame.tick
                if wanted(frame):
                    return frame
            left = deadline - time.monotonic()
            assert left > 0, "the frame did not come"
            if select.select([self._fd], [], [], left)[0]:
                self._frames += self._decoder.feed(os.read(self._fd, 65536))

    def drain(self) -> None:
        """Read, and drop, all that the firmware has waiting: while its buffers are full it drops its answers."""
        while select.select([self._fd], [], [], 0.3)[0]:
            os.read(self._fd, 65536)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def wire_to() -> Iterator[Callable[[str], Wire]]:
    opened: list[Wire] = []

    def connect(port: str) -> Wire:
        opened.append(Wire(port))
        return opened[-1]

    yield connect
    for wire in opened:
        wire.close()
