"""A graph whose state is no cache of positions, here a GRU's memory, is driven as any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from bundles import agree, write_bundle
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import hyt
from hyt.errors import BundleError
from hyt.runtime.bundle import open_bundle

HIDDEN = 64
TEXT, OTHER = "open the drawer", "close the door slowly"


class Recurrent:
    """A decoder of one GRU, in PyTorch and as decoder.onnx."""

    def __init__(self, actions: int) -> None:
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(HIDDEN, HIDDEN)
        self.head = torch.randn(actions, HIDDEN)

    def save(self, path: Path) -> None:
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        w, r, wb, rb = (self._gates(getattr(self.gru, name).detach()) for name in names)
        bias = np.concatenate([wb, rb])[None]
        tensors = {"w": w[None], "r": r[None], "b": bias, "head": self.head.numpy().T, "axis": np.array([1])}
        nodes = [
            helper.make_node("Transpose", ["embeddings"], ["x"], perm=[1, 0, 2]),
            helper.make_node("Unsqueeze", ["memory", "axis"], ["before"]),
            helper.make_node(
                "GRU", ["x", "w", "r", "b", "", "before"], ["all", "after"], hidden_size=HIDDEN, linear_before_reset=1
            ),
            helper.make_node("Squeeze", ["after", "axis"], ["memory_next"]),
            helper.make_node("Squeeze", ["all", "axis"], ["steps"]),
            helper.make_node("Transpose", ["steps"], ["along"], perm=[1, 0, 2]),
            helper.make_node("Gather", ["along", "rows"], ["hidden"], axis=1),
            helper.make_node("MatMul", ["hidden", "head"], ["action_logits"]),
        ]
        shapes = {
            "embeddings": [1, "n", HIDDEN], "memory": [1, HIDDEN], "memory_next": [1, HIDDEN],
            "hidden": [1, "r", HIDDEN], "action_logits": [1, "r", len(self.head)],
        }  # fmt: skip
        values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
        rows = helper.make_tensor_value_info("rows", TensorProto.INT64, ["r"])
        graph = helper.make_graph(
            nodes,
            "recurrent",
            [values["embeddings"], rows, values["memory"]],
            [values["hidden"], values["action_logits"], values["memory_next"]],
            [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in tensors.items()],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)

    def greedy(self, prefix: NDArray[np.float32], embed: Any, tag: int, ids: list[int], count: int) -> list[int]:
        """Action tokens behind a prefix (n, hidden) and a tag."""
        with torch.no_grad():
            _, memory = self.gru(torch.from_numpy(prefix)[:, None])
            tokens = [tag]
            for _ in range(count):
                fed = torch.from_numpy(embed([tokens[-1]]))[:, None]
                out, memory = self.gru(fed, memory)
                tokens.append(ids[int((self.head @ out[0, 0]).argmax())])
            return tokens[1:]

    @staticmethod
    def _gates(weight: torch.Tensor) -> NDArray[np.float32]:
        """PyTorch stacks reset, update, new; ONNX update, reset, hidden."""
        reset, update, new = weight.chunk(3)
        return torch.cat([update, reset, new]).numpy()


def change_manifest(bundle: Path, **graphs: Any) -> None:
    path = bundle / "manifest.json"
    data = json.loads(path.read_text())
    data["onnx"].update(graphs)
    path.write_text(json.dumps(data))
    agree(bundle, "onnx/decoder.onnx")


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Path, Recurrent]:
    """A random policy whose decoder.onnx is a GRU."""
    path = write_bundle(tmp_path, quantization="f32", onnx="fused")
    recurrent = Recurrent(len(open_bundle(path).contract.action.token_ids))
    recurrent.save(path / "onnx/decoder.onnx")
    change_manifest(path, variant="recurrent", state={"memory": "memory_next"}, by_cell=False, in_place=False)
    return path, recurrent


def test_a_recurrent_policy_is_driven_through_its_memory(bundle: tuple[Path, Recurrent]) -> None:
    path, recurrent = bundle
    sessions = {
        name: onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        for name, file in open_bundle(path).onnx.items()
        if name in ("embed", "vision")
    }

    def embed(ids: list[int]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = sessions["embed"].run(None, {"ids": np.array([ids], np.int64)})[0][0]
        return found

    image = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    observation = hyt.Observation({"camera0": image}, np.zeros(4, np.float32))
    tokens = sessions["vision"].run(None, {"images": image[None]})[0]
    with hyt.load(path, threads=1, backend="onnx") as policy:
        contract = policy.contract
        policy.reset(instruction=TEXT)

        def expected(text: str, tag: int) -> list[int]:
            layout = policy.prompt.layout(policy.prompt.encode(text), observation.state).tolist()
            prefix = np.concatenate([tokens if entry < 0 else embed([entry]) for entry in layout])
            action = contract.action
            return recurrent.greedy(prefix, embed, tag, list(action.token_ids), action.tokens)

        act, follow = contract.modalities.act, contract.modalities.follow
        assert follow is not None
        acted = policy.act(observation)
        assert acted.tokens.tolist() == expected(TEXT, act)
        assert policy.follow(observation, OTHER).tokens.tolist() == expected(OTHER, follow)
        # A memory goes forward only: what acted, thought and followed did so from copies.
        policy.reset(instruction=TEXT)
        policy.think(observation, tokens=2)
        assert policy.act(observation).tokens.tolist() == acted.tokens.tolist()
        thought = policy.resume()
        last = policy.act_on_thought().tokens.tolist()
        assert policy.act_on_thought().tokens.tolist() == last
        assert policy.act_with_thought(observation, thought.tokens).tokens.tolist() == last


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"memory": "nothing"}, r"outputs; expected .*'nothing'"),
        ({"past": "memory_next"}, r"inputs; expected .*received \['memory'\]"),
        ({}, r"inputs; expected .*received \['memory'\]"),
        ({"memory": "hidden"}, r"memory; expected \[1, 64\] as hidden too"),
    ],
)
def test_a_state_that_the_graph_has_not_is_refused(
    bundle: tuple[Path, Recurrent], state: dict[str, str], message: str
) -> None:
    path, _ = bundle
    change_manifest(path, state=state)
    with pytest.raises(BundleError, match=message):
        hyt.load(path, threads=1, backend="onnx")
