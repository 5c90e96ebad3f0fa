"""The files of a pack mean to insightface what the training means by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.core.errors import BenchError
from bench.core.types import Pixels
from bench.models.faces.alignment import TEMPLATE, align, face_box
from bench.models.faces.embedder import FaceEmbedder
from bench.models.faces.insightface import locate_pack
from bench.zoo.train.networks import EMBEDDING, NETWORKS
from bench.zoo.train.scrfd import STRIDES, Detector, Levels, anchors, decode

pytest.importorskip("insightface")
pytest.importorskip("onnx2torch")

from bench.zoo.train.export import export_detector, export_recogniser, found

SIDE = 128
POINTS = TEMPLATE * 0.8 + torch.tensor([20.0, 12.0])


class Fixed(nn.Module):
    """A detector that sees one face, with key points (5, 2) in pixels, at one of its anchors, whatever the picture."""

    def __init__(self, points: Tensor, row: int) -> None:
        super().__init__()
        x, y, stride, _ = anchors(SIDE)[row]
        place, box = torch.stack([x, y]), face_box(points[None])[0]
        distances = torch.cat([place - box[:2], box[2:] - place, (points - place).flatten()]) / stride
        rows = torch.ones(len(anchors(SIDE)), 15)
        rows[:, 0] = -10
        rows[row] = torch.cat([torch.tensor([3.0]), distances])
        self.levels = torch.split(rows, [2 * (SIDE // stride) ** 2 for stride in STRIDES])

    def forward(self, pictures: Tensor) -> Levels:
        seen = 1 + 1e-6 * pictures.mean()  # the exporter demands a gradient
        maps = []
        for stride, level in zip(STRIDES, self.levels, strict=True):
            across = SIDE // stride
            score, box, key_points = (
                seen * field.reshape(across, across, -1).permute(2, 0, 1)[None]
                for field in torch.split(level, [1, 4, 10], dim=1)
            )
            maps.append((score, box, key_points))
        return maps


@pytest.fixture
def picture(rng: np.random.Generator) -> Pixels:
    return rng.integers(0, 256, (16, 16, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)


def scrfd(file: Path) -> Any:
    from insightface.model_zoo import get_model

    model = get_model(str(file), providers=["CPUExecutionProvider"])
    model.prepare(-1, input_size=(SIDE, SIDE), det_thresh=0.5)
    return model


@pytest.mark.parametrize("row", [0, 37, 511, 512, 600, 671])
def test_insightface_decodes_exactly_the_face_that_was_meant(tmp_path: Path, picture: Pixels, row: int) -> None:
    detector = Fixed(POINTS, row)
    scores, boxes, points = decode(detector(torch.zeros(1, 3, SIDE, SIDE)), SIDE)
    assert int(scores[0].argmax()) == row
    assert torch.allclose(boxes[0, row], face_box(POINTS[None])[0], atol=1e-3)
    assert torch.allclose(points[0, row], POINTS, atol=1e-3)

    export_detector(detector, tmp_path / "det.onnx")
    (box,), (kps,) = scrfd(tmp_path / "det.onnx").detect(picture)
    assert np.allclose(box[:4], face_box(POINTS[None])[0], atol=1e-2)
    assert box[4] == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-4)
    assert np.allclose(kps, POINTS, atol=1e-2)


def test_untrained_detector_runs_at_any_size_and_finds_nothing(tmp_path: Path, picture: Pixels) -> None:
    torch.manual_seed(0)
    export_detector(Detector(), tmp_path / "det.onnx")
    model = scrfd(tmp_path / "det.onnx")
    for side in (64, 160):
        boxes, _ = model.detect(picture, input_size=(side, side))
        assert len(boxes) == 0
        scores, _, _ = model.forward(np.zeros((side, side, 3), np.uint8), 0.0)
        assert [len(level) for level in scores] == [2 * (side // stride) ** 2 for stride in STRIDES]


@pytest.mark.parametrize("network", NETWORKS)
def test_pack_describes_the_aligned_face(tmp_path: Path, picture: Pixels, network: str) -> None:
    from insightface.app import FaceAnalysis

    torch.manual_seed(0)
    recogniser = NETWORKS[network]()
    with torch.no_grad():
        recogniser(torch.randn(8, 3, 112, 112))  # so that the batch norms have statistics of their own
    export_detector(Fixed(POINTS, 600), tmp_path / "det.onnx")
    export_recogniser(recogniser, tmp_path / "rec.onnx")

    app = FaceAnalysis(str(tmp_path), allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"])
    app.prepare(ctx_id=-1, det_size=(SIDE, SIDE))
    (face,) = app.get(picture[..., ::-1])
    crop = align(torch.from_numpy(picture).permute(2, 0, 1)[None].float(), POINTS[None])
    with torch.no_grad():
        mine = recogniser.eval()(crop / 127.5 - 1)[0].numpy()
    assert mine.shape == face.embedding.shape == (EMBEDDING,)
    assert np.linalg.norm(mine - face.embedding) < 0.02 * np.linalg.norm(mine)
    assert found(tmp_path, picture[None]) == 1
    with torch.no_grad():
        ours = FaceEmbedder(locate_pack(str(tmp_path)))(crop / 255)[0].numpy()
    assert np.linalg.norm(ours - face.embedding) < 0.02 * np.linalg.norm(ours)


def test_large_embeddings_are_checked_with_the_weights_that_are_stored(tmp_path: Path) -> None:
    """They differ by more from those of the weights before these were rounded than two ways to run one network may."""
    torch.manual_seed(0)
    recogniser = NETWORKS["fused"]()
    with torch.no_grad():
        recogniser(torch.randn(8, 3, 112, 112))
    norm = recogniser[-1]
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_var is not None
    norm.running_var /= 900
    export_recogniser(recogniser, tmp_path / "rec.onnx")


def test_pack_that_finds_nothing_is_an_error(tmp_path: Path, picture: Pixels) -> None:
    export_detector(Detector(), tmp_path / "det.onnx")
    export_recogniser(NETWORKS["fused"](), tmp_path / "rec.onnx")
    with pytest.raises(BenchError, match="no face"):
        found(tmp_path, picture[None])
