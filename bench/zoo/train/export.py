"""Write the recognisers as insightface packs: `python -m bench.zoo.train.export`.

A pack is a folder `<name>/{det.onnx,rec.onnx}` that `insightface.app.FaceAnalysis(name=<folder>)` loads like its own.
Every file is checked: onnxruntime and onnx2torch must agree with torch, gradients must reach the pixels through
onnx2torch, and insightface must find and describe faces.
"""

from __future__ import annotations

import copy
import shutil
import warnings
from itertools import pairwise
from pathlib import Path

import hydra
import numpy as np
import torch
from omegaconf import DictConfig
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from bench.core.errors import BenchError
from bench.core.types import Pixels
from bench.models.faces.alignment import ALIGNED
from bench.models.faces.half_onnx import halve, read_widened
from bench.zoo.train.networks import EMBEDDING, load
from bench.zoo.train.photos import SIDE, Faces
from bench.zoo.train.scrfd import STRIDES, Detector, InsightfaceFormat

OPSET = 17
AGREE = 1e-3
"""Largest difference between two ways to run one network; embeddings and distances are of the order of 1."""
PHOTOS = 100
"""Held-out photos in which insightface looks for a face."""


def export_detector(detector: nn.Module, file: Path) -> None:
    """Save a detector (see `scrfd.Detector`) with insightface's nine outputs, for one picture of any height and width.

    Raises:
        BenchError: the saved network computes something else.
    """
    names = [f"{field}_{stride}" for field in ("score", "bbox", "kps") for stride in STRIDES]
    axes = {"input": {2: "height", 3: "width"}, **{name: {0: f"rows_{name}"} for name in names}}
    _export(InsightfaceFormat(detector), torch.rand(1, 3, SIDE, SIDE), file, names, axes)


def export_recogniser(network: nn.Module, file: Path) -> None:
    """Save a network of `networks.NETWORKS`, for any number of faces.

    Raises:
        BenchError: the saved network computes something else.
    """
    axes = {"input": {0: "faces"}, "embedding": {0: "faces"}}
    _export(network, torch.rand(2, 3, ALIGNED, ALIGNED), file, ["embedding"], axes)


def _export(network: nn.Module, example: Tensor, file: Path, names: list[str], axes: dict[str, dict[int, str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    network = _folded(network.eval()).half().float()  # weights as they are stored
    # The newer exporter needs another package, and we need nothing of it.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        torch.onnx.export(
            network,
            (example,),
            file,
            input_names=["input"],
            output_names=names,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    _without_aliases(file)
    halve(file)
    _check(network, file, example, names)


def _folded(network: nn.Module) -> nn.Module:
    """A copy whose batch norms went into the layers before them; the exporter itself leaves some."""
    network = copy.deepcopy(network)
    for block in (module for module in network.modules() if isinstance(module, nn.Sequential)):
        for i, (layer, norm) in enumerate(pairwise(block)):
            if isinstance(layer, nn.Conv2d | nn.Linear) and isinstance(norm, nn.BatchNorm2d | nn.BatchNorm1d):
                assert norm.running_mean is not None
                assert norm.running_var is not None
                layer.weight, layer.bias = fuse_conv_bn_weights(
                    layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
                )
                block[i + 1] = nn.Identity()
    return network


def _without_aliases(file: Path) -> None:
    """Call weights by their own names: where two are equal, the exporter copies one, which onnx2torch cannot read."""
    import onnx

    model = onnx.load(file)
    names: dict[str, str] = {}
    nodes = []
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        if node.op_type == "Identity":
            names[node.output[0]] = node.input[0]
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, file)


def _check(network: nn.Module, file: Path, pictures: Tensor, names: list[str]) -> None:
    import onnx2torch
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    converted = onnx2torch.convert(read_widened(file)).eval()
    pictures = pictures.clone().requires_grad_()
    saved = session.run(names, {"input": pictures.detach().numpy()})
    differentiable, expected = _listed(converted(pictures)), _listed(network(pictures))
    for name, torch_, onnx, back in zip(names, expected, saved, differentiable, strict=True):
        apart = max(float(np.abs(other - torch_.detach().numpy()).max()) for other in (onnx, back.detach().numpy()))
        if not apart <= AGREE:
            raise BenchError(f"{file}: {name} differs by {apart:.2g} from what torch computes.")
        (gradient,) = torch.autograd.grad(back.square().sum(), pictures, retain_graph=True)
        if not gradient.abs().max() > 0:
            raise BenchError(f"{file}: no gradient of {name} reaches the picture.")


def _listed(outputs: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def found(pack: Path, pictures: Pixels) -> int:
    """In how many pictures (n, h, w, 3), RGB, insightface finds and describes a face with a pack.

    Raises:
        BenchError: in none.
    """
    from insightface.app import FaceAnalysis

    app = FaceAnalysis(str(pack), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"])
    app.prepare(ctx_id=-1, det_size=(SIDE, SIDE))
    faces = [app.get(picture[..., ::-1], max_num=1) for picture in pictures]
    count: int = sum(len(face) > 0 and face[0].embedding.shape == (EMBEDDING,) for face in faces)
    if not count:
        raise BenchError(f"insightface finds no face with {pack}.")
    return count


@hydra.main(version_base=None, config_path="conf", config_name="export")
def main(config: DictConfig) -> None:
    """Write the packs of the configuration."""
    out = Path(config.out)
    detector = Detector()
    detector.load_state_dict(load_file(Path(config.detector) / "network.safetensors"))
    faces = Faces.load(Path(config.photos))
    photos = faces.pixels[((faces.source == "lfw") & (faces.split == "held")).nonzero()[0][:PHOTOS]]
    for name, source in config.packs.items():
        network = load(source.network, Path(source.weights) / "network.safetensors")
        shutil.rmtree(out / name, ignore_errors=True)
        export_detector(detector, out / name / "det.onnx")
        export_recogniser(network, out / name / "rec.onnx")
        size = sum(file.stat().st_size for file in (out / name).iterdir()) / 1e6
        print(f"{name}: {size:.1f} MB, finds a face in {found(out / name, photos)} of {len(photos)} photos")


if __name__ == "__main__":
    main()
