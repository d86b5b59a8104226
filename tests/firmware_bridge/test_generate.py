"""messages.json is the one source: what both sides include is up to date and agrees with it."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

from hyt.firmware_bridge import constants
from hyt.firmware_bridge.generate import schema_hash

BRIDGE = Path(__file__).resolve().parents[2] / "firmware_bridge"
TABLE = json.loads((BRIDGE / "messages.json").read_text())


def test_the_generated_files_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, str(BRIDGE / "generate.py"), "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_prose_does_not_change_the_schema_and_everything_else_does() -> None:
    reworded = copy.deepcopy(TABLE)
    reworded["messages"][0]["doc"] = "other words"
    assert schema_hash(reworded) == schema_hash(TABLE)
    for path in (("messages", 0, "id"), ("counters", 0, "name"), ("constants", 0, "value")):
        changed = copy.deepcopy(TABLE)
        changed[path[0]][path[1]][path[2]] = "changed"
        assert schema_hash(changed) != schema_hash(TABLE)


def test_names_and_ids_are_unique() -> None:
    for table in (TABLE["messages"], TABLE["counters"], TABLE["constants"]):
        names = [entry["name"] for entry in table]
        assert len(set(names)) == len(names)
    assert len({message["id"] for message in TABLE["messages"]}) == len(TABLE["messages"])


def test_c_and_python_have_the_same_numbers() -> None:
    header = (BRIDGE / "firmware" / "core" / "protocol_constants.h").read_text()
    assert f"#define HYT_SCHEMA_HASH 0x{constants.SCHEMA_HASH:08x}u" in header
    for message in constants.MessageType:
        assert re.search(rf"\bHYT_{message.name} = {message.value},", header)
        layout = getattr(constants, message.name)
        assert re.search(rf"\bHYT_{message.name}_SIZE = {layout.size}\n", header)
    for result in constants.Result:
        assert re.search(rf"\bHYT_RESULT_{result.name} = {result.value},", header)
