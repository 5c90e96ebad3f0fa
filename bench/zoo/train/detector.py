"""Train the face detector: `python -m bench.zoo.train.detector`. Its format is that of `bench.zoo.train.scrfd`."""

from __future__ import annotations

from pathlib import Path

import hydra
import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.swa_utils import update_bn
from torchvision.ops import box_iou, distance_box_iou_loss, sigmoid_focal_loss

from bench.models.faces.alignment import face_box
from bench.zoo.train.augment import degrade, take
from bench.zoo.train.canvas import Canvases, paint, textures, tiles
from bench.zoo.train.loop import Part, Schedule, train
from bench.zoo.train.photos import SIDE, Faces
from bench.zoo.train.precision import autocast, device
from bench.zoo.train.scrfd import Detector, anchors, decode, normalise, surest

NEAREST = 4
"""Anchors that should see a face."""
NEAR = 0.25
"""Distance of `_distances` below which the other anchors may see it too."""
SEEN = 0.4
"""Overlap with the true box from which a face counts as found."""


class FaceDetector(Part):
    """The detector on the training photos."""

    def __init__(self, photos: Path) -> None:
        faces = Faces.load(photos)
        self.module = Detector().to(memory_format=torch.channels_last)
        self._pixels = faces.pixels
        self._points = torch.from_numpy(np.array(faces.points)).float() * SIDE
        known = ~np.isnan(faces.points[:, 0, 0])
        self._train = torch.from_numpy((known & (faces.split == "train")).nonzero()[0])
        held = known & (faces.split == "held") & (faces.source == "lfw")
        self._held = torch.from_numpy(held.nonzero()[0])[::3]

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        canvases = self._batch(count, random)
        boxes, strides = face_box(canvases.points), anchors(SIDE).to(device())[:, 2]
        with autocast():
            levels = self.module(normalise(canvases.pictures))
        scores, found_boxes, found_points = decode(levels, SIDE)

        distances = _distances(boxes).masked_fill(~canvases.faces[:, None], torch.inf)
        chosen = torch.zeros_like(distances, dtype=torch.bool)
        chosen.scatter_(1, distances.topk(NEAREST, largest=False).indices, True)
        chosen &= canvases.faces[:, None]
        photo, anchor = chosen.nonzero(as_tuple=True)
        clear = chosen | (distances > NEAR)

        focal = sigmoid_focal_loss(scores, chosen.float(), alpha=-1, reduction="none")
        overlap = distance_box_iou_loss(found_boxes[chosen], boxes[photo], reduction="mean")
        in_strides = strides[anchor, None, None]
        offset = F.smooth_l1_loss(found_points[chosen] / in_strides, canvases.points[photo] / in_strides, beta=0.1)
        return (focal * clear).sum() / len(photo) + 2 * overlap + 2 * offset  # type: ignore[no-any-return]

    def report(self) -> str:
        self._settle()
        random = torch.Generator().manual_seed(0)
        photos, points = take(self._pixels, self._held), self._points[self._held]
        canvases = _on_device(paint(photos, points, random))
        noise = torch.rand((500, 3, SIDE, SIDE), generator=random).to(photos)
        noise = torch.cat([noise, textures(noise, random)])
        empty = torch.cat([canvases.pictures[~canvases.faces], tiles(photos, random)])
        return (
            f"photos: {self._accuracy(photos, points.to(photos))}; "
            f"painted: {self._accuracy(canvases.pictures[canvases.faces], canvases.points[canvases.faces])}; "
            f"false alarms {self._alarms(noise):.4f} on noise, {self._alarms(empty):.4f} on parts of photos"
        )

    def grid(self) -> Tensor:
        return self._batch(32, torch.Generator().manual_seed(0)).pictures

    def export(self, folder: Path) -> None:
        self._settle()
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.contiguous() for name, value in self.module.state_dict().items()}
        save_file(weights, folder / "network.safetensors")

    def _batch(self, count: int, random: torch.Generator) -> Canvases:
        pick = self._train[torch.randint(len(self._train), (count,), generator=random)]
        canvases = paint(take(self._pixels, pick), self._points[pick], random)
        return _on_device(Canvases(degrade(canvases.pictures, random), canvases.faces, canvases.points))

    def _settle(self) -> None:
        """Measure the batch norms' statistics anew: training's are not those of the averaged weights."""
        random = torch.Generator().manual_seed(0)
        with autocast():
            update_bn((normalise(self._batch(64, random).pictures) for _ in range(40)), self.module)

    def _best(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The likeliest face of each picture: score (n,), box (n, 4), key points (n, 5, 2)."""
        seen = [surest(self.module(normalise(part)), SIDE) for part in torch.split(pictures, 128)]
        scores, boxes, points = (torch.cat(parts) for parts in zip(*seen, strict=True))
        return scores.sigmoid(), boxes, points

    def _accuracy(self, pictures: Tensor, points: Tensor) -> str:
        scores, boxes, found = self._best(pictures)
        hit = (scores >= 0.5) & (box_iou(boxes, face_box(points)).diagonal() >= SEEN)
        eyes = (points[:, 0] - points[:, 1]).norm(dim=-1)
        error = (found - points).norm(dim=-1).mean(dim=-1) / eyes
        return f"recall {hit.float().mean():.3f}, key points off by {error[hit].mean():.3f} eye distances"

    def _alarms(self, pictures: Tensor) -> float:
        """Share of pictures without a face in which one is found."""
        return float((self._best(pictures)[0] >= 0.5).float().mean())


def _on_device(canvases: Canvases) -> Canvases:
    return Canvases(*(part.to(device()) for part in (canvases.pictures, canvases.faces, canvases.points)))


def _distances(boxes: Tensor) -> Tensor:
    """How far (n, rows) each anchor is from the faces in boxes (n, 4).

    The squared distance from place to middle, in sizes of the face, plus the squared octaves between the sizes.
    """
    known = anchors(SIDE).to(boxes)
    places, sizes = known[:, :2], known[:, 3]
    middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    size = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1, keepdim=True).sqrt()
    return (middle - places).square().sum(dim=-1) / size.square() + (size / sizes).log2().square()


@hydra.main(version_base=None, config_path="conf", config_name="detector")
def main(config: DictConfig) -> None:
    """Train the detector of the configuration."""
    torch.manual_seed(config.schedule.seed)
    train(FaceDetector(Path(config.photos)), Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
