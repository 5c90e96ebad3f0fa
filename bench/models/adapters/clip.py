"""The CLIP vision tower of an adapter, and photos as it wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.core.deferred import Tensor, torch
from bench.core.images import to_pixels
from bench.models.adapters.tower import check_kind


def clip_pixels(photos: Tensor, side: int) -> Tensor:
    """Preprocess for CLIP as diffusers' IP-Adapter and PhotoMaker do: resize, centre crop, normalise.

    transformers has two image processors that differ by up to a grey level, and which of them the plain name means
    depends on whether torchvision is installed. This is always the one on Pillow, so that results do not depend on it.

    Args:
        photos: (n, 3, h, w) in [0, 1]; taken at 8 bits, as an attacker would find them.
        side: the tower's input side in pixels.

    Returns:
        (n, 3, side, side) fp32 on the device of the photos.
    """
    import transformers

    # Before transformers 5 there was no second class, and the plain name meant the one on Pillow.
    kind = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    pixels = kind(size=side, crop_size=side)(to_pixels(photos), return_tensors="pt").pixel_values
    return torch.as_tensor(pixels).to(photos.device)


def load_image_encoder(folder: Path, device: str = "cpu") -> Any:
    """A stock `CLIPVisionModelWithProjection`, in fp32.

    Raises:
        BenchError: the folder has another kind of tower.
    """
    from transformers import CLIPVisionModelWithProjection

    check_kind(folder, "CLIP", "clip", "clip_vision_model")
    return CLIPVisionModelWithProjection.from_pretrained(folder, dtype=torch.float32).to(device).eval()


@torch.no_grad()
def see(encoder: Any, photos: Tensor) -> Tensor:
    """(n, dim) embeddings of whole photos (n, 3, h, w) in [0, 1]."""
    embeddings: Tensor = encoder(clip_pixels(photos, encoder.config.image_size)).image_embeds
    return embeddings


@torch.no_grad()
def see_patches(encoder: Any, photos: Tensor) -> Tensor:
    """(n, patches + 1, hidden) states before the last layer, of whole photos (n, 3, h, w) in [0, 1]."""
    return _states(encoder, clip_pixels(photos, encoder.config.image_size))


@torch.no_grad()
def see_nothing(encoder: Any) -> Tensor:
    """(patches + 1, hidden) the same states of an input of zeros, from which their guidance steers away."""
    side = encoder.config.image_size
    return _states(encoder, torch.zeros(1, 3, side, side, device=encoder.device))[0]


def _states(encoder: Any, pixels: Tensor) -> Tensor:
    states: Tensor = encoder(pixels, output_hidden_states=True).hidden_states[-2]
    return states
