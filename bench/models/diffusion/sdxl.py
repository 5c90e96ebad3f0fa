"""Stable Diffusion XL (Podell et al. 2023): two text encoders, a pooled state, and sizes that the UNet is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.models.diffusion.condition import Condition
from bench.models.diffusion.unet import UNetModel


class SdxlModel(UNetModel):
    """An SDXL-type model.

    The VAE always computes in fp32: the published one overflows in half precision, and a black picture would count as
    protection. Without a prompt the condition is zero, as in the published pipeline.
    """

    half_vae = False

    def condition(self, prompts: Sequence[str]) -> Condition:
        """Both encoders' states before the last layer, side by side, and the second's pooled state."""
        states = []
        with self._reading(), self._autocast():
            for which, encoder in enumerate(self.text_encoders):
                told = encoder(self.ids(prompts, which), output_hidden_states=True)
                states.append(told.hidden_states[-2].float())
        pooled: Tensor = told.text_embeds.float()
        return Condition(torch.cat(states, dim=-1), pooled)

    def unconditional(self) -> Condition:
        with torch.no_grad():
            told = self.condition([""])
        assert told.pooled is not None
        return Condition(torch.zeros_like(told.hidden), torch.zeros_like(told.pooled))

    def predict(self, latents: Tensor, timesteps: Tensor, condition: Condition, **more: Any) -> Tensor:
        added = {"text_embeds": condition.pooled, "time_ids": self.sizes(latents)}
        return super().predict(
            latents, timesteps, condition, **more | {"added_cond_kwargs": added | more.get("added_cond_kwargs", {})}
        )

    def sizes(self, latents: Tensor) -> Tensor:
        """(n, 6) what the UNet is told of pictures: full height and width, no crop, and the same size as wanted."""
        height, width = (side * self.factor for side in latents.shape[-2:])
        sizes = latents.new_zeros(len(latents), 6)
        sizes[:, 0::4], sizes[:, 1::4] = height, width
        return sizes

    def _pipeline_kind(self, controlled: bool) -> Any:
        import diffusers

        return diffusers.StableDiffusionXLControlNetPipeline if controlled else diffusers.StableDiffusionXLPipeline

    def _pipeline_parts(self) -> dict[str, Any]:
        return self._text_parts | {"add_watermarker": False}
