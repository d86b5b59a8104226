"""GGUF files that lie although their hashes agree: refused in one line, never taking the process down."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import agree

import hyt

FILES = ("language.gguf", "vision.gguf")

# Changes bytes of one file, agrees the manifest with it, loads the bundle and acts, again and again in one process:
# a crash, a hang or an exception of another tree ends it.
PROGRAM = """
import hashlib, json, random, sys
from pathlib import Path
import numpy as np
import hyt
from hyt.runtime.bundle import describe_file
bundle, name = Path(sys.argv[1]), sys.argv[2]
path, manifest = bundle / name, bundle / "manifest.json"
original, data = path.read_bytes(), json.loads(manifest.read_text())
generator, refused = random.Random(name), 0
observation = hyt.Observation({"camera0": np.zeros((28, 28, 3), np.uint8)}, np.zeros(4, np.float32))
for round in range(150):
    content = bytearray(original)
    if round % 3 == 0:
        content = content[: generator.randrange(len(content))]
    else:
        place = generator.randrange(6000 if round % 3 == 1 else 200)
        content[place] = generator.randrange(256)
    path.write_bytes(content)
    data["files"][name] = describe_file(path).model_dump()
    manifest.write_text(json.dumps(data))
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    (bundle / "manifest.sha256").write_text(digest + "  manifest.json\\n")
    try:
        with hyt.load(bundle, threads=1, mapped=round % 2 == 1) as policy:
            policy.reset(instruction="open the drawer")
            policy.act(observation)
    except hyt.HytError as error:
        assert "\\n" not in str(error) and "SHA-256" not in str(error), error
        refused += 1
print(refused)
"""


@pytest.fixture
def continuous_copy(continuous_bundle: Path, tmp_path: Path) -> Path:
    """A copy of a continuous policy's bundle to damage."""
    return Path(shutil.copytree(continuous_bundle, tmp_path / "continuous.hyt"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_gguf_with_a_forged_hash_is_refused(bundle_copy: Path, name: str, share: float) -> None:
    path = bundle_copy / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    agree(bundle_copy, name)
    with pytest.raises(hyt.BundleError) as error:
        hyt.load(bundle_copy)
    assert "\n" not in str(error.value)
    assert "SHA-256" not in str(error.value)


@pytest.mark.parametrize("name", FILES)
def test_the_other_gguf_in_its_place_is_refused(bundle_copy: Path, name: str) -> None:
    other = FILES[1 - FILES.index(name)]
    (bundle_copy / name).write_bytes((bundle_copy / other).read_bytes())
    agree(bundle_copy, name)
    with pytest.raises(hyt.BundleError) as error:
        hyt.load(bundle_copy)
    assert "SHA-256" not in str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_head_with_a_forged_hash_is_refused(continuous_copy: Path, share: float) -> None:
    path = continuous_copy / "head.gguf"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    agree(continuous_copy, "head.gguf")
    with pytest.raises(hyt.BundleError) as error:
        hyt.load(continuous_copy)
    assert "\n" not in str(error.value)
    assert "SHA-256" not in str(error.value)


@pytest.mark.parametrize("name", [*FILES, "head.gguf"])
def test_no_damage_to_a_header_crashes_the_process(bundle_copy: Path, continuous_copy: Path, name: str) -> None:
    bundle = continuous_copy if name == "head.gguf" else bundle_copy
    command = [sys.executable, "-c", PROGRAM, str(bundle), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) >= 75
