"""What is loaded is what was hashed: folders that would load anything else are refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from bench.config.schema import shipped_model
from bench.core.errors import BenchError
from bench.models.diffusion.model_cache import Pool
from bench.models.weights.checkpoint import locate
from bench.models.weights.files import ZOO
from bench.models.weights.loadable import refuse_settings, refuse_unhashed

UNET = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the shipped base, by links to its files."""
    for file in (ZOO / "facelet-1").rglob("*"):
        if file.is_file():
            target = tmp_path / "model" / file.relative_to(ZOO / "facelet-1")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
    return tmp_path / "model"


def pickled_instead(model: Path) -> Path:
    """diffusers looks for one name, finds none, and unpickles; the fingerprint is of another file."""
    (model / "unet" / UNET).rename(model / "unet" / "other.safetensors")
    (model / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"anything")
    return model / "unet" / "diffusion_pytorch_model.bin"


def redirected(model: Path) -> Path:
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/else"}))
    return model / "adapter_config.json"


def redirected_part(model: Path) -> Path:
    (model / "text_encoder" / "adapter_config.json").write_text("{}")
    return model / "text_encoder" / "adapter_config.json"


def indexed(model: Path) -> Path:
    """The index is read before the file that it is of, and leads anywhere."""
    (model / "unet" / f"{UNET}.index.json").write_text(json.dumps({"weight_map": {"a": "../../x.safetensors"}}))
    return model / "unet" / f"{UNET}.index.json"


def indexed_alone(model: Path) -> Path:
    (model / "unet" / UNET).rename(model / "unet" / "diffusion_pytorch_model-1.safetensors")
    return indexed(model)


def test_a_whole_model_is_loaded(model: Path) -> None:
    settings = shipped_model("facelet-1").model_copy(update={"source": str(model)})
    assert Pool("cpu").checkpoint(settings).fingerprint == locate("facelet-1", "zoo").fingerprint


@pytest.mark.parametrize("change", [pickled_instead, redirected, redirected_part, indexed, indexed_alone])
def test_a_base_that_would_load_anything_else_is_refused(change: Callable[[Path], Path], model: Path) -> None:
    file = change(model)
    locate("mine", str(model))  # the files that it hashes are all there
    with pytest.raises(BenchError, match="would not say what made it") as caught:
        Pool("cpu").checkpoint(shipped_model("facelet-1").model_copy(update={"source": str(model)}))
    assert str(file) in caught.value.message


def test_weights_in_parts_beside_their_index_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "model-1.safetensors").write_bytes(b"x")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")  # never looked at
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    refuse_unhashed(tmp_path)
    for bad in ("[]", "{", json.dumps({"weight_map": {"a": "model-2.safetensors"}})):
        index.write_text(bad)
        with pytest.raises(BenchError):
            refuse_unhashed(tmp_path)


@pytest.mark.parametrize("place", ["image_encoder", "ControlNetModel", "."])
def test_folders_that_settings_name_are_looked_at(place: str, tmp_path: Path) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / "ip-adapter.safetensors").write_bytes(b"x")
    names = {"weights": str(tmp_path), "layers": [1, 2], "others": [str(tmp_path / "ip-adapter.safetensors")], "x": ""}
    refuse_settings(names)
    (tmp_path / place / "adapter_config.json").write_text("{}")
    for settings in ({"weights": names["weights"]}, {"others": names["others"]}):
        with pytest.raises(BenchError, match="adapter_config"):
            refuse_settings(settings)


def network(file: Path, how: str) -> None:
    """Adds a constant whose values are in the file itself, or elsewhere: in a weight, in a node, in a branch."""
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], np.zeros(2, np.float32))
    if how != "whole":
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../weights.bin")
    nodes, weights = [helper.make_node("Add", ["x", "w"], ["y"])], [tensor]
    if how in ("node", "branch"):
        nodes, weights = [helper.make_node("Constant", [], ["w"], value=tensor), *nodes], []
    if how == "branch":
        inner = helper.make_graph(nodes[:1], "inner", [], [])
        nodes = [helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner), nodes[1]]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])], [], weights)
    file.write_bytes(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize("how", ["weight", "node", "branch"])
@pytest.mark.parametrize("below", ["", "antelopev2"])
def test_a_recogniser_with_weights_elsewhere_is_refused(how: str, below: str, tmp_path: Path) -> None:
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    network(folder / "rec.onnx", "whole")
    refuse_settings({"recogniser": str(tmp_path)})
    network(folder / "rec.onnx", how)
    os.utime(folder / "rec.onnx", (1, 1))
    with pytest.raises(BenchError, match=r"rec\.onnx keeps weights in other files"):
        refuse_settings({"recogniser": str(tmp_path)})


def test_what_is_no_network_says_so(tmp_path: Path) -> None:
    (tmp_path / "rec.onnx").write_bytes(b"\xff" * 10)
    with pytest.raises(BenchError, match=r"rec\.onnx is no ONNX network"):
        refuse_unhashed(tmp_path)


def test_shipped_networks_are_whole() -> None:
    for pack in (ZOO / "recognisers").iterdir():
        if pack.is_dir():
            refuse_unhashed(pack)
