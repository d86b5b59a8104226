"""JSON that was changed at random: each file of a checkpoint and of a bundle is refused in one line, or is sound."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from prismatic import write_openvla

ROUNDS = 80
MEMORY = 512 * 2**20  # bytes beyond what the process has before: a number in a file must not decide what is allocated

# Changes one file at random, in its values or in its bytes, and opens what it belongs to, again and again in one
# process: a crash, a hang, an exception of another tree or a flood of memory ends it.
PROGRAM = """
import json, random, resource, sys
from pathlib import Path
from hyt.errors import HytError
from hyt.runtime.bundle import describe_file, open_bundle
from hyt.runtime.prompt import Prompt, read_tokenizer
from hyt.runtime.seal import seal_of

path, kind, rounds, memory = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
original = path.read_bytes()
generator = random.Random(path.name)
VALUES = (
    None, True, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -0.5, 1e308, "", "x" * 10**5, "\\n", "\\x1b[2J", "../x",
    [], {}, [[]] * 1000, {"": ""}, [1] * 10**5, list(range(7)),
)

def places(node):
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from places(node[key])

def changed():
    if generator.random() < 0.25:
        content = bytearray(original)
        for _ in range(generator.randrange(1, 4)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        return bytes(content[: generator.randrange(len(content))] if generator.random() < 0.3 else content)
    data = json.loads(original)
    node, key = generator.choice([place for place in places(data) if not isinstance(place[1], int) or place[1] < 50])
    what = generator.random()
    if what < 0.2:
        del node[key]
    elif what < 0.3 and isinstance(node, dict):
        node[key + "x"] = node.pop(key)
    elif what < 0.4 and isinstance(node, list):
        node.append(node[key])
    else:
        node[key] = generator.choice(VALUES)
    return json.dumps(data).encode()

def open_checkpoint():
    from hyt.export.checkpoint import Checkpoint
    from hyt.export.families import load_model
    from hyt.export.head import Heads
    from hyt.export.statement import Statement
    from hyt.export.tokenizer_check import check_tokenizer
    from hyt.runtime.manifest import check_fit
    stated = Statement() if (path.parent / "hyt.json").exists() else Statement(step_time=0.2, units=("m", "rad"))
    with Checkpoint(path.parent) as checkpoint:
        model = load_model(checkpoint, stated)
        image_tokens = {camera.name: model.shapes.vision.tokens for camera in model.contract.cameras}
        try:
            check_fit(model.contract, model.shapes, image_tokens)
        except ValueError as problem:  # the export tells it as a CheckpointError
            raise HytError(str(problem)) from None
        check_tokenizer(checkpoint.tokenizer_path, model.contract)
        with Heads(checkpoint, model.contract, model.shapes.text):
            pass

def open_sealed():
    manifest = path.parent / "manifest.json"
    if path != manifest:
        data = json.loads(manifest.read_text())
        data["files"][path.name] = describe_file(path).model_dump()
        manifest.write_text(json.dumps(data))
    (path.parent / "manifest.sha256").write_bytes(seal_of(manifest.read_bytes()))
    bundle = open_bundle(path.parent)
    prompt = Prompt(bundle.contract, read_tokenizer(bundle.tokenizer, bundle.contract))
    prompt.words()
    for instruction in bundle.contract.instructions:
        prompt.encode(instruction)

opened = {"checkpoint": open_checkpoint, "bundle": open_sealed}[kind]
opened()
have = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (have + memory, have + memory))
refused = 0
for _ in range(rounds):
    path.write_bytes(changed())
    try:
        opened()
    except HytError as error:
        assert "\\n" not in str(error) and len(str(error)) < 4100, str(error)[:3000]
        refused += 1
print(refused)
"""


def refusals(path: Path, kind: str) -> int:
    """How many changes of a file were refused; what takes the process down fails the test."""
    command = [sys.executable, "-c", PROGRAM, str(path), kind, str(ROUNDS), str(MEMORY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


@pytest.mark.parametrize("name", ["config.json", "hyt.json", "tokenizer.json"])
def test_no_changed_json_of_a_checkpoint_gets_past_its_errors(checkpoint_copy: Path, name: str) -> None:
    assert refusals(checkpoint_copy / name, "checkpoint") > ROUNDS // 8


def test_no_changed_config_of_openvla_gets_past_its_errors(tmp_path: Path) -> None:
    path = write_openvla(tmp_path / "c").path
    assert refusals(path / "config.json", "checkpoint") > ROUNDS // 8


def test_no_changed_statistics_get_past_their_errors(tmp_path: Path) -> None:
    path = write_openvla(tmp_path / "c").path
    statistics = json.loads((path / "config.json").read_text())["norm_stats"]
    (path / "dataset_statistics.json").write_text(json.dumps(statistics))
    assert refusals(path / "dataset_statistics.json", "checkpoint") > ROUNDS // 8


def test_no_changed_preprocessor_config_gets_past_its_errors(tmp_path: Path) -> None:
    path = write_openvla(tmp_path / "c").path
    means, deviations = [[0.4, 0.5, 0.6], [0.5, 0.5, 0.5]], [[0.2, 0.2, 0.2], [0.5, 0.5, 0.5]]
    (path / "preprocessor_config.json").write_text(json.dumps({"means": means, "stds": deviations}))
    assert refusals(path / "preprocessor_config.json", "checkpoint") > ROUNDS // 8


def test_no_changed_index_of_shards_gets_past_its_errors(tmp_path: Path) -> None:
    path = write_openvla(tmp_path / "c", shards=True).path
    assert refusals(path / "model.safetensors.index.json", "checkpoint") > ROUNDS // 8


@pytest.mark.parametrize("name", ["manifest.json", "tokenizer.json"])
def test_no_changed_json_of_a_bundle_gets_past_its_errors(bundle_copy: Path, name: str) -> None:
    assert refusals(bundle_copy / name, "bundle") > ROUNDS // 8
