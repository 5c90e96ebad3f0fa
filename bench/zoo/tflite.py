"""Reads the networks in TensorFlow Lite files: as much of the format as convolutional networks need.

A file is a FlatBuffer (schema: `tensorflow/compiler/mlir/lite/schema/schema.fbs`): tables whose fields have numbers.
`flatbuffers` comes with onnxruntime; TensorFlow is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from flatbuffers import encode, number_types
from flatbuffers.table import Table

OPERATORS = {
    0: "ADD", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 9: "FULLY_CONNECTED", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU",
    22: "RESHAPE", 25: "SOFTMAX", 41: "SUB", 42: "DIV", 47: "EXP", 54: "PRELU", 59: "NEG", 74: "SUM", 82: "REDUCE_MAX",
    101: "ABS",
}  # fmt: skip
"""Numbers of operators -> their names in the schema."""


@dataclass(frozen=True)
class Operator:
    """One step of a network: numbers of the tensors it reads and writes, and its options by field number."""

    name: str
    inputs: list[int]
    outputs: list[int]
    options: list[int]


@dataclass(frozen=True)
class Network:
    """A network: steps in order, the tensors that hold weights, all tensors' shapes, and which come in and go out."""

    operators: list[Operator]
    weights: dict[int, npt.NDArray[Any]]
    shapes: list[list[int]]
    inputs: list[int]
    outputs: list[int]


def read(file: Path) -> Network:
    """The only network in a file.

    Raises:
        KeyError: it has an operator that `OPERATORS` lacks.
    """
    data = file.read_bytes()
    model = _Fields(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))
    codes = [max(code.byte(0), code.integer(3)) for code in model.tables(1)]  # old files have only the first
    (graph,), buffers = model.tables(2), model.tables(4)
    tensors = graph.tables(0)
    weights: dict[int, npt.NDArray[Any]] = {}
    for number, tensor in enumerate(tensors):
        if len(raw := buffers[tensor.integer(2)].numbers(0, np.uint8)):
            shape = tensor.numbers(0, np.int32)
            weights[number] = raw.view(np.int32 if tensor.byte(1) == 2 else np.float32).reshape(shape)
    steps = [
        Operator(
            OPERATORS[codes[step.integer(0)]],
            step.numbers(1, np.int32).tolist(),
            step.numbers(2, np.int32).tolist(),
            step.options(4),
        )
        for step in graph.tables(3)
    ]
    shapes = [tensor.numbers(0, np.int32).tolist() for tensor in tensors]
    return Network(steps, weights, shapes, graph.numbers(1, np.int32).tolist(), graph.numbers(2, np.int32).tolist())


class _Fields:
    """A table of a FlatBuffer by the numbers of its fields; a field that is not there is 0, or empty."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._table = data, Table(data, at)

    def _offset(self, field: int) -> int:
        return int(self._table.Offset(4 + 2 * field))

    def _scalar(self, field: int, kind: Any) -> int:
        at = self._offset(field)
        return int(self._table.Get(kind, at + self._table.Pos)) if at else 0

    def byte(self, field: int) -> int:
        return self._scalar(field, number_types.Int8Flags)

    def integer(self, field: int) -> int:
        return self._scalar(field, number_types.Int32Flags)

    def numbers(self, field: int, kind: type[np.generic]) -> npt.NDArray[Any]:
        at = self._offset(field)
        if not at:
            return np.empty(0, kind)
        return np.frombuffer(self._data, kind, self._table.VectorLen(at), self._table.Vector(at))

    def tables(self, field: int) -> list[_Fields]:
        at = self._offset(field)
        start = self._table.Vector(at) if at else 0
        count = self._table.VectorLen(at) if at else 0
        return [_Fields(self._data, self._table.Indirect(start + 4 * i)) for i in range(count)]

    def options(self, field: int) -> list[int]:
        """The first fields of a table of options: bytes (padding, activation) and small integers (strides, sizes)."""
        at = self._offset(field)
        table = _Fields(self._data, self._table.Indirect(at + self._table.Pos)) if at else None
        return [0 if table is None else table.byte(i) for i in range(6)]
