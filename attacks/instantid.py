"""InstantID (Wang et al. 2024): face tokens in the cross-attention, and a ControlNet that follows its key points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attacks import Artifact, FitContext
from attacks.zero_shot import ZeroShot, find_faces, guided, recogniser_pack
from bench.core.deferred import Tensor, torch
from bench.core.images import to_tensor
from bench.core.ranges import Scale
from bench.models.adapters.locate import Adapter

OWN_RECOGNISER = "facelet-id-b"
"""What the embedded adapter was trained with: another than FaceID's, as with the published ones."""


@dataclass
class InstantId(ZeroShot):
    """InstantID: one face embedding and five key points, nothing is trained.

    The stock ControlNet pipeline with a stock IP-Adapter; only the ControlNet's text is swapped for the face tokens
    (`bench.models.adapters.locate.instantid`). Several photos give the mean of their raw embeddings.

    Attributes:
        ip_scale: weight of the face tokens in the UNet.
        controlnet_scale: weight of the ControlNet.
        pose: where the key points are: "reference" takes those of the first photo with a face, as the authors do;
            "template" those of an aligned face, the same for everybody, so that a cloak cannot act by moving them.
        recogniser: pack: one that comes with the package, or a folder (official weights: antelopev2).
        weights: see `ZeroShot`.
        references: see `ZeroShot`.
    """

    ip_scale: Scale = 0.8
    controlnet_scale: Scale = 0.8
    pose: Literal["reference", "template"] = "reference"
    recogniser: str | None = None

    @property
    def adapter_name(self) -> str:
        return "instantid"

    @property
    def shipped(self) -> dict[str, Any]:
        return super().shipped | {"recogniser": OWN_RECOGNISER}

    @property
    def recogniser_pack(self) -> str:
        return "antelopev2"

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        """Embed the photos: {"embedding": (512,), "points": (5, 2) as fractions of the picture}."""
        from bench.models.faces.alignment import ALIGNED, TEMPLATE

        faces = find_faces(recogniser_pack(self.recogniser), photos, self.references)
        embedding = torch.stack([torch.from_numpy(face.embedding) for face in faces.values()]).mean(0)
        height, width = photos.shape[-2:]
        points = torch.from_numpy(next(iter(faces.values())).points) / torch.tensor([width, height])
        if self.pose == "template":
            points = TEMPLATE / ALIGNED
        return {"embedding": embedding.float().to(photos.device), "points": points.float().to(photos.device)}

    def build(self, adapter: Adapter) -> Any:
        from bench.models.adapters.instantid import IdentityNet

        net = IdentityNet.from_pretrained(adapter.folder / "ControlNetModel", dtype=torch.float32)
        return self.base.pipeline(net.to(self.base.device))

    def attach(self, adapter: Adapter) -> None:
        self.attach_ip_adapter(adapter, self.ip_scale)

    def extras(self, artifact: Artifact, templates: Sequence[str], steps: int, guidance: float) -> dict[str, Any]:
        from bench.models.adapters.instantid import draw_points, face_tokens

        embeddings = guided(artifact["embedding"][None, None], guidance)
        self._pipeline.controlnet.show(face_tokens(self.base.unet, embeddings))
        return {
            "ip_adapter_image_embeds": [embeddings],
            "image": to_tensor([draw_points(artifact["points"].double().cpu().numpy(), self.base.side)]),
            "controlnet_conditioning_scale": self.controlnet_scale,
        }
