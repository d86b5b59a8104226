"""Ports by name: by-id, TCP and virtual, each to a real firmware."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyt.firmware_bridge import FirmwareProcess, Link, LinkError, State, device

Start = Callable[..., FirmwareProcess]


@pytest.fixture
def server_to() -> Iterator[Callable[[str], str]]:
    """A serial server on localhost for one client after another; returns its tcp:// name."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(path: str) -> None:
        far = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            while True:
                client, _ = listener.accept()
                with client:
                    relay(client, far)
        except OSError:
            os.close(far)

    def relay(client: socket.socket, far: int) -> None:
        while True:
            ready, _, _ = select.select([client, far], [], [])
            if far in ready:
                client.sendall(os.read(far, 4096))
            if client in ready:
                data = client.recv(4096)
                if not data:
                    return
                os.write(far, data)

    def start_server(path: str) -> str:
        threading.Thread(target=serve, args=(path,), daemon=True).start()
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"

    yield start_server
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_firmware_behind_tcp_is_driven_as_one_on_a_wire(start: Start, server_to: Callable[[str], str]) -> None:
    with start() as firmware:
        name = server_to(firmware.port)
        for _ in range(3):
            with Link(name) as link:
                link.arm()
                link.send_chunk(link.telemetry().tick, 5, [[0.5, -0.5]])
                # Over TCP "written" is not yet "heard"; the answer to the next call is.
                assert link.telemetry().state is State.ARMED
                assert firmware.advance(5)[-1].tolist() == [0.5, -0.5]


def test_nobody_behind_tcp_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(LinkError) as caught:
        Link(f"tcp://127.0.0.1:{port}")
    assert str(caught.value).startswith(f"port tcp://127.0.0.1:{port}; expected a serial server that answers;")
    assert "\n" not in str(caught.value)


def test_a_virtual_port_is_a_firmware_of_its_own_that_ends_with_the_link() -> None:
    with Link("virtual:") as link:
        assert [axis.name for axis in link.info.axes] == ["x", "y"]
        assert not link.info.lockstep
        link.arm()
        assert link.telemetry().state is State.ARMED


def test_a_device_is_found_by_part_of_its_name(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "BY_ID", tmp_path)
    with start() as firmware:
        (tmp_path / "usb-FTDI_FT232R_A9-if00-port0").symlink_to(firmware.port)
        with Link("by-id:FT232R") as link:
            assert len(link.info.axes) == 2
        (tmp_path / "usb-FTDI_FT232R_B7-if00-port0").symlink_to(firmware.port)
        with pytest.raises(LinkError, match=r"expected one device whose name holds 'FT232R'; received usb-.*A9.*B7"):
            Link("by-id:FT232R")
    with pytest.raises(LinkError, match="received none; look for its name"):
        Link("by-id:moteus")
