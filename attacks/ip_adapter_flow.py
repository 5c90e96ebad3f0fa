"""IP-Adapter on flow-matching transformers, by diffusers' own loaders: SD3's (InstantX) and FLUX's (XLabs).

Both see whole photos, and have one variant. Their official files have the layouts that these loaders read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from attacks import Artifact, FitContext
from attacks.ip_adapter import IpAdapter
from attacks.zero_shot import guided
from bench.core.deferred import Tensor, torch
from bench.models.adapters.clip import load_image_encoder, see
from bench.models.adapters.locate import Adapter, load_ip_adapter
from bench.models.adapters.siglip import load_siglip, see_patches


@dataclass
class FlowIpAdapter(IpAdapter):
    """An IP-Adapter of transformers, with the settings of `IpAdapter`; those of its other variants do nothing."""

    published_as: ClassVar[str]
    """Name of its files."""
    kind: ClassVar[str]
    """What its files are for."""

    @property
    def unet_only(self) -> str:
        if self.variant == "base":
            return ""
        return f"attack.variant={self.variant} is published for U-Nets alone, and of transformers there is only base"

    @property
    def adapter_name(self) -> str:
        return self.published_as if self.variant == "base" else super().adapter_name

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        """Embed the photos: {"embeddings": (images, ...)}."""
        return {"embeddings": self.seen(photos[: self.references])}

    @abstractmethod
    def seen(self, photos: Tensor) -> Tensor:
        """Embeddings (n, ...) of whole photos (n, 3, h, w) in [0, 1]."""

    def attach(self, adapter: Adapter) -> None:
        groups = adapter.tensors()
        if (found := _made_for(groups)) != self.kind:
            raise ValueError(f"it is for {found}, and the base wants one for {self.kind}")
        layers = {name.split(".")[0] for name in groups.get("double_blocks", groups.get("ip_adapter", {}))}
        if len(layers) != self.layers:  # FLUX's loader takes more without a word
            raise ValueError(f"it has {len(layers)} layers, and the base {self.layers}")
        self.insert(adapter, groups)
        self.base.denoiser.to(self.base.device)  # where these loaders leave a part of it on the CPU
        self._pipeline.set_ip_adapter_scale(self.scale)

    @property
    @abstractmethod
    def layers(self) -> int:
        """How many layers one for this base has."""

    @abstractmethod
    def insert(self, adapter: Adapter, groups: dict[str, dict[str, Tensor]]) -> None:
        """Put it into the base, with the stock loader."""


@dataclass
class Sd3IpAdapter(FlowIpAdapter):
    """InstantX's IP-Adapter for Stable Diffusion 3.5 large: 64 tokens of a resampler that knows the timestep.

    It was made for one photo. Of several it resamples the patches side by side, as the stock pipeline does if it is
    given such embeddings.
    """

    published_as = "ip-adapter-sd3"
    kind = "Stable Diffusion 3"

    def seen(self, photos: Tensor) -> Tensor:
        return see_patches(_siglip(self.adapter, str(photos.device)), photos)

    @property
    def layers(self) -> int:
        return len(self.base.denoiser.attn_processors)

    def insert(self, adapter: Adapter, groups: dict[str, dict[str, Tensor]]) -> None:
        load_ip_adapter(self._pipeline, groups)

    def extras(self, artifact: Artifact, templates: Sequence[str], steps: int, guidance: float) -> dict[str, Any]:
        return {"ip_adapter_image_embeds": guided(artifact["embeddings"].flatten(0, 1), guidance)}


@dataclass
class FluxIpAdapter(FlowIpAdapter):
    """XLabs' IP-Adapter for FLUX.1 dev: tokens of CLIP's embedding, which the blocks of two streams look at.

    The tokens of several photos stand side by side.
    """

    published_as = "ip-adapter-flux"
    kind = "FLUX"

    def seen(self, photos: Tensor) -> Tensor:
        return see(_clip(self.adapter, str(photos.device)), photos)

    @property
    def layers(self) -> int:
        return len(self.base.denoiser.transformer_blocks)

    def insert(self, adapter: Adapter, groups: dict[str, dict[str, Tensor]]) -> None:
        load_ip_adapter(self._pipeline, adapter.weights)

    def extras(self, artifact: Artifact, templates: Sequence[str], steps: int, guidance: float) -> dict[str, Any]:
        embeddings = artifact["embeddings"][None]
        nothing = torch.zeros_like(embeddings)  # unused, but else the pipeline has its image encoder look at nothing
        return {"ip_adapter_image_embeds": [embeddings], "negative_ip_adapter_image_embeds": [nothing]}


TRANSFORMERS: dict[str, type[FlowIpAdapter]] = {"sd3": Sd3IpAdapter, "flux": FluxIpAdapter}
"""Family -> its IP-Adapter."""


def _made_for(groups: dict[str, dict[str, Tensor]]) -> str:
    """What an IP-Adapter's files are for, by the names in them."""
    layers = groups.get("ip_adapter", {})
    if "double_blocks" in groups or "0.to_k_ip.bias" in layers:
        return FluxIpAdapter.kind
    return Sd3IpAdapter.kind if "0.norm_ip.linear.weight" in layers else "a U-Net"


@lru_cache(maxsize=1)
def _clip(adapter: Adapter, device: str) -> Any:
    """The vision tower, kept for the next person."""
    return load_image_encoder(adapter.image_encoder, device)


@lru_cache(maxsize=1)
def _siglip(adapter: Adapter, device: str) -> Any:
    return load_siglip(adapter.image_encoder, device)
