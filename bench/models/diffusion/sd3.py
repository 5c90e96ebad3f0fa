"""Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv 2403.03206): two CLIP encoders and T5, a 16-channel VAE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.models.diffusion.condition import Condition, places_of
from bench.models.diffusion.flow import FlowModel

CLIP, T5 = 77, 256
"""Tokens that the published models read; diffusers' training script has T5 read 77."""


class Sd3Model(FlowModel):
    """An SD3-type model.

    The VAE always computes in fp32, as in diffusers' training scripts ("to avoid NaN losses"). A checkpoint may leave
    T5 out; the transformer is then given zeros in its place, as by the published pipeline.
    """

    half_vae = False

    def condition(self, prompts: Sequence[str]) -> Condition:
        """CLIP's states before the last layer side by side, filled up to T5's width, then T5's; both pooled states."""
        states, pooled = [], []
        width = int(self.transformer.config.joint_attention_dim)
        with self._reading(), self._autocast():
            for which, encoder in enumerate(self.text_encoders):
                told = encoder(self.ids(prompts, which), output_hidden_states=True)
                states.append(told.hidden_states[-2].float())
                pooled.append(told.text_embeds.float())
            missing = torch.zeros(len(prompts), self._t5_tokens, width, device=self.device)
            by_t5 = self.t5.read(prompts, self._t5_tokens) if self.t5 else missing
        by_clip = torch.cat(states, dim=-1)
        by_clip = functional.pad(by_clip, (0, width - by_clip.shape[-1]))
        return Condition(torch.cat([by_clip, by_t5], dim=1), torch.cat(pooled, dim=-1))

    @property
    def _t5_tokens(self) -> int:
        """A small model whose CLIP reads fewer tokens has T5 read as many (`max_sequence_length` of the pipeline)."""
        tokens = int(self.tokenizer.model_max_length)
        return T5 if tokens == CLIP else tokens

    def predict(self, latents: Tensor, timesteps: Tensor, condition: Condition, **more: Any) -> Tensor:
        with self._autocast():
            predicted: Tensor = self.transformer(
                hidden_states=latents,
                timestep=self.sigma(timesteps).flatten() * self.length,
                encoder_hidden_states=condition.hidden,
                pooled_projections=condition.pooled,
                return_dict=False,
                **more,
            )[0]
        return predicted.float()

    def _token_places(self, before: str, word: str) -> list[int]:
        """By the CLIP encoders, whose tokens lie side by side, and after theirs by T5."""
        by_clip = super()._token_places(before, word)
        if self.t5 is None:
            return by_clip
        return by_clip + places_of(self.t5.tokenizer, before, word, int(self.tokenizer.model_max_length))

    def _shares(self, count: int, generator: torch.Generator) -> Tensor:
        """Logit-normal with mean 0 and deviation 1: denser in the middle."""
        return torch.sigmoid(torch.randn(count, generator=generator))

    def errors_at(self, latents: Tensor, condition: Condition, timesteps: Tensor, noise: Tensor) -> Tensor:
        """Squared error (n,) of the clean latents that are predicted: that of the direction times sigma squared.

        So diffusers' training scripts weigh it by default ("preconditioning of the model outputs").
        """
        errors = super().errors_at(latents, condition, timesteps, noise)
        return errors * self.sigma(timesteps).flatten().square()

    def _pipeline_kind(self) -> Any:
        from diffusers import StableDiffusion3Pipeline

        return StableDiffusion3Pipeline

    def _pipeline_parts(self) -> dict[str, Any]:
        encoder, tokenizer = (self.t5.encoder, self.t5.tokenizer) if self.t5 else (None, None)
        return self._text_parts | {"text_encoder_3": encoder, "tokenizer_3": tokenizer}
