"""Rectified flow (Liu et al. 2023; Esser et al. 2024, arXiv 2403.03206): transformers on a straight line to noise.

x_t = (1 - sigma) x_0 + sigma noise, and what is predicted is the line's direction, noise - x_0. Timesteps stay integers
that count up with the noise, as everywhere: timestep t is the schedule's sigma number t from the clean end, with the
shift that the checkpoint's scheduler states.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from bench.config.compute import Computing
from bench.core.errors import BenchError
from bench.models.diffusion.attention import Maps
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import to_device
from bench.models.diffusion.eager import outputs_of
from bench.models.diffusion.joint_attention import blocks, watched
from bench.models.diffusion.t5 import T5
from bench.models.weights.checkpoint import Checkpoint

LAST = 3
"""Blocks whose features are the last ones: as many as residual blocks in the last level of Stable Diffusion."""


class FlowModel(DiffusionModel):
    """A flow-matching transformer that reads its prompts with CLIP and T5.

    Attributes:
        t5: the T5 encoder, which no attack trains; None for a checkpoint that leaves it out.
    """

    part = "transformer"
    attention: ClassVar[tuple[str, ...]] = (
        *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
        *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
    )
    beyond_attention: ClassVar[tuple[str, ...]] = (
        *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    )

    def __init__(
        self, checkpoint: Checkpoint, parts: dict[str, Any], device: torch.device, computing: Computing
    ) -> None:
        super().__init__(checkpoint, parts, device, computing)
        self.t5: T5 | None = parts.get("t5")

    @property
    def transformer(self) -> Any:
        """The denoiser."""
        return self.denoiser

    @property
    def _readers(self) -> Sequence[torch.nn.Module]:
        return [*self.text_encoders, *([self.t5.encoder] if self.t5 else [])]

    @property
    def _shared(self) -> dict[str, Any]:
        return super()._shared | {"t5": self.t5}

    def sigma(self, timesteps: Tensor) -> Tensor:
        """(n, 1, 1, 1) share of noise in the mixture at each timestep."""
        return self._sigmas[timesteps][:, None, None, None]

    @cached_property
    def _sigmas(self) -> Tensor:
        """Of the whole schedule, from the clean end, on the device."""
        sigmas: Tensor = self.scheduler.sigmas.flip(0)
        return sigmas.to(self.device)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        sigma = self.sigma(timesteps)
        return (1 - sigma) * latents + sigma * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The direction from the latents to the noise."""
        return noise - latents

    def predict_x0(self, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        return noised - self.sigma(timesteps) * predicted

    def predict_noise(self, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        return noised + (1 - self.sigma(timesteps)) * predicted

    def random_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        share = self._shares(count, generator)
        place = (share * self.length).long().clamp(max=self.length - 1)
        return to_device(self.length - 1 - place, self.device)  # the schedule begins with the noise

    @abstractmethod
    def _shares(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) shares of the schedule in [0, 1] at which a training's timesteps lie."""

    def previous(self, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """A step of the Euler sampler."""
        return noised + (self.sigma(timesteps - 1) - self.sigma(timesteps)) * predicted

    def watched(self, sides: Collection[int] | None = None, by_head: bool = False) -> AbstractContextManager[Maps]:
        """Blocks of joint attention."""
        return watched(self.transformer, sides, by_head)

    @contextmanager
    def attention_to_prompt(self, sides: Collection[int] | None = None) -> Iterator[list[Tensor]]:
        """Image-to-text blocks of joint attention."""
        with watched(self.transformer, sides, by_head=True, to_picture=False) as maps:
            yield maps.cross

    def last_features(self) -> AbstractContextManager[list[Tensor]]:
        """The picture's states after the last blocks, normalised as whatever comes next reads them."""

        def picture(streams: tuple[Tensor, Tensor]) -> Tensor:
            return functional.layer_norm(streams[1].float(), streams[1].shape[-1:])

        return outputs_of(self.transformer, blocks(self.transformer)[-LAST:], picture)

    @property
    def prompt_weights(self) -> list[torch.nn.Parameter]:
        """Those of joint attention; in blocks that project prompt and picture by the same weights there are none."""
        named = self.transformer.named_parameters()
        return [weight for name, weight in named if "add_k_proj" in name or "add_v_proj" in name]

    def pipeline(self, controlnet: Any = None) -> Any:
        """With the Euler sampler of flow matching, by which these models are published."""
        from diffusers import FlowMatchEulerDiscreteScheduler

        if controlnet is not None:
            raise BenchError(f"{self.checkpoint.name} takes no ControlNet here.", "Use sd15 or sdxl for this.")
        made = self._pipeline_kind()(
            vae=self.vae,
            transformer=self.transformer,
            scheduler=FlowMatchEulerDiscreteScheduler.from_config(self.scheduler.config),
            **self._pipeline_parts(),
        )
        made.set_progress_bar_config(disable=True)
        return made

    @abstractmethod
    def _pipeline_kind(self) -> Any:
        """The class of the published pipeline."""

    @abstractmethod
    def _pipeline_parts(self) -> dict[str, Any]:
        """Its parts besides VAE, transformer and scheduler."""
