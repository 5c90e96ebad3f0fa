"""ONNX files whose weights are stored in half precision, for half the room; all is computed in fp32.

In the file every such weight is followed by a cast to fp32, which onnxruntime takes away when it loads. onnx2torch
wants the weights themselves, so for it the casts are done beforehand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

STORED = ".half"
"""Ends the names of stored weights; without it they are the names of what is computed with."""


def halve(file: Path) -> None:
    """Store the weights of a file in half precision, in place: matrices and kernels, not biases and scales."""
    import onnx

    model = onnx.load(file)
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims) > 1:
            name, values = weight.name, onnx.numpy_helper.to_array(weight)
            weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), name + STORED))
            casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    _set_nodes(model, [*casts, *model.graph.node])
    onnx.save(model, file)


def read_widened(file: str | Path) -> Any:
    """The `onnx.ModelProto` of a file, its weights in fp32 again."""
    import onnx

    model = onnx.load(file)
    stored = {weight.name: weight for weight in model.graph.initializer if weight.name.endswith(STORED)}
    for name, weight in stored.items():
        values = onnx.numpy_helper.to_array(weight)
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), name.removesuffix(STORED)))
    _set_nodes(model, [node for node in model.graph.node if node.op_type != "Cast" or node.input[0] not in stored])
    return model


def _set_nodes(model: Any, nodes: list[Any]) -> None:
    del model.graph.node[:]
    model.graph.node.extend(nodes)
