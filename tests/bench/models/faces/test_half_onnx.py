"""Weights stored in half precision: half the room, and fp32 again for whoever reads the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from bench.core.types import Array
from bench.models.faces.half_onnx import halve, read_widened

WEIGHT = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32)
BIAS = np.float32(1) + np.float32(2**-20) * np.arange(48, dtype=np.float32)  # which half precision cannot tell apart
SEEN = np.random.default_rng(1).normal(size=(5, 64)).astype(np.float32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that computes `x @ WEIGHT + BIAS`."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
    shapes = {name: helper.make_tensor_value_info(name, 1, ["n", width]) for name, width in (("x", 64), ("y", 48))}
    stored = [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(BIAS, "b")]
    graph = helper.make_graph(nodes, "line", [shapes["x"]], [shapes["y"]], stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, tmp_path / "line.onnx")
    return tmp_path / "line.onnx"


def computed(model: bytes) -> Array:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (result,) = session.run(["y"], {"x": SEEN})
    return np.asarray(result)


def test_takes_half_the_room_and_computes_in_fp32_with_the_rounded_weights(file: Path) -> None:
    before = file.stat().st_size
    halve(file)
    assert before - file.stat().st_size == pytest.approx(WEIGHT.nbytes / 2, abs=200)
    rounded = WEIGHT.astype(np.float16).astype(np.float64)
    assert np.abs(computed(file.read_bytes()) - (SEEN @ rounded + BIAS)).max() < 1e-5


def test_widened_it_is_the_same_network_without_casts(file: Path) -> None:
    halve(file)
    model = read_widened(file)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Add"]
    assert {weight.data_type for weight in model.graph.initializer} == {onnx.TensorProto.FLOAT}
    assert np.array_equal(computed(model.SerializeToString()), computed(file.read_bytes()))


def test_a_file_that_was_never_halved_is_read_as_it_is(file: Path) -> None:
    assert read_widened(file) == onnx.load(file)
