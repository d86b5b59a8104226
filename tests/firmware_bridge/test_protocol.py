"""The sans-IO protocol: order, window, resending and matching, with time made by hand."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from hyt.firmware_bridge import constants as c
from hyt.firmware_bridge.codec import Frame, FrameDecoder, encode_frame
from hyt.firmware_bridge.messages import CommandResult, Telemetry
from hyt.firmware_bridge.protocol import HostProtocol

SESSION = 42


def sent(protocol: HostProtocol) -> list[Frame]:
    return FrameDecoder().feed(protocol.take_outgoing())


def result(sequence: int, code: c.Result = c.Result.OK, number: int = 1, type_: int = c.MessageType.ARM) -> bytes:
    payload = c.RESULT.pack(sequence, type_, code, 4, 0)
    return encode_frame(Frame(c.MessageType.RESULT, SESSION, number, sequence, 100, payload))


def telemetry(echo: int, number: int = 1, session: int = SESSION) -> bytes:
    payload = c.TELEMETRY.pack(echo, 0, 0, 0, 0, 4, *range(len(c.COUNTERS))) + struct.pack("<4i", 1_500_000, -1, 7, 8)
    return encode_frame(Frame(c.MessageType.TELEMETRY, session, number, 0, 100, payload))


def test_at_most_a_window_of_commands_is_unanswered_and_they_keep_their_order() -> None:
    protocol = HostProtocol(SESSION)
    for _ in range(10):
        protocol.command(c.MessageType.ARM, b"", now=0.0)
    assert [frame.sequence for frame in sent(protocol)] == [1, 2, 3, 4]
    protocol.receive(result(2), now=0.1)
    assert sent(protocol) == []  # the window counts from the oldest that is not answered
    protocol.receive(result(1, number=2), now=0.1)
    assert [frame.sequence for frame in sent(protocol)] == [5, 6]


def test_what_is_not_answered_is_sent_again_and_again_and_then_no_more() -> None:
    protocol = HostProtocol(SESSION, resend_after=0.1)
    protocol.command(c.MessageType.ARM, b"", now=0.0)
    first = protocol.take_outgoing()
    assert protocol.resend(0.05) == 0.1
    assert protocol.take_outgoing() == b""
    for now in (0.1, 0.2):
        protocol.resend(now)
        assert protocol.take_outgoing() == first
    assert protocol.counters.resent == 2
    protocol.receive(result(1), now=0.25)
    assert protocol.resend(9.0) is None
    assert protocol.take_outgoing() == b""


def test_a_forgotten_query_is_not_sent_again() -> None:
    protocol = HostProtocol(SESSION)
    key = protocol.ping(now=0.0)
    protocol.take_outgoing()
    protocol.forget(key)
    assert protocol.resend(9.0) is None


def test_giving_up_a_command_gives_up_all_that_wait_behind_it() -> None:
    protocol = HostProtocol(SESSION)
    keys = [protocol.command(c.MessageType.ARM, b"", now=0.0) for _ in range(6)]
    protocol.take_outgoing()
    protocol.forget(keys[0])
    assert protocol.resend(9.0) is None
    protocol.receive(result(1), now=9.0)
    assert protocol.take_outgoing() == b""


def test_stop_passes_everything_that_waits() -> None:
    protocol = HostProtocol(SESSION)
    protocol.command(c.MessageType.ARM, b"", now=0.0)
    protocol.ping(now=0.0)
    protocol.stop(now=0.0)
    assert [frame.type for frame in sent(protocol)] == [c.MessageType.STOP, c.MessageType.ARM, c.MessageType.PING]


def test_answers_are_matched_by_number_not_by_order() -> None:
    protocol = HostProtocol(SESSION)
    keys = [protocol.ping(now=0.0) for _ in range(3)]
    arrivals = protocol.receive(telemetry(keys[2][1]) + telemetry(keys[0][1], 2) + telemetry(0, 3), now=0.1)
    assert [a.request.key if a.request else None for a in arrivals] == [keys[2], keys[0], None]
    answer = arrivals[0].answer
    assert isinstance(answer, Telemetry)
    assert answer.setpoints.tolist() == [1.5, -1e-6]
    assert answer.positions.tolist() == [7e-6, 8e-6]
    assert answer.counters == {name: index for index, name in enumerate(c.COUNTERS)}


def test_a_stale_command_is_sent_again_at_once_with_the_tick_of_the_answer() -> None:
    protocol = HostProtocol(SESSION)
    protocol.command(c.MessageType.ARM, b"", now=0.0)
    assert [frame.tick for frame in sent(protocol)] == [0]
    assert protocol.receive(result(1, c.Result.STALE), now=0.1) == []
    assert [(frame.sequence, frame.tick) for frame in sent(protocol)] == [(1, 100)]
    assert len(protocol.receive(result(1, number=2), now=0.2)) == 1


def test_a_second_answer_to_one_command_answers_nothing() -> None:
    protocol = HostProtocol(SESSION)
    protocol.command(c.MessageType.ARM, b"", now=0.0)
    first, second = protocol.receive(result(1) + result(1, number=2), now=0.1)
    assert first.request is not None
    assert second.request is None


def test_frames_of_another_session_are_counted_and_ignored() -> None:
    protocol = HostProtocol(SESSION)
    assert protocol.receive(telemetry(0, session=SESSION + 1), now=0.0) == []
    assert protocol.counters.other_session == 1


def test_lost_frames_are_counted_by_the_gaps_across_the_wrap() -> None:
    protocol = HostProtocol(SESSION)
    for number in (65534, 65535, 0, 3, 4):
        protocol.receive(telemetry(0, number), now=0.0)
    assert protocol.counters.lost == 2


def test_an_old_session_is_noticed() -> None:
    protocol = HostProtocol(SESSION)
    protocol.command(c.MessageType.ARM, b"", now=0.0)
    (arrival,) = protocol.receive(result(1, c.Result.OLD_SESSION), now=0.1)
    assert isinstance(arrival.answer, CommandResult)
    assert protocol.session_lost


@given(st.integers(0, 255), st.binary(max_size=150))
def test_any_payload_under_a_good_crc_is_taken_without_raising(type_: int, payload: bytes) -> None:
    protocol = HostProtocol(SESSION)
    frame = Frame(type_, SESSION, 1, 0, 0, payload)
    arrivals = protocol.receive(encode_frame(frame), now=0.0)
    assert len(arrivals) + protocol.counters.bad_message == 1


@given(st.lists(st.integers(0, 3), max_size=60), st.randoms(use_true_random=False))
def test_every_command_is_executed_once_and_in_order_on_a_wire_that_loses_and_repeats(
    faults: list[int], dice: object
) -> None:
    """Against a model of the firmware's go-back-N: faults 1 loses a frame, 2 repeats it, 3 loses the answer."""
    protocol, executed, now = HostProtocol(SESSION, resend_after=1.0), [0], 0.0
    for _ in range(8):
        protocol.command(c.MessageType.ARM, b"", now)
    for step in range(400):
        for frame in sent(protocol):
            fault = faults.pop() if faults else 0
            for _ in range({1: 0, 2: 2}.get(fault, 1)):
                if frame.sequence == executed[-1] + 1:
                    executed.append(frame.sequence)
                if frame.sequence <= executed[-1] and fault != 3:
                    protocol.receive(result(frame.sequence, number=step), now)
        now += 1.0
        if protocol.resend(now) is None:
            break
    assert executed == list(range(9))
    assert protocol.resend(now) is None
