"""The SigLIP vision tower of SD3's IP-Adapter, and photos as it wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.core.deferred import Tensor, torch
from bench.core.images import to_pixels
from bench.models.adapters.tower import check_kind


def load_siglip(folder: Path, device: str = "cpu") -> Any:
    """A stock `SiglipVisionModel`, in fp32.

    Raises:
        BenchError: the folder has another kind of tower.
    """
    from transformers import SiglipVisionModel

    check_kind(folder, "SigLIP", "siglip", "siglip_vision_model")
    return SiglipVisionModel.from_pretrained(folder, dtype=torch.float32).to(device).eval()


@torch.no_grad()
def see_patches(encoder: Any, photos: Tensor) -> Tensor:
    """(n, patches, hidden) states before the last layer, of whole photos (n, 3, h, w) in [0, 1]."""
    pixels = siglip_pixels(photos, encoder.config.image_size)
    states: Tensor = encoder(pixels, output_hidden_states=True).hidden_states[-2]
    return states.contiguous()


def siglip_pixels(photos: Tensor, side: int) -> Tensor:
    """Preprocess for SigLIP as diffusers does: the whole photo at the tower's side, normalised.

    Always by the image processor on Pillow; see `bench.models.adapters.clip.clip_pixels`.

    Args:
        photos: (n, 3, h, w) in [0, 1]; taken at 8 bits, as an attacker would find them.
        side: the tower's input side in pixels.

    Returns:
        (n, 3, side, side) fp32 on the device of the photos.
    """
    import transformers

    kind = getattr(transformers, "SiglipImageProcessorPil", None) or transformers.SiglipImageProcessor
    pixels = kind(size={"height": side, "width": side})(to_pixels(photos), return_tensors="pt").pixel_values
    return torch.as_tensor(pixels).to(photos.device)
