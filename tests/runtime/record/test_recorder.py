"""Tests of hyt.runtime.record.recorder: what a drive tells comes back from the file, whoever reads it."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeRobot, tiny_observation
from mcap.reader import make_reader
from PIL import Image
from recordings import facts, record

import hyt
from hyt.errors import OutputExistsError, RecordingError
from hyt.runtime.listener import Decision, LimiterState, Listener, ThoughtProgress
from hyt.runtime.loop import run_episode
from hyt.runtime.record import recorder as recorder_module
from hyt.runtime.record.recorder import Recorder
from hyt.runtime.record.recording import Recording, Step


class Diary(Listener):
    """Keeps every decision."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)


def steps(path: Path) -> tuple[Recording, list[Step]]:
    recording = Recording(path)
    return recording, [item for item in recording.steps() if isinstance(item, Step)]


def test_what_was_decided_comes_back_bit_by_bit(gated_bundle: Path, tmp_path: Path) -> None:
    diary = Diary()
    recording, found = steps(record(gated_bundle, tmp_path / "run", "gate", 20, diary))
    assert len(found) == len(diary.decisions) == 20
    for step, told in zip(found, diary.decisions, strict=True):
        assert step.images.keys() == told.observation.images.keys()
        for camera, image in told.observation.images.items():
            np.testing.assert_array_equal(step.images[camera], image)
        np.testing.assert_array_equal(step.state, told.observation.state)
        np.testing.assert_array_equal(step.values, told.chunk.values)
        kept = step.decision
        assert told.chunk.tokens is not None
        assert told.chunk.probabilities is not None
        assert kept.tokens == tuple(told.chunk.tokens.tolist())
        assert kept.probabilities == tuple(told.chunk.probabilities.tolist())
        assert kept.thought_ids == (None if told.thought_ids is None else tuple(told.thought_ids.tolist()))
        assert (kept.decision, kept.text, kept.asked) == (told.index, told.text, "gate")
        assert (kept.gate, kept.latencies) == (told.chunk.think_probability, told.latencies)
        assert (kept.end_tick, kept.late, kept.done) == (told.outcome.tick, told.outcome.late, told.outcome.done)
        assert (kept.tick, kept.start_tick) == (told.tick, told.start_tick)
    assert {step.decision.thought_ids is None for step in found} == {True, False}
    assert recording.ending is not None
    assert (recording.ending.ended, recording.ending.decisions, recording.ending.success) == ("done", 20, True)
    run = recording.run
    assert (run.robot, run.seed, run.modality, run.instruction) == ("fake", 7, "gate", "open the drawer")
    assert run.bundle.manifest_sha256 == (gated_bundle / "manifest.sha256").read_text().split()[0]
    assert (run.options, run.backend["threads"]) == ({"gate_threshold": 0.5}, 1)


def check(value: object, schema: dict[str, Any], where: str) -> None:
    """A message is as its schema says, and no schema has words that a viewer may not know."""
    assert set(schema) <= {"type", "properties", "items", "title", "description", "minimum", "contentEncoding"}, where
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    assert value is None or isinstance(value, kinds[schema["type"]]), where
    if isinstance(value, dict):
        for name, one in schema["properties"].items():
            check(value[name], one, f"{where}.{name}")
    elif isinstance(value, list):
        for one in value:
            check(one, schema["items"], f"{where}[]")


def test_the_mcap_package_reads_it_and_pillow_its_images(tiny_bundle: Path, tmp_path: Path) -> None:
    with record(tiny_bundle, tmp_path / "run", "think", 5).open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        messages = list(reader.iter_messages())
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == len(messages)
    names = {channel.topic: summary.schemas[channel.schema_id].name for channel in summary.channels.values()}
    assert names["/camera/camera0"] == "foxglove.CompressedImage"
    assert names["/log"] == "foxglove.Log"
    schemas = {schema.name: json.loads(schema.data) for schema in summary.schemas.values()}
    for _, channel, message in messages:
        check(json.loads(message.data), schemas[names[channel.topic]], channel.topic)
    images = [json.loads(m.data) for _, c, m in messages if c.topic == "/camera/camera0"]
    for index, message in enumerate(images):
        with Image.open(io.BytesIO(b64decode(message["data"]))) as picture:
            np.testing.assert_array_equal(np.asarray(picture), tiny_observation(index).images["camera0"])
    lines = [json.loads(m.data)["message"] for _, c, m in messages if c.topic == "/log"]
    assert lines[0] == "open the drawer"
    assert lines[1].startswith("decision 1: ")
    assert lines[-1] == "done"


def test_thoughts_beside_the_actions_and_the_limiter_are_kept(tiny_bundle: Path, tmp_path: Path) -> None:
    ids = np.array([40, 41], np.int32)
    with hyt.load(tiny_bundle, threads=1) as policy, Recorder(tmp_path / "run", facts(policy)) as recorder:
        recorder.attend("fake", "act")
        recorder.episode_started(3, "open the drawer")
        recorder.thought(ThoughtProgress(1, 1, 25, time.monotonic(), "PLAN reach", 2, 0.5, "cut", ids))
        recorder.limited(LimiterState(1.5, math.inf, "slack"))
    with (tmp_path / "run" / "episode-0001.mcap").open("rb") as file:
        kept = {c.topic: json.loads(m.data) for _, c, m in make_reader(file).iter_messages()}
    assert kept["/thought"].items() >= {"number": 1, "text": "PLAN reach", "ids": [40, 41], "state": "cut"}.items()
    assert kept["/limiter"] == {"thoughts": 1.5, "tokens": None, "waiting_for": "slack"}
    assert kept["/episode"]["ended"] == "interrupted"


def test_each_episode_is_a_file_and_an_error_ends_the_last_one(tiny_bundle: Path, tmp_path: Path) -> None:
    class Broken(FakeRobot):
        def observe(self) -> hyt.Observation:
            if len(self.chunks) == 2 and len(self.seeds) == 2:
                raise hyt.errors.LinkError("the cable", received="nothing")
            return super().observe()

    def drive() -> None:
        robot = Broken(decisions=3)
        with hyt.load(tiny_bundle, threads=1) as policy, Recorder(tmp_path / "run", facts(policy)) as recorder:
            recorder.attend("fake", "act")
            for seed in (1, 2):
                run_episode(policy, robot, instruction="open the drawer", seed=seed, listeners=[recorder])

    with pytest.raises(hyt.errors.LinkError):
        drive()
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["episode-0001.mcap", "episode-0002.mcap"]
    whole, found = steps(tmp_path / "run" / names[0])
    assert (len(found), whole.run.seed, whole.ending and whole.ending.ended) == (3, 1, "done")
    short, found = steps(tmp_path / "run" / names[1])
    assert (len(found), short.run.episode, short.cut) == (2, 2, "")
    assert short.ending is not None
    assert short.ending.ended == "the cable; received nothing"


def test_a_folder_with_recordings_is_left_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    record(tiny_bundle, tmp_path / "run", "act", 1)
    with pytest.raises(
        OutputExistsError, match=r"a folder without recordings; received episode-0001\.mcap; name another"
    ):
        record(tiny_bundle, tmp_path / "run", "act", 1)


def test_a_writer_that_cannot_keep_up_ends_the_run_and_drops_nothing_silently(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "WAITING_LIMIT", 28 * 28 * 3 - 1)
    with pytest.raises(RecordingError, match="expected a disk and a processor that keep up with the robot") as caught:
        record(tiny_bundle, tmp_path / "run", "act", 5)
    assert caught.value.exit_code == 13


KILLED = """
import sys
from pathlib import Path
import numpy as np
import hyt
from hyt.runtime.listener import Decision
from hyt.runtime.record.facts import Facts
from hyt.runtime.record.recorder import Recorder
from hyt.runtime.robot import Outcome

random = np.random.default_rng(0)
with hyt.load(sys.argv[1], threads=1) as policy:
    policy.reset(instruction="open the drawer")
    with Recorder(Path(sys.argv[2]), Facts(policy, options={}, versions={}, machine={})) as recorder:
        recorder.attend("fake", "act")
        recorder.episode_started(0, "open the drawer")
        for index in range(1, 100_000):
            image = random.integers(0, 256, (28, 28, 3), dtype=np.uint8)
            observation = hyt.Observation({"camera0": image}, random.uniform(-1, 1, 4))
            outcome = Outcome(False, False, index, False, 0.0)
            recorder.decided(Decision(index, observation, "", policy.act(observation), outcome, {}))
"""


def test_what_a_killed_recorder_had_written_can_be_read(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "run" / "episode-0001.unfinished.mcap"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tiny_bundle), str(tmp_path / "run")]) as process:
        deadline = time.monotonic() + 60
        while not (path.exists() and path.stat().st_size > 150_000):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    recording, found = steps(path)
    assert len(found) > 30
    assert [step.decision.decision for step in found] == list(range(1, len(found) + 1))
    assert recording.ending is None
    assert recording.cut.startswith("it ends ")
    os.truncate(path, path.stat().st_size - 1)
    assert "within a record at byte" in steps(path)[0].cut


WITHOUT = """
import sys
sys.modules["mcap"] = None
from hyt.runtime.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_the_mcap_package_nothing_is_armed(tiny_bundle: Path, tmp_path: Path) -> None:
    command = ["drive", str(tiny_bundle), "--robot", "serial:nowhere.toml", "--record", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *command], capture_output=True, text=True)
    assert done.returncode == 8
    assert done.stderr.startswith("hyt-run: recordings; expected the mcap package; received ")
    assert done.stderr.endswith("; pip install 'hyt[record]'\n")
    assert not (tmp_path / "run").exists()


def test_the_report_tells_what_recording_cost_the_loop(tiny_bundle: Path, tmp_path: Path) -> None:
    with hyt.load(tiny_bundle, threads=1) as policy, Recorder(tmp_path / "run", facts(policy)) as recorder:
        recorder.attend("fake", "act")
        run_episode(policy, FakeRobot(5), instruction="open the drawer", listeners=[recorder])
    report = recorder.report()
    assert report["files"] == ["episode-0001.mcap"]
    assert report["loop_ms"]["count"] == 5
    assert 28 * 28 * 3 <= report["most_bytes_waiting"] <= 5 * 28 * 28 * 3
