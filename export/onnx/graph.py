"""Builds one ONNX graph: nodes in their order, small constants inside, weights in the file that all graphs share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hyt.export.onnx.weight_file import Part

CONTRIB = "com.microsoft"
# What onnxruntime 1.23 (the Jetson's) loads. Blocks of INT4 came with opset 21, GELU with 20.
OPSET = 21
IR_VERSION = 10
FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
BOOL, UINT8, INT8, INT4 = TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT4
Shape = Sequence[int | str]


class Graph:
    """A graph under construction; values are named by their names."""

    def __init__(self, name: str, prefix: str = "") -> None:
        self._name, self._prefix = name, prefix
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, kind: int, shape: Shape) -> str:
        """Declare an input; a text in `shape` is a length that is open."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, name: str, value: str, kind: int, shape: Shape) -> None:
        """Declare `value` as the output `name`."""
        if value != name:
            self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def ops(
        self, kind: str, inputs: Sequence[str], outputs: int | Sequence[str], domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node; the names of its outputs, given or made up."""
        name = f"{self._prefix}{kind}_{len(self._nodes)}"
        named = [f"{name}.{i}" for i in range(outputs)] if isinstance(outputs, int) else list(outputs)
        self._nodes.append(helper.make_node(kind, list(inputs), named, name=name, domain=domain, **attributes))
        return named

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; its name."""
        return self.ops(kind, inputs, 1, domain, **attributes)[0]

    def constant(self, value: Any, dtype: Any) -> str:
        """A small tensor inside the graph."""
        array = np.asarray(value, dtype)
        return self.array(f"{self._prefix}constant_{len(self._initializers)}", array)

    def array(self, name: str, value: NDArray[Any]) -> str:
        """A tensor inside the graph, under a name of its own; the same name twice is the same tensor."""
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name: str, part: Part, shape: Sequence[int], kind: int) -> str:
        """A tensor in the shared file, seen under `shape` and element type."""
        if name not in self._initializers:
            tensor = TensorProto(name=name, data_type=kind, dims=list(shape), data_location=TensorProto.EXTERNAL)
            for key, value in (("location", part.file), ("offset", part.offset), ("length", part.length)):
                tensor.external_data.add(key=key, value=str(value))
            self._initializers[name] = tensor
        return name

    def split(self, x: str, widths: Sequence[int]) -> list[str]:
        """Parts of the last axis, of these widths."""
        if len(widths) == 1:
            return [x]
        return self.ops("Split", [x, self.constant(widths, np.int64)], len(widths), axis=-1)

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """x under another shape; 0 keeps a length, -1 takes what is left."""
        return self.op("Reshape", x, self.constant(shape, np.int64))

    def branch(self) -> onnx.GraphProto:
        """This graph as a branch of an If; it reads what it needs of the graph around it."""
        values = list(self._initializers.values())
        return helper.make_graph(self._nodes, self._name, [], self._outputs, values)

    def save(self, path: Path) -> None:
        """Write the model file."""
        values = list(self._initializers.values())
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, values)
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == CONTRIB for node in self._nodes):
            opsets.append(helper.make_opsetid(CONTRIB, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="hyt-export")
        path.write_bytes(model.SerializeToString(deterministic=True))
