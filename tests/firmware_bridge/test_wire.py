"""The firmware's end of a wire that is damaged, repeats itself or lies; everything refused is counted."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ports import both

from hyt.firmware_bridge import FirmwareProcess, Result, State
from hyt.firmware_bridge.codec import Frame, encode_frame
from hyt.firmware_bridge.constants import (
    HELLO,
    PING,
    PROTOCOL_VERSION,
    REFUSE,
    SCHEMA_HASH,
    STOP,
    SUBSCRIBE,
    MessageType,
)
from hyt.firmware_bridge.messages import CommandResult, Telemetry, pack_chunk, parse_result, parse_telemetry

Start = Callable[..., FirmwareProcess]


def ping(wire: Any, echo: int, session: int = 7) -> Telemetry:
    wire.say(MessageType.PING, PING.pack(echo), session=session)
    return parse_telemetry(wire.expect(lambda f: f.type == MessageType.TELEMETRY and parse_telemetry(f).echo == echo))


def command(wire: Any, type_: int, sequence: int, payload: bytes = b"", session: int = 7) -> CommandResult:
    wire.say(type_, payload, session=session, sequence=sequence)
    return parse_result(wire.expect(lambda f: f.type == MessageType.RESULT))


def chunk(start_tick: int, x: float) -> bytes:
    return pack_chunk(start_tick, 4, np.array([[x * 1e6, 0]]).astype(np.int32), 0)


def damaged(frame: bytes, dice: random.Random) -> bytes:
    """The frame, damaged between its own delimiters: a byte flipped, lost, added or repeated, or the end cut off."""
    inner = bytearray(frame[1:-1])
    at = dice.randrange(len(inner))
    kind = dice.randrange(5)
    if kind == 0:
        inner[at] ^= dice.randrange(1, 256)
    elif kind == 1:
        del inner[at]
    elif kind == 2:
        inner.insert(at, dice.randrange(256))
    elif kind == 3:
        inner[at:at] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 40)))
    else:
        del inner[at:]
    return b"\0" + bytes(inner) + b"\0"


@both
@pytest.mark.parametrize("seed", range(2))
def test_no_damaged_frame_is_accepted_and_no_neighbour_is_lost(start: Start, wire_to: Any, seed: int) -> None:
    dice = random.Random(seed)
    stop = encode_frame(Frame(MessageType.STOP, 7, 0, 0, 0, STOP.pack(9)))
    neighbour = encode_frame(Frame(MessageType.DESCRIBE, 7, 0, 0, 0, b"\x00"))
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    batches, neighbours, bad = 60, 0, 0
    for batch in range(batches):
        stream = b""
        for _ in range(40):
            broken = damaged(stop, dice)
            # An inserted zero can leave the frame whole, with delimiters of its own: that one is not damaged.
            if stop[1:-1] not in broken.split(b"\0"):
                stream += broken
                bad += 1
            stream += neighbour
            neighbours += 1
        wire.send(stream)
        assert ping(wire, batch + 1).state is State.DISARMED  # no damaged STOP was obeyed
    counters = ping(wire, 1000).counters
    assert counters["frames"] == neighbours + batches + 1
    assert counters["bad_framing"] + counters["bad_crc"] > bad * 0.9


def test_random_bytes_do_nothing(start: Start, wire_to: Any) -> None:
    dice = random.Random(5)
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    before = ping(wire, 1)
    for batch in range(50):
        wire.send(dice.randbytes(3000) + b"\0")
        after = ping(wire, batch + 2)
    assert (after.state, after.counters["frames"]) == (before.state, before.counters["frames"] + 50)
    assert after.counters["bad_framing"] + after.counters["bad_crc"] > 50


@both
def test_a_repeated_command_is_executed_once_and_answered_again(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    assert command(wire, MessageType.ARM, 1).result is Result.OK
    first = command(wire, MessageType.CHUNK, 2, chunk(0, 0.5))
    again = command(wire, MessageType.CHUNK, 2, chunk(0, 0.5))
    assert (first.result, first.credit, again.result, again.credit) == (Result.OK, 3, Result.OK, 3)
    assert ping(wire, 1).counters["duplicates"] == 1
    assert firmware.advance(4)[-1, 0] == 0.5


@both
def test_a_command_ahead_of_a_lost_one_waits_for_it(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    wire.say(MessageType.CHUNK, chunk(0, 0.5), sequence=2)
    assert ping(wire, 1).counters["out_of_order"] == 1
    assert command(wire, MessageType.ARM, 1).result is Result.OK
    assert command(wire, MessageType.CHUNK, 2, chunk(0, 0.5)).result is Result.OK


def test_commands_are_numbered_across_the_wrap_of_16_bits(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    for begin in range(1, 65536 + 10, 64):
        numbers = [n % 65536 for n in range(begin, begin + 64)]
        wire.send(b"".join(encode_frame(Frame(MessageType.DISARM, 7, n, 0, 0)) for n in numbers))
        wire.expect(lambda f, last=numbers[-1]: f.type == MessageType.RESULT and parse_result(f).sequence == last)
    assert ping(wire, 1).counters["out_of_order"] == 0


@both
def test_after_a_rejection_chunks_that_do_not_know_of_it_are_refused(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    command(wire, MessageType.ARM, 1)
    firmware.advance(1)
    assert command(wire, MessageType.CHUNK, 2, chunk(0, 0.5)).result is Result.LATE
    assert command(wire, MessageType.CHUNK, 3, chunk(4, 0.5)).result is Result.FLUSHED
    assert (firmware.advance(20) == 0).all()


@both
def test_frames_of_an_old_session_are_answered_so_and_do_nothing(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    assert command(wire, MessageType.ARM, 1).result is Result.OLD_SESSION  # just booted: no session yet
    wire.hello(session=7)
    wire.hello(session=8)
    assert command(wire, MessageType.ARM, 1, session=7).result is Result.OLD_SESSION
    telemetry = ping(wire, 1, session=8)
    assert (telemetry.state, telemetry.counters["old_session"]) == (State.DISARMED, 2)


@both
def test_a_session_that_has_ended_cannot_be_opened_again(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello(session=7)
    wire.hello(session=8)
    command(wire, MessageType.ARM, 1, session=8)
    wire.say(MessageType.HELLO, HELLO.pack(SCHEMA_HASH), session=7)  # as a wire would that held it back
    assert parse_result(wire.expect(lambda f: f.type == MessageType.RESULT)).result is Result.OLD_SESSION
    assert ping(wire, 1, session=8).state is State.ARMED


@both
def test_words_of_a_host_that_has_heard_nothing_for_long_are_stale(start: Start, wire_to: Any) -> None:
    firmware = start(link_timeout_ticks=50)
    wire = wire_to(firmware.port)
    wire.hello()
    assert command(wire, MessageType.ARM, 1).result is Result.OK
    for sequence in range(2, 6):  # each command feeds the link timer while it is fresh
        firmware.advance(49)
        wire.send(encode_frame(Frame(MessageType.DISARM, 7, sequence, 0, 0, b"x")))
        wire.expect(lambda f: f.type == MessageType.RESULT)
    firmware.advance(4)  # the host still speaks with the tick 0, which it heard last
    assert ping(wire, 1).state is State.ARMED
    firmware.advance(49)
    assert ping(wire, 2).counters["stale"] == 0
    early = encode_frame(Frame(MessageType.ARM, 7, 6, 0, 0))
    wire.send(early)
    answer = parse_result(wire.expect(lambda f: f.type == MessageType.RESULT and parse_result(f).sequence == 6))
    assert (answer.result, answer.detail) == (Result.STALE, 249)
    assert command(wire, MessageType.ARM, 6).result is Result.OK  # not remembered: the same number is executed now
    firmware.advance(49)
    wire.send(encode_frame(Frame(MessageType.PING, 7, 6, 0, 0, PING.pack(9))))
    firmware.advance(1)
    telemetry = ping(wire, 3)
    assert (telemetry.state, telemetry.counters["stale"]) == (State.STOPPED, 2)


@both
def test_telemetry_comes_on_the_schedule_that_was_asked_for(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    first = wire.hello()
    wire.say(MessageType.SUBSCRIBE, SUBSCRIBE.pack(5, 10))
    answer = wire.expect(lambda f: f.type == MessageType.TELEMETRY)
    assert (parse_telemetry(answer).echo, answer.sequence) == (5, first.sequence + 1)
    firmware.advance(35)
    frames = [wire.expect(lambda f: f.type == MessageType.TELEMETRY) for _ in range(3)]
    assert [(f.tick, f.sequence - first.sequence) for f in frames] == [(10, 2), (20, 3), (30, 4)]
    assert [parse_telemetry(f).echo for f in frames] == [0, 0, 0]
    wire.say(MessageType.SUBSCRIBE, SUBSCRIBE.pack(6, 0))
    firmware.advance(50)
    last = wire.expect(lambda f: f.type == MessageType.TELEMETRY)
    wire.say(MessageType.PING, PING.pack(7))
    assert wire.expect(lambda f: f.type == MessageType.TELEMETRY).sequence == last.sequence + 1


@both
def test_the_same_hello_again_changes_nothing(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    command(wire, MessageType.ARM, 1)
    wire.hello()
    assert ping(wire, 1).state is State.ARMED
    assert command(wire, MessageType.CHUNK, 2, chunk(0, 0.5)).result is Result.OK


@both
def test_stop_is_obeyed_whatever_its_session(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    command(wire, MessageType.ARM, 1)
    wire.say(MessageType.STOP, STOP.pack(3), session=12345)
    for session in (12345, 7):  # the answer, and the news to the session in force
        frame = wire.expect(lambda f, session=session: f.type == MessageType.TELEMETRY and f.session == session)
        assert parse_telemetry(frame).state is State.STOPPED
    assert command(wire, MessageType.ARM, 2).result is Result.LATCHED


@both
def test_a_stop_while_disarmed_keeps_this_session_from_arming(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    wire.say(MessageType.STOP, STOP.pack(3))
    assert ping(wire, 4).state is State.STOPPED
    assert command(wire, MessageType.ARM, 1).result is Result.LATCHED
    wire.hello(session=8)
    assert command(wire, MessageType.ARM, 1, session=8).result is Result.OK


@both
@pytest.mark.parametrize(("version", "schema"), [(PROTOCOL_VERSION, SCHEMA_HASH ^ 1), (PROTOCOL_VERSION + 1, 0)])
def test_another_version_or_schema_is_refused_with_the_firmwares_own(
    start: Start, wire_to: Any, version: int, schema: int
) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.send(encode_frame(Frame(MessageType.HELLO, 5, 0, 0, 0, HELLO.pack(schema), version)))
    refusal = wire.expect(lambda f: f.type == MessageType.REFUSE)
    assert (refusal.session, refusal.version, REFUSE.unpack(refusal.payload)) == (5, PROTOCOL_VERSION, (SCHEMA_HASH,))
    wire.hello()
    assert ping(wire, 1).counters["refused_hellos"] == 1


@both
@pytest.mark.parametrize(
    ("type_", "payload", "counter"),
    [
        (MessageType.PING, b"", "bad_message"),
        (MessageType.STOP, b"", "bad_message"),
        (MessageType.DESCRIBE, b"\x02", "bad_message"),
        (MessageType.TELEMETRY, b"", "bad_message"),
        (20, b"", "bad_message"),
    ],
)
def test_malformed_messages_are_counted(start: Start, wire_to: Any, type_: int, payload: bytes, counter: str) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    wire.say(type_, payload)
    assert ping(wire, 1).counters[counter] == 1


@both
def test_unknown_and_misshapen_commands_are_answered(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    assert command(wire, 200, 1).result is Result.UNKNOWN_COMMAND
    assert command(wire, MessageType.ARM, 2, b"x").result is Result.BAD_SHAPE
    assert command(wire, MessageType.DISARM, 3, b"x").result is Result.BAD_SHAPE
    command(wire, MessageType.ARM, 4)
    assert command(wire, MessageType.CHUNK, 5, b"").result is Result.BAD_SHAPE


def test_a_host_that_never_reads_does_not_block_the_firmware(start: Start, wire_to: Any) -> None:
    firmware = start()
    wire = wire_to(firmware.port)
    wire.hello()
    for _ in range(40):
        wire.send(encode_frame(Frame(MessageType.PING, 7, 0, 0, 0, PING.pack(1))) * 40)
        firmware.advance(1)
    wire.drain()
    counters = ping(wire, 77).counters
    assert counters["frames"] == 40 * 40 + 1
    assert counters["frames_unsent"] > 0
