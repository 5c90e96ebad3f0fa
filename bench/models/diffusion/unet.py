"""Stable Diffusion 1 and 2 (Rombach et al. 2022): a U-Net that predicts noise or velocity, noised as DDPM does it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

from bench.core.deferred import Tensor, torch
from bench.core.errors import BenchError
from bench.models.diffusion.attention import Maps, watched
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.condition import Condition
from bench.models.diffusion.cross_attention import queried
from bench.models.diffusion.eager import outputs_of


class UNetModel(DiffusionModel):
    """A Stable-Diffusion-type model (epsilon or v prediction)."""

    part = "unet"
    attention: ClassVar[tuple[str, ...]] = ("to_q", "to_k", "to_v", "to_out.0")
    beyond_attention: ClassVar[tuple[str, ...]] = (
        *("conv1", "conv2", "conv_shortcut", "conv", "time_emb_proj", "proj_in", "proj_out", "proj", "net.2"),
    )

    @property
    def unet(self) -> Any:
        return self.denoiser

    def condition(self, prompts: Sequence[str]) -> Condition:
        with self._reading(), self._autocast():
            hidden = self.text_encoder(self.ids(prompts))[0]
        return Condition(hidden.float())

    def predict(self, latents: Tensor, timesteps: Tensor, condition: Condition, **more: Any) -> Tensor:
        with self._autocast():
            predicted: Tensor = self.unet(latents, timesteps, condition.hidden, return_dict=False, **more)[0]
        return predicted.float()

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        noised: Tensor = self.scheduler.add_noise(latents, noise, timesteps)
        return noised

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The noise, or the velocity for a v-prediction model."""
        kind = self.scheduler.config.prediction_type
        if kind == "epsilon":
            return noise
        if kind == "v_prediction":
            velocity: Tensor = self.scheduler.get_velocity(latents, noise, timesteps)
            return velocity
        raise BenchError(f"Prediction type {kind!r} is not supported.", "Use an epsilon or v_prediction checkpoint.")

    def predict_x0(self, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        alpha_bar = self.alpha_bar(timesteps)
        signal, spread = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        if self.scheduler.config.prediction_type == "v_prediction":
            return signal * noised - spread * predicted
        return (noised - spread * predicted) / signal

    def predict_noise(self, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        if self.scheduler.config.prediction_type != "v_prediction":
            return predicted
        alpha_bar = self.alpha_bar(timesteps)
        return alpha_bar.sqrt() * predicted + (1 - alpha_bar).sqrt() * noised

    def alpha_bar(self, timesteps: Tensor) -> Tensor:
        alphas: Tensor = self.scheduler.alphas_cumprod
        return alphas.to(self.device)[timesteps][:, None, None, None]

    def previous(self, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        """The mean of DDPM's reverse step (Ho et al. 2020, eq. 7)."""
        now, before = self.alpha_bar(timesteps), self.alpha_bar(timesteps - 1)
        ratio = now / before
        clean = self.predict_x0(noised, predicted, timesteps)
        return (before.sqrt() * (1 - ratio) * clean + ratio.sqrt() * (1 - before) * noised) / (1 - now)

    def watched(self, sides: Collection[int] | None = None, by_head: bool = False) -> AbstractContextManager[Maps]:
        return watched(self.unet, sides, by_head)

    @contextmanager
    def attention_to_prompt(self, sides: Collection[int] | None = None) -> Iterator[list[Tensor]]:
        maps: list[Tensor] = []
        with queried(self.unet, sides) as queries:
            yield maps
        maps += [query.shares(query.layer.to_k(query.told)) for query in queries]

    def last_features(self) -> AbstractContextManager[list[Tensor]]:
        """Outputs of the last up-block's residual blocks (layers 9 to 11 of Stable Diffusion)."""
        return outputs_of(self.unet, self.unet.up_blocks[-1].resnets)

    @property
    def prompt_weights(self) -> list[torch.nn.Parameter]:
        """Those of cross-attention."""
        named = self.unet.named_parameters()
        return [weight for name, weight in named if "attn2.to_k" in name or "attn2.to_v" in name]

    def pipeline(self, controlnet: Any = None) -> Any:
        """With the DPM-Solver++ scheduler."""
        from diffusers import DPMSolverMultistepScheduler

        made = self._pipeline_kind(controlnet is not None)(
            vae=self.vae,
            unet=self.unet,
            scheduler=DPMSolverMultistepScheduler.from_config(self.scheduler.config),
            feature_extractor=None,
            **self._pipeline_parts(),
            **({} if controlnet is None else {"controlnet": controlnet}),
        )
        made.set_progress_bar_config(disable=True)
        return made

    def _pipeline_kind(self, controlled: bool) -> Any:
        import diffusers

        return diffusers.StableDiffusionControlNetPipeline if controlled else diffusers.StableDiffusionPipeline

    def _pipeline_parts(self) -> dict[str, Any]:
        # A black picture would count as protection.
        return self._text_parts | {"safety_checker": None, "requires_safety_checker": False}
