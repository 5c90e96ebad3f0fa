"""Write `bench/zoo/judges/*.onnx`: the judges' networks, which nobody here trained, from the files that were published.

Run `python -m bench.zoo.make_judges [folder; default ../shared/judges]`, and `bench.zoo.make_manifest` afterwards.
Where the files come from is in `bench/zoo/judges/README.md`. What changes on the way: pictures are (n, c, h, w) and as
many as there are; weights are halved to fp16, and computed with in fp32; MTCNN's networks, which see pictures with x
and y exchanged as in their first (MATLAB) edition, have their kernels exchanged instead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.core.paths import expanded
from bench.models.weights.files import ZOO
from bench.zoo.tflite import read

JUDGES = ZOO / "judges"
Weights = npt.NDArray[Any]
OPSET, IR = 17, 8
BIG = 10_000
"""Tensors with more numbers than this are stored in fp16; biases and slopes stay as they are."""
LITE = {
    "mobilefacenet": "mobilefacenet/MobileFaceNet.tflite",
    "mtcnn-p": "mtcnn/pnet.tflite",
    "mtcnn-r": "mtcnn/rnet.tflite",
    "mtcnn-o": "mtcnn/onet.tflite",
}


def main(arguments: Sequence[str]) -> int:
    """Convert all five networks."""
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        print("usage: python -m bench.zoo.make_judges [folder of the published files]")
        return 2
    source = expanded(arguments[0] if arguments else "../shared/judges")
    for name, file in LITE.items():
        from_lite(source / file, swapped=name.startswith("mtcnn")).save(JUDGES / f"{name}.onnx")
    from_tensorflow_js(source / "faceres" / "faceres.json").save(JUDGES / "faceres.onnx")
    for path in sorted(JUDGES.glob("*.onnx")):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


class Graph:
    """An ONNX graph in the making; steps are known by the names of what they give."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def add(self, operator: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def weight(self, values: Weights) -> str:
        name = f"weight_{len(self._weights)}"
        kind = np.float16 if values.size > BIG else np.float32
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values, kind), name))
        return self.add("Cast", [name], to=TensorProto.FLOAT) if kind is np.float16 else name

    def convolution(self, x: str, kernel: Weights, bias: Weights, stride: int, same: bool, groups: int = 1) -> str:
        """`kernel` (out, in / groups, h, w); padded as TensorFlow does it: more behind than before, where it is odd."""
        return self.add(
            "Conv",
            [x, self.weight(kernel), self.weight(bias)],
            strides=[stride, stride],
            auto_pad="SAME_UPPER" if same else "VALID",
            group=groups,
        )

    def prelu(self, x: str, slopes: Weights) -> str:
        """As `slope x + (1 - slope) relu(x)`, in convolutions of one pixel a channel: onnxruntime's own PReLU, which
        leaves the memory layout of its convolutions, would take two thirds of MobileFaceNet's time."""
        kernels, none = slopes.reshape(-1, 1, 1, 1), np.zeros(slopes.size, np.float32)
        straight = self.convolution(x, kernels, none, 1, False, slopes.size)
        bent = self.convolution(self.add("Relu", [x]), 1 - kernels, none, 1, False, slopes.size)
        return self.add("Add", [straight, bent])

    def output(self, value: str, flat: bool) -> None:
        """Give out a step's value: (n, c), or (n, c, h, w)."""
        name = f"out_{len(self._outputs)}"
        self._nodes.append(helper.make_node("Flatten" if flat else "Identity", [value], [name]))
        self._outputs.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *[None] * (1 if flat else 3)])
        )

    def save(self, file: Path) -> None:
        pictures = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 3, "h", "w"])
        graph = helper.make_graph(self._nodes, file.stem, [pictures], self._outputs, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.checker.check_model(model)
        file.write_bytes(model.SerializeToString())


def from_lite(file: Path, swapped: bool) -> Graph:
    """A network of a TensorFlow Lite file; `swapped`, it has learnt from pictures with x and y exchanged.

    PReLU and softmax are there in pieces, which are put together again: `relu(x) + a * (x - |x|)` has the slope 2a,
    `relu(x) + a * -relu(-x)` the slope a.
    """
    network, graph = read(file), Graph()
    value = {network.inputs[0]: "pictures"}
    source: dict[int, tuple[str, int]] = {}  # of a piece: the operator that ends it, and the tensor it starts from
    slopes: dict[int, Weights] = {}
    axes = (3, 2, 1) if swapped else (3, 1, 2)
    for step in network.operators:
        first, second, *rest = (*step.inputs, -1)
        out = step.outputs[0]
        if step.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            deep = step.name == "DEPTHWISE_CONV_2D"
            kernel = network.weights[second].transpose(axes[0] if deep else 0, *axes[1:], 0 if deep else 3)
            kernel = kernel.transpose(0, 3, 1, 2)
            groups = len(kernel) if deep else 1
            value[out] = graph.convolution(
                value[first], kernel, network.weights[rest[0]], step.options[1], step.options[0] == 0, groups
            )
        elif step.name == "FULLY_CONNECTED":
            *_, height, width, channels = (1, 1, *network.shapes[first][1:])
            kernel = network.weights[second].reshape(-1, height, width, channels).transpose(0, *axes)
            value[out] = graph.convolution(value[first], kernel, network.weights[rest[0]], 1, False)
        elif step.name == "MAX_POOL_2D":
            same, stride, _, size = step.options[:4]
            value[out] = graph.add(
                "MaxPool",
                [value[first]],
                kernel_shape=[size, size],
                strides=[stride, stride],
                auto_pad="SAME_UPPER" if same == 0 else "VALID",
            )
        elif step.name in ("RELU", "ABS", "NEG", "REDUCE_MAX", "EXP", "SUM"):
            source[out] = (step.name, source[first][1] if first in source else first)
        elif step.name == "SUB":
            source[out] = ("SUB", first)
        elif step.name == "MUL":  # by a weight, in this order
            piece, start = source[second]
            source[out], slopes[out] = ("MUL", start), network.weights[first] * (2 if piece == "SUB" else 1)
        elif step.name == "ADD" and second in slopes:
            value[out] = graph.prelu(value[source[first][1]], slopes[second])
        elif step.name == "ADD":
            value[out] = graph.add("Add", [value[first], value[second]])
        elif step.name == "DIV":
            value[out] = graph.add("Softmax", [value[source[first][1]]], axis=1)
        elif step.name in ("SOFTMAX", "RESHAPE"):
            value[out] = graph.add("Softmax", [value[first]], axis=1) if step.name == "SOFTMAX" else value[first]
        else:
            raise ValueError(f"{file}: {step.name} has no counterpart here")
    for tensor in network.outputs:
        graph.output(value[tensor], flat=len(network.shapes[tensor]) == 2)
    return graph


def from_tensorflow_js(file: Path) -> Graph:
    """The network of a TensorFlow.js graph up to its pooled features: a MobileNet of convolutions and cut-off ReLUs.

    Weights are fp16 in the file already, so those of the convolutions lose nothing.
    """
    description = json.loads(file.read_text())
    (manifest,) = description["weightsManifest"]
    data, at, weights = file.with_suffix(".bin").read_bytes(), 0, {}
    for entry in manifest["weights"]:
        kind = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        weights[entry["name"]] = np.frombuffer(data, kind, count, at).reshape(entry["shape"]).astype(np.float32)
        at += count * kind.itemsize
    graph, value = Graph(), {"input_1": "pictures"}
    for node in description["modelTopology"]["node"]:
        operator, name = node["op"], node["name"]
        given: list[str] = node.get("input", [])
        first, second, *_ = (*given, "", "")
        if operator in ("Conv2D", "DepthwiseConv2dNative"):
            deep = operator != "Conv2D"
            kernel = weights[second].transpose((2, 3, 0, 1) if deep else (3, 2, 0, 1))
            stride = int(node["attr"]["strides"]["list"]["i"][1])
            none = np.zeros(len(kernel), np.float32)
            value[name] = graph.convolution(value[first], kernel, none, stride, True, len(kernel) if deep else 1)
        elif operator in ("Mul", "Add"):
            value[name] = graph.add(operator, [value[first], graph.weight(weights[second].reshape(-1, 1, 1))])
        elif operator == "Relu":
            limits = [graph.weight(np.array(limit)) for limit in (0, 6)]
            value[name] = graph.add("Clip", [value[first], *limits])
        elif operator in ("Minimum", "Maximum"):  # of 6 and 0, both done
            value[name] = value[first]
        elif operator == "Mean":
            graph.output(graph.add("GlobalAveragePool", [value[first]]), flat=True)
            return graph
    raise ValueError(f"{file} has no pooled features")


if __name__ == "__main__":
    from bench.core.cli import guarded

    sys.exit(guarded(main, sys.argv[1:]))
