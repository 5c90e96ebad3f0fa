"""Through another autoencoder: encode the photo, and decode it again.

A cloak is made through the encoder of one base. What another base's autoencoder does not keep is gone, and what it
keeps was made for an encoder that looks elsewhere. The cheapest thing that somebody with a second base can do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from bench.core.errors import BenchError
from bench.core.images import to_pixels, to_tensor
from bench.core.types import Pixels
from bench.models.kept_network import kept_network
from bench.models.weights.checkpoint import Checkpoint
from countermeasures.weighted import Weighted


@dataclass(frozen=True)
class VaePass(Weighted):
    """One pass through an autoencoder that is not the attacker's own.

    Attributes:
        weights: a folder of an `AutoencoderKL`, or its hub id ("stabilityai/sdxl-vae"). For faces of 128 px a clone of
            the project has one that its own bases do not: `bench/zoo/parts/facelet-64/vae`.
    """

    weights: str | None = None

    setting: ClassVar[str] = "countermeasure.vae_pass.weights"
    network: ClassVar[str] = "an autoencoder"

    @property
    def located(self) -> Checkpoint:
        if self.weights is None:
            raise BenchError(
                f"{self.setting} is not set, and no autoencoder but the bases' own is shipped.",
                "Give a folder or a hub id, as stabilityai/sdxl-vae, or, in a clone, bench/zoo/parts/facelet-64/vae.",
            )
        return super().located

    @torch.no_grad()
    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        del generator
        files = self.located
        autoencoder = kept_network("AutoencoderKL", files.path, files.fingerprint, self.device)
        return [_pass(photo, autoencoder) for photo in photos]


def _pass(photo: Pixels, autoencoder: Any) -> Pixels:
    factor = 2 ** (len(autoencoder.config.block_out_channels) - 1)
    seen = to_tensor([photo]).to(autoencoder.device)
    bottom, right = (-side % factor for side in seen.shape[-2:])
    padded = torch.nn.functional.pad(seen, (0, right, 0, bottom), mode="replicate")
    decoded = autoencoder.decode(autoencoder.encode(padded * 2 - 1).latent_dist.mode()).sample
    if not decoded.isfinite().all():
        raise BenchError("The autoencoder made a picture that is not finite.", "Use other weights.")
    return to_pixels((decoded[..., : seen.shape[-2], : seen.shape[-1]] / 2 + 0.5).clamp(0, 1))[0]
