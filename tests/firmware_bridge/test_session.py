"""A session without input or output: its handshake, heartbeats and endings, against times and bytes made here."""

from __future__ import annotations

import pytest

from hyt.errors import LinkError
from hyt.firmware_bridge import Connected, Heard, State, StateChanged
from hyt.firmware_bridge import constants as c
from hyt.firmware_bridge.codec import Frame, FrameDecoder, encode_frame
from hyt.firmware_bridge.protocol import HostProtocol
from hyt.firmware_bridge.session import HEARTBEATS_PER_TIMEOUT, Session


class Firmware:
    """Answers as a firmware of 1000 ticks a second with one axis does; `tick` is set by the test."""

    def __init__(self, schema: int = c.SCHEMA_HASH) -> None:
        self.tick, self.state, self._number = 100, c.State.DISARMED, 0
        self._decoder = FrameDecoder(schema)
        self.heard: list[c.MessageType] = []

    def answer(self, data: bytes) -> bytes:
        return b"".join(self._to(frame) for frame in self._decoder.feed(data))

    def frame(self, kind: c.MessageType, payload: bytes, session: int) -> bytes:
        self._number += 1
        return encode_frame(Frame(kind, session, self._number, 0, self.tick, payload))

    def telemetry(self, session: int, echo: int = 0) -> bytes:
        counters = [0] * len(c.COUNTERS)
        payload = c.TELEMETRY.pack(echo, 0, self.state, 0, 0, 4, *counters) + bytes(8)
        return self.frame(c.MessageType.TELEMETRY, payload, session)

    def _to(self, frame: Frame) -> bytes:
        kind = c.MessageType(frame.type)
        self.heard.append(kind)
        if kind is c.MessageType.HELLO:
            payload = c.WELCOME.pack(1000, 250, 0, 100, 512, 1, 4, 4, 0, 0, b"test")
            return self.frame(c.MessageType.WELCOME, payload, frame.session)
        if kind is c.MessageType.DESCRIBE:
            return self.frame(c.MessageType.AXIS, c.AXIS.pack(0, 1, -1, 1, 0, 0, b"x", b"m"), frame.session)
        return self.telemetry(frame.session, c.PING.unpack(frame.payload)[0])


def opened() -> tuple[Session, Firmware, list[object]]:
    session, firmware, events = Session(HostProtocol(7), port="wire", timeout=2.0), Firmware(), []
    session.begin(0.0)
    for step in range(4):
        arrivals = firmware.answer(session.protocol.take_outgoing())
        events += session.receive(arrivals, 0.01 * (step + 1))[1]
    return session, firmware, list(events)


def test_the_handshake_asks_for_each_axis_and_ends_with_one_event() -> None:
    session, firmware, events = opened()
    assert firmware.heard == [c.MessageType.HELLO, c.MessageType.DESCRIBE, c.MessageType.PING]
    assert [type(event) for event in events] == [Heard, StateChanged, Connected]
    assert session.info is not None
    assert (session.info.session, session.info.tick_hz, session.info.axes[0].name) == (7, 1000, "x")


def test_an_unanswered_question_is_named_after_the_timeout() -> None:
    session = Session(HostProtocol(7), port="wire", timeout=2.0)
    session.begin(10.0)
    assert session.due(11.99) == pytest.approx(12.0, abs=0.2)
    with pytest.raises(LinkError, match="firmware on wire; expected an answer to HELLO within 2 s; received none"):
        session.due(12.0)


def test_heartbeats_come_several_times_in_a_link_timeout_and_are_not_sent_again() -> None:
    session, firmware, _ = opened()
    firmware.heard.clear()
    for step in range(1000):
        session.due(1.0 + step / 1000)
        firmware.answer(session.protocol.take_outgoing())
    assert set(firmware.heard) == {c.MessageType.PING}
    assert len(firmware.heard) == pytest.approx(1.0 / (0.250 / HEARTBEATS_PER_TIMEOUT), abs=1)
    assert session.protocol.counters.resent == 0


def test_a_change_of_state_is_an_event_and_the_same_state_again_is_none() -> None:
    session, firmware, _ = opened()
    firmware.state = c.State.STOPPED
    changes = []
    for _ in range(3):
        changes += [e for e in session.receive(firmware.telemetry(7), 1.0)[1] if isinstance(e, StateChanged)]
    assert [change.telemetry.state for change in changes] == [State.STOPPED]


@pytest.mark.parametrize(
    ("tick", "reset", "reason"),
    [(3, True, "the firmware was reset"), (5000, False, "another host took over or the firmware was reset")],
)
def test_a_clock_that_went_back_tells_a_reset_from_another_host(tick: int, reset: bool, reason: str) -> None:
    session, firmware, _ = opened()
    firmware.tick = tick
    payload = c.RESULT.pack(0, c.MessageType.PING, c.Result.OLD_SESSION, 4, 0)
    session.receive(firmware.frame(c.MessageType.RESULT, payload, 7), 1.0)
    assert session.ended is not None
    assert (session.ended.reset, session.ended.reason) == (reset, reason)


def test_a_slow_wire_is_given_the_time_that_its_bytes_take() -> None:
    fast, slow = HostProtocol(7), HostProtocol(7, byte_time=10 / 9600)
    for protocol in (fast, slow):
        for _ in range(4):
            protocol.command(c.MessageType.CHUNK, bytes(2000), 0.0)
        protocol.resend(1.0)
    assert fast.counters.resent == 1  # the oldest alone
    assert slow.counters.resent == 0
    assert slow.line_time() == pytest.approx(4 * 2 * 2030 * 10 / 9600, rel=0.02)


def test_a_refusal_names_both_schemas_and_is_final() -> None:
    session, firmware = Session(HostProtocol(7), port="wire", timeout=2.0), Firmware()
    session.begin(0.0)
    refusal = firmware.frame(c.MessageType.REFUSE, c.REFUSE.pack(0x12345678), 7)
    with pytest.raises(LinkError, match=rf"schema {c.SCHEMA_HASH:08x}; received version \d, schema 12345678; flash"):
        session.receive(refusal, 0.1)
    assert session.refused
