"""FLUX.1 (Black Forest Labs 2024): T5 reads the prompt, CLIP sums it up, and the transformer is told the guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from bench.core.errors import BenchError
from bench.models.diffusion.condition import Condition, places_of
from bench.models.diffusion.flow import FlowModel

TOKENS = 512
"""Of T5, as the published pipeline reads them."""
TRAINED_AT = 1.0
"""The guidance that the transformer is told while it learns, as in the README of diffusers' training scripts."""
PATCH = 2
"""Side of the squares of latents that are one token."""


class FluxModel(FlowModel):
    """A FLUX-type model.

    The transformer has learned what guidance does, and is told its scale; there is no second pass without a prompt.
    """

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """The transformer takes any size: that of the VAE's configuration is the model's own."""
        side = int(self.vae.config.sample_size) // self.factor
        return int(self.vae.config.latent_channels), side, side

    def condition(self, prompts: Sequence[str]) -> Condition:
        """T5's states, and CLIP's pooled one."""
        assert self.t5 is not None
        with self._reading(), self._autocast():
            pooled: Tensor = self.text_encoder(self.ids(prompts)).pooler_output
            hidden = self.t5.read(prompts, TOKENS)
        return Condition(hidden, pooled.float())

    def predict(
        self,
        latents: Tensor,
        timesteps: Tensor,
        condition: Condition,
        *,
        photo: Tensor | None = None,
        guidance: float = TRAINED_AT,
        **more: Any,
    ) -> Tensor:
        """See `DiffusionModel.predict`.

        Args:
            latents: (n, c, h, w).
            timesteps: (n,).
            condition: n conditions.
            photo: (n, c, h', w') latents of a photo beside each picture, which Kontext looks at (arXiv 2506.15742).
            guidance: what the transformer is told.
            more: for the transformer.
        """
        height, width = (side // PATCH for side in latents.shape[-2:])
        given, where = packed(latents), places(height, width, self.device)
        if photo is not None:
            rows, columns = (side // PATCH for side in photo.shape[-2:])
            given = torch.cat([given, packed(photo)], dim=1)
            where = torch.cat([where, places(rows, columns, self.device, of_photo=True)])
        told = self.transformer.config.guidance_embeds
        with self._autocast():
            predicted: Tensor = self.transformer(
                hidden_states=given,
                timestep=self.sigma(timesteps).flatten(),
                guidance=torch.full((len(latents),), guidance, device=self.device) if told else None,
                encoder_hidden_states=condition.hidden,
                pooled_projections=condition.pooled,
                txt_ids=torch.zeros(condition.hidden.shape[1], 3, device=self.device),
                img_ids=where,
                return_dict=False,
                **more,
            )[0]
        return unpacked(predicted[:, : height * width].float(), height, width)

    def _token_places(self, before: str, word: str) -> list[int]:
        """By T5 alone: of CLIP, the pooled state is no token."""
        assert self.t5 is not None
        return places_of(self.t5.tokenizer, before, word, 0)

    def _shares(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform, as diffusers' training scripts draw them."""
        return torch.rand(count, generator=generator)

    def _drawn(
        self, pipeline: Any, condition: Condition, noise: Tensor, away_from: Condition | None, told: dict[str, Any]
    ) -> Tensor:
        """With the guidance that is embedded.

        Raises:
            BenchError: `away_from` is given, which the guidance that was learned knows nothing of.
        """
        if away_from is not None:
            raise BenchError(f"{self.checkpoint.name} cannot be guided away from a prompt.", "Use another base.")
        height, width = noise.shape[-2:]
        tokens: Tensor = pipeline(
            prompt_embeds=condition.hidden,
            pooled_prompt_embeds=condition.pooled,
            latents=packed(noise),
            height=height * self.factor,
            width=width * self.factor,
            **told,
        ).images
        return unpacked(tokens, height // PATCH, width // PATCH)

    def _pipeline_kind(self) -> Any:
        from diffusers import FluxPipeline

        return FluxPipeline

    def _pipeline_parts(self) -> dict[str, Any]:
        assert self.t5 is not None
        return self._text_parts | {"text_encoder_2": self.t5.encoder, "tokenizer_2": self.t5.tokenizer}


def packed(latents: Tensor) -> Tensor:
    """Latents (n, c, 2 h, 2 w) as tokens (n, h x w, 4 c), row by row."""
    return pixel_unshuffle(latents, PATCH).flatten(2).mT


def unpacked(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens (n, h x w, 4 c) as latents (n, c, 2 h, 2 w): the inverse of `packed`."""
    return pixel_shuffle(tokens.mT.reshape(len(tokens), -1, height, width), PATCH)


def places(height: int, width: int, device: torch.device, of_photo: bool = False) -> Tensor:
    """(h x w, 3) where tokens are: zero in the picture and one in a photo beside it, row, column."""
    rows, columns = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack([torch.full_like(rows, int(of_photo)), rows, columns], dim=-1).flatten(0, 1).float()
