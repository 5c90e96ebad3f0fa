"""Through another autoencoder: encode the photo, and decode it again.

A cloak is made through the encoder of one base. What another base's autoencoder does not keep is gone, and what it
keeps was made for an encoder that looks elsewhere. The cheapest thing that somebody with a second base can do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from bench.core.errors import BenchError
from bench.core.images import to_pixels, to_tensor
from bench.core.types import Pixels
from bench.models.weights.checkpoint import Checkpoint
from bench.models.weights.single import locate_network
from countermeasures import Countermeasure

SETTING = "countermeasure.vae_pass.weights"


@dataclass(frozen=True)
class VaePass(Countermeasure):
    """One pass through an autoencoder that is not the attacker's own.

    Attributes:
        weights: a folder of an `AutoencoderKL`, or its hub id ("stabilityai/sdxl-vae"). For faces of 128 px a clone of
            the project has one that its own bases do not: `bench/zoo/parts/facelet-64/vae`.
    """

    weights: str | None = None

    def files(self) -> dict[str, str]:
        return {"weights": self._located.fingerprint}

    @property
    def _located(self) -> Checkpoint:
        if self.weights is None:
            raise BenchError(
                f"{SETTING} is not set, and no autoencoder but the bases' own is shipped.",
                "Give a folder or a hub id, as stabilityai/sdxl-vae, or, in a clone, bench/zoo/parts/facelet-64/vae.",
            )
        return locate_network("an autoencoder", self.weights, SETTING)

    @torch.no_grad()
    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        del generator
        files = self._located
        autoencoder = _autoencoder(files.path, files.fingerprint, "cuda" if torch.cuda.is_available() else "cpu")
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


@lru_cache(maxsize=1)
def _autoencoder(folder: Path, fingerprint: str, device: str) -> Any:
    """The autoencoder, kept for the next person; changed files have another fingerprint and are another entry.

    Raises:
        BenchError: a file does not load.
    """
    del fingerprint  # only there to make a changed file another entry of the cache
    from diffusers import AutoencoderKL

    try:
        return AutoencoderKL.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise BenchError(f"The autoencoder in {folder} does not load: {error}", "Take the files again.") from error
