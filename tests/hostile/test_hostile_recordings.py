"""Recordings that are damaged, cut, forged or no recordings: one line, no crash, little memory, whatever is wrong."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from mcap.writer import CompressionType, Writer

import hyt
from hyt.errors import RecordingError
from hyt.runtime.cli import main
from hyt.runtime.listener import Decision
from hyt.runtime.record.facts import Facts
from hyt.runtime.record.recorder import Recorder
from hyt.runtime.record.recording import Recording
from hyt.runtime.robot import Outcome

MAGIC = b"\x89MCAP0\r\n"
HEADER, CHANNEL, MESSAGE, CHUNK, METADATA = 1, 4, 5, 6, 12


def told(value: object) -> str:
    """The id of a case: its text, never its bytes."""
    return value if isinstance(value, str) else ""


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A recording of twenty decisions."""
    folder, noise = tmp_path_factory.mktemp("whole") / "run", np.random.default_rng(0)
    with hyt.load(tiny_bundle, threads=1) as policy:
        policy.reset(instruction="open the drawer")
        with Recorder(folder, Facts(policy, options={}, versions={}, machine={})) as recorder:
            recorder.attend("fake", "act")
            recorder.episode_started(0, "open the drawer")
            for index in range(1, 21):
                image = noise.integers(0, 256, (28, 28, 3), dtype=np.uint8)
                observation = hyt.Observation({"camera0": image}, noise.uniform(-1, 1, 4))
                outcome = Outcome(False, False, index, False, 0.0)
                recorder.decided(Decision(index, observation, "", policy.act(observation), outcome, {}))
    return (folder / "episode-0001.mcap").read_bytes()


def record(opcode: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack("<BQ", opcode, len(body) if length is None else length) + body


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(data)) + data


def chunk(data: bytes, size: int | None = None, compression: str = "zstd", packed: bytes | None = None) -> bytes:
    content = zstandard.compress(data) if packed is None else packed
    head = struct.pack("<QQQI", 0, 0, len(data) if size is None else size, 0)
    return record(CHUNK, head + text(compression) + struct.pack("<Q", len(content)) + content)


def head_of(whole: bytes) -> bytes:
    """Magic, header and metadata of a real recording, so that what follows is read."""
    at = len(MAGIC)
    while whole[at] != CHUNK:
        at += 9 + struct.unpack_from("<Q", whole, at + 1)[0]
    return whole[:at]


def refused(path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    assert main(["replay", str(path), "--list"]) == 13
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected an MCAP file"),
        (b"\x89PNG\r\n\x1a\n", "expected an MCAP file"),
        (MAGIC, "with hyt.run; received none"),
        (MAGIC + record(HEADER, text("") + text("")), "with hyt.run; received none"),
        (MAGIC + record(METADATA, text("hyt.run") + text(text("format") + text("9"))), "at most 1; received 9"),
        (MAGIC + record(METADATA, text("hyt.run") + text(text("format") + text("1"))), "hyt.run: started"),
        (MAGIC + record(METADATA, text("hyt.run") + text(text("format") + text("{"))), "expected JSON"),
        (MAGIC + record(METADATA, text("hyt.run") + text(text("format") + text("[" * 10**6))), "nested too deeply"),
        (MAGIC + record(METADATA, text("hyt.run") + struct.pack("<I", 2**32 - 1)), "one that cannot be read"),
        (MAGIC + record(METADATA, text(b"\xff\xfe") + text("")), "one that cannot be read"),
        (MAGIC + record(METADATA, bytes(5 * 2**20)), "a record of at most 4194304 bytes"),
    ],
    ids=told,
)
def test_a_file_that_does_not_begin_as_a_recording_does_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], data: bytes, said: str
) -> None:
    path = tmp_path / "x.mcap"
    path.write_bytes(data)
    assert said in refused(path, capfd)


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (chunk(bytes(3)), "whole records in a chunk; received one that was cut short"),
        (chunk(record(MESSAGE, b"", 2**63)), "whole records in a chunk; received one that reaches past its end"),
        (chunk(record(MESSAGE, bytes(21))), "a record of type 5; received one that cannot be read"),
        (chunk(record(MESSAGE, bytes(30))), "a message of a channel that is there"),
        (chunk(b"", size=2**63), "a chunk of at most 67108864 bytes"),
        (chunk(bytes(100), size=90), "a chunk of 90 bytes; received another size"),
        (chunk(b"", size=2**25, packed=zstandard.compress(bytes(2**25 + 1))), "received another size"),
        (chunk(b"", size=99, packed=b"no zstandard"), "a chunk that can be unpacked"),
        (chunk(b"", size=9, compression="lz4", packed=b"123456789"), "a chunk compressed by zstd; received 'lz4'"),
        (record(CHUNK, bytes(7)), "a chunk; received one that cannot be read"),
        (chunk(record(CHANNEL, struct.pack("<HH", 1, 0) + text("x" * 300) + text("") + text(""))), "short names"),
    ],
    ids=told,
)
def test_a_chunk_that_is_not_what_it_says_is_refused(
    whole: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str], rest: bytes, said: str
) -> None:
    path = tmp_path / "x.mcap"
    path.write_bytes(head_of(whole) + rest)
    err = refused(path, capfd)
    assert said in err
    assert f"{path}: byte " in err
    assert "the recording is damaged" in err


def forged(whole: bytes, path: Path, topic: str, messages: list[bytes]) -> Path:
    """Head of a real recording, and messages of one topic that are somebody else's."""
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start()
        channel = writer.register_channel(topic, "json", 0)
        for message in messages:
            writer.add_message(channel, 0, message, 0)
        writer.finish()
    body = path.read_bytes()
    after_header = len(MAGIC) + 9 + struct.unpack_from("<Q", body, len(MAGIC) + 1)[0]
    path.write_bytes(head_of(whole) + body[after_header:])
    return path


@pytest.mark.parametrize(
    ("topic", "message", "said"),
    [
        ("/state", b"{", "expected JSON"),
        ("/state", b'{"decision": 1, "values": {"x": NaN}}', "NaN is no JSON number"),
        ("/state", b'{"decision": 1, "values": {"x": 1e999}}', "/state: values.x"),
        ("/state", b"[" * 100_000, "nested too deeply"),
        ("/state", b" " * (4 * 2**20 + 1), "at most 4194304 bytes"),
        ("/decision", b'{"decision": 1}', "/decision: asked"),
        ("/camera/other", b"{}", "a camera of its run"),
        ("/camera/camera0", b"{}", "an image as hyt-run drive --record writes it"),
        ("/camera/camera0", b'{"data": "?"}', "an image as hyt-run drive --record writes it"),
        ("/camera/camera0", b'{"data": "aGVsbG8="}', "no PNG"),
        ("/camera/camera0", b"[" + b"1," * 10**6 + b"1]", "a foxglove.CompressedImage"),
        ("/episode", b"{}", "/episode: ended"),
        ("/thought", b'{"number": 0}', "/thought: number"),
    ],
    ids=told,
)
def test_a_message_that_is_not_what_its_topic_says_is_refused(
    whole: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str], topic: str, message: bytes, said: str
) -> None:
    assert said in refused(forged(whole, tmp_path / "x.mcap", topic, [message]), capfd)


def test_a_decision_without_its_observation_is_refused(
    whole: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "whole.mcap").write_bytes(whole)
    first = next(Recording(tmp_path / "whole.mcap").steps())
    message = first.decision.model_dump_json().encode()  # type: ignore[union-attr]
    line = refused(forged(whole, tmp_path / "x.mcap", "/decision", [message]), capfd)
    assert "decision 1; expected its images, state and action before it; received fewer" in line


def read(path: Path) -> str:
    """What reading it to its end says: "" or the line of the refusal."""
    try:
        for _ in Recording(path).steps():
            pass
    except RecordingError as problem:
        return str(problem)
    return ""


def test_a_file_cut_anywhere_is_read_up_to_its_last_whole_record(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.mcap"
    for length in [*range(0, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:length])
        said = read(path)
        assert said == "" or "expected an MCAP file" in said or "with hyt.run; received none" in said


def test_flipped_bytes_are_refused_in_one_line_or_change_nothing_that_is_read(whole: bytes, tmp_path: Path) -> None:
    path, dice = tmp_path / "x.mcap", random.Random(1)
    refusals = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(dice.choice((1, 1, 2, 8))):
            data[dice.randrange(len(data))] ^= dice.randrange(1, 256)
        path.write_bytes(data)
        refusals += read(path) != ""
    assert refusals > 150


CHECK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
from hyt.runtime.cli import main
sys.exit(main(["replay", sys.argv[1], "--list"]))
"""


@pytest.mark.parametrize(
    "rest",
    [
        lambda: chunk(b"", size=2**26, packed=zstandard.compress(bytes(2**26))),
        lambda: b"".join(chunk(b"", size=2**26, packed=zstandard.compress(bytes(2**26))) for _ in range(8)),
        lambda: record(CHUNK, b"", 2**62),
        lambda: chunk(record(METADATA, text("") + struct.pack("<I", 2**31))),
        lambda: chunk(
            b"", size=2**26, packed=zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2**27))
        ),
    ],
)
def test_sizes_that_lie_take_no_more_than_a_gigabyte(whole: bytes, tmp_path: Path, rest: Callable[[], bytes]) -> None:
    path = tmp_path / "x.mcap"
    path.write_bytes(head_of(whole) + rest())
    done = subprocess.run([sys.executable, "-c", CHECK, str(path)], capture_output=True, text=True)
    assert done.returncode in (0, 13), done.stderr
    assert done.stderr.count("\n") <= 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], make: Callable[[Path], Any]
) -> None:
    make(tmp_path / "x.mcap")
    refused(tmp_path / "x.mcap", capfd)
