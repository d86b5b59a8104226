"""ONNX files that lie although their hashes agree: refused in one line, reading nothing outside the bundle."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from bundles import agree, write_bundle
from onnx import TensorProto, helper

import hyt

GRAPHS = ("vision", "embed", "decoder", "output")

# Changes bytes of one graph, agrees the manifest with it, loads the bundle and acts, again and again in one process: a
# crash, a hang or an exception of another tree ends it.
PROGRAM = """
import hashlib, json, random, resource, sys
from pathlib import Path
import numpy as np
import hyt
from hyt.runtime.bundle import describe_file
bundle, name = Path(sys.argv[1]), sys.argv[2]
path, manifest = bundle / name, bundle / "manifest.json"
original, data = path.read_bytes(), json.loads(manifest.read_text())
generator, refused = random.Random(name), 0
observation = hyt.Observation({"camera0": np.zeros((28, 28, 3), np.uint8)}, np.zeros(4, np.float32))
with hyt.load(bundle, threads=1, backend="onnx"):
    pass
sound = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for round in range(int(sys.argv[3])):
    content = original[: generator.randrange(len(original))]
    if round % 2:
        content = bytearray(original)
        content[generator.randrange(len(content))] = generator.randrange(256)
    path.write_bytes(content)
    data["files"][name] = describe_file(path).model_dump()
    manifest.write_text(json.dumps(data))
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    (bundle / "manifest.sha256").write_text(digest + "  manifest.json\\n")
    try:
        with hyt.load(bundle, threads=1, backend="onnx") as policy:
            policy.reset(instruction="open the drawer")
            policy.act(observation)
    except hyt.HytError as error:
        assert "\\n" not in str(error) and "SHA-256" not in str(error), error
        refused += 1
taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - sound
assert taken < int(sys.argv[4]) * 1024, f"{taken} KiB"
print(refused)
"""

MEMORY_MIB = 256
"""Most memory that a damaged graph may take beyond what the sound one took, in MiB."""


@pytest.fixture(scope="module")
def onnx_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny bundle with ONNX graphs; read only."""
    return write_bundle(tmp_path_factory.mktemp("onnx"), onnx="fused")


@pytest.fixture
def bundle(onnx_bundle: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(onnx_bundle, tmp_path / "copy.hyt"))


def change(bundle: Path, graph: str, edit: Callable[[onnx.ModelProto], object]) -> None:
    path = bundle / f"onnx/{graph}.onnx"
    model = onnx.load(path, load_external_data=False)
    edit(model)
    path.write_bytes(model.SerializeToString())
    agree(bundle, f"onnx/{graph}.onnx")


def refusal(bundle: Path) -> str:
    with pytest.raises(hyt.BundleError) as error:
        hyt.load(bundle, threads=1, backend="onnx")
    assert "\n" not in str(error.value)
    assert "SHA-256" not in str(error.value)
    return str(error.value)


def first_outside(model: onnx.ModelProto) -> TensorProto:
    """The first tensor that lies in the shared file."""
    return next(tensor for tensor in model.graph.initializer if tensor.external_data)


def place(tensor: TensorProto, **values: str) -> None:
    for entry in tensor.external_data:
        entry.value = values.get(entry.key, entry.value)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_graph_with_a_forged_hash(bundle: Path, graph: str, share: float) -> None:
    path = bundle / f"onnx/{graph}.onnx"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    agree(bundle, f"onnx/{graph}.onnx")
    assert f"onnx/{graph}.onnx" in refusal(bundle)


@pytest.mark.parametrize("location", ["../language.gguf", "/etc/passwd", "./weights.data", "weights.data/../x", ""])
def test_weights_outside_the_bundles_own_file(bundle: Path, location: str) -> None:
    change(bundle, "decoder", lambda model: place(first_outside(model), location=location))
    assert f"expected a whole ONNX model with weights in weights.data alone; received weights in {location!r}" in (
        refusal(bundle)
    )


@pytest.mark.parametrize(
    "values", [{"offset": "999999999"}, {"length": "9" * 30}, {"offset": "-4096"}, {"offset": "1e3"}, {"length": ""}]
)
def test_weights_beyond_the_end_of_their_file(bundle: Path, values: dict[str, str]) -> None:
    change(bundle, "output", lambda model: place(first_outside(model), **values))
    assert "received weights at" in refusal(bundle)


def test_weights_outside_that_hide_in_a_branch(bundle: Path) -> None:
    def hide(model: onnx.ModelProto) -> None:
        branch = next(node for node in model.graph.node if node.op_type == "If").attribute[0].g
        tensor = branch.initializer.add(name="hidden", data_type=TensorProto.FLOAT, dims=[1])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")

    change(bundle, "decoder", hide)
    assert "received weights in '/etc/passwd'" in refusal(bundle)


def test_a_place_that_is_given_twice(bundle: Path) -> None:
    def repeat(model: onnx.ModelProto) -> None:
        first_outside(model).external_data.add(key="location", value="weights.data")

    change(bundle, "embed", repeat)
    assert "two places for 'location'" in refusal(bundle)


def test_graphs_inside_graphs_without_end(bundle: Path) -> None:
    graph = helper.make_graph([], "innermost", [], [])
    for _ in range(24):
        graph = helper.make_graph([helper.make_node("If", ["x"], [], then_branch=graph)], "outer", [], [])
    (bundle / "onnx/embed.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    agree(bundle, "onnx/embed.onnx")
    assert "graphs inside graphs" in refusal(bundle)


@pytest.mark.parametrize("graph", GRAPHS)
def test_operators_that_nobody_knows(bundle: Path, graph: str) -> None:
    def rename(model: onnx.ModelProto) -> None:
        model.graph.node[-1].op_type = "Backdoor"

    change(bundle, graph, rename)
    assert "expected a graph that onnxruntime loads" in refusal(bundle)


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_graph_of_another_interface(bundle: Path, graph: str) -> None:
    def swap(model: onnx.ModelProto) -> None:
        model.graph.output[0].name, model.graph.node[-1].output[0] = "other", "other"

    change(bundle, graph, swap)
    assert f"onnx/{graph}.onnx" in refusal(bundle)


@pytest.mark.parametrize("graph", GRAPHS)
def test_names_that_are_no_text(bundle: Path, graph: str) -> None:
    path = bundle / f"onnx/{graph}.onnx"
    output = onnx.load(path, load_external_data=False).graph.output[0].name.encode()
    path.write_bytes(path.read_bytes().replace(output, b"\xff" * len(output)))
    agree(bundle, f"onnx/{graph}.onnx")
    assert f"onnx/{graph}.onnx" in refusal(bundle)


def test_a_state_of_a_size_that_no_cache_has(bundle: Path) -> None:
    def inflate(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            if value.name in ("past.0.key", "present.0.key"):
                value.type.tensor_type.shape.dim[2].dim_value = 2**30

    change(bundle, "decoder", inflate)
    assert "onnx/decoder.onnx" in refusal(bundle)


def test_a_listed_graph_that_is_missing_and_one_that_is_not_listed(bundle: Path) -> None:
    (bundle / "onnx/extra.onnx").write_bytes(b"")
    assert "an unlisted ONNX" in refusal(bundle)
    (bundle / "onnx/extra.onnx").unlink()
    (bundle / "onnx/embed.onnx").unlink()
    assert "embed.onnx; expected a file" in refusal(bundle)


@pytest.mark.parametrize("graph", GRAPHS)
def test_graphs_with_changed_bytes_never_take_the_process_down_nor_its_memory(bundle: Path, graph: str) -> None:
    rounds = 30
    command = [sys.executable, "-c", PROGRAM, str(bundle), f"onnx/{graph}.onnx", str(rounds), str(MEMORY_MIB)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > rounds // 3
