"""Train a base: UNet and text encoder on captioned latents of the training photos.

`python -m bench.zoo.train.base` trains facelet-1, `python -m bench.zoo.train.base --config-name=facelet-2` the other.
The loss is DDPM's with min-SNR weights (Hang et al. 2023, gamma 5), for epsilon or v prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from omegaconf import DictConfig
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from bench.zoo.train.captioned import PROMPTS, Captioned
from bench.zoo.train.loop import Schedule, train
from bench.zoo.train.photos import Faces
from bench.zoo.train.precision import autocast, device, plain_attention
from bench.zoo.train.syllables import with_syllables
from bench.zoo.train.views import Views

GAMMA = 5.0
"""Of min-SNR."""
NOISE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
"""The noise schedule of Stable Diffusion 1 and 2."""


@dataclass(frozen=True)
class Step:
    """One denoising step of a batch: latents (n, 4, h, w), with noise at some timesteps (n,), and the UNet's answer."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    noised: Tensor
    predicted: Tensor


class Diffusion(Captioned):
    """A base on the cached latents.

    Args:
        unet, text_encoder, tokenizer: its parts.
        views: what it learns from.
        v: whether it predicts the velocity instead of the noise.
        compiled: compile the training steps of the UNet: a quarter faster on two cores, after some minutes; it needs a
            C++ compiler.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        views: Views,
        v: bool,
        compiled: bool = False,
    ) -> None:
        super().__init__(tokenizer, views)
        self.module = nn.ModuleDict({"unet": unet, "text_encoder": text_encoder})
        plain_attention(unet)
        self._compiled = torch.compile(unet) if compiled else unet
        self._scheduler = DDPMScheduler(**NOISE, prediction_type="v_prediction" if v else "epsilon")
        self._signal = self._scheduler.alphas_cumprod.to(device())  # (1000,) share of the signal at every timestep

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        error, weight = self._errors(self._step(self._draw(count, random), random))
        loss: Tensor = (error * weight).mean()
        return loss

    def report(self) -> str:
        with torch.no_grad():
            error, _ = self._errors(self._step(self._held, torch.Generator().manual_seed(0)))
        return f"denoising error {error.mean():.4f}"

    def grid(self) -> Tensor | None:
        pipeline = self.pipeline()
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(self._scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        prompts = [prompt for prompt in PROMPTS for _ in range(8)]
        noise = torch.randn(len(prompts), 4, 16, 16, generator=torch.Generator().manual_seed(1))
        with autocast():
            made = pipeline(prompts, latents=noise, num_inference_steps=20, guidance_scale=3.0, output_type="pt")
        pictures: Tensor = made.images.float()
        return pictures

    def export(self, folder: Path) -> None:
        self.module["unet"].set_default_attn_processor()
        self.pipeline().save_pretrained(folder)

    def pipeline(self) -> StableDiffusionPipeline:
        """A stock pipeline of the present weights."""
        return StableDiffusionPipeline(
            vae=self._views.vae,
            text_encoder=self.module["text_encoder"],
            tokenizer=self._tokenizer,
            unet=self.module["unet"],
            scheduler=DDIMScheduler.from_config(
                self._scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def _step(self, rows: Tensor, random: torch.Generator) -> Step:
        """One denoising step of some views at random timesteps."""
        latents = self._views.latents[rows].float()
        timesteps = torch.randint(1000, (len(rows),), generator=random).to(latents.device)
        noise = torch.randn(latents.shape, generator=random).to(latents)
        noised = self._scheduler.add_noise(latents, noise, timesteps)
        with autocast():
            hidden = self._condition(rows, random)
            predicted = self._predict(noised, timesteps, hidden, rows, random)
        return Step(latents, noise, timesteps, noised, predicted.float())

    def _errors(self, step: Step) -> tuple[Tensor, Tensor]:
        """Squared error (n,) of a denoising step per latent, and its weight (n,)."""
        signal = self._signal[step.timesteps]
        snr = signal / (1 - signal)
        if self._scheduler.config.prediction_type == "epsilon":
            target, weight = step.noise, torch.clamp(GAMMA / snr, max=1)
        else:
            target = self._scheduler.get_velocity(step.latents, step.noise, step.timesteps)
            weight = torch.clamp(snr, max=GAMMA) / (snr + 1)
        return (step.predicted - target).square().mean(dim=(1, 2, 3)), weight

    def _condition(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """(n, tokens, width) hidden states of captions of some views."""
        hidden: Tensor = self.module["text_encoder"](self._ids(self._captions(rows, random)))[0]
        return hidden

    def _predict(
        self, noised: Tensor, timesteps: Tensor, hidden: Tensor, rows: Tensor, random: torch.Generator
    ) -> Tensor:
        """The UNet's answer; a subclass may condition it on more."""
        unet = self._compiled if self.module.training else self.module["unet"]
        predicted: Tensor = unet(noised, timesteps, hidden, return_dict=False)[0]
        return predicted


def denoised(
    predict: Callable[[Tensor, Tensor], Tensor], latents: Tensor, config: Any, guidance: float, steps: int = 20
) -> Tensor:
    """Denoise latents (n, 4, h, w) with DPM-Solver++ and classifier-free guidance.

    Args:
        predict: (2n, 4, h, w) latents, all of them twice, and a timestep -> the UNet's answers: the first n with the
            condition, the others without.
        latents: standard normal.
        config: of the noise schedule's scheduler.
        guidance: guidance scale.
        steps: of the solver.
    """
    scheduler = DPMSolverMultistepScheduler.from_config(config)
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        told, free = predict(torch.cat([latents, latents]), t).float().chunk(2)
        latents = scheduler.step(free + guidance * (told - free), t, latents).prev_sample
    return latents


def pictures(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """(n, 3, side, side) in [0, 1] of scaled latents (n, 4, 16, 16)."""
    decoded: Tensor = vae.decode(latents / vae.config.scaling_factor).sample.float()
    return (decoded / 2 + 0.5).clamp(0, 1)


def build_unet(channels: tuple[int, ...], heads: tuple[int, ...], width: int) -> UNet2DConditionModel:
    """A small stock UNet with cross-attention at every level, as far as Stable Diffusion's has it."""
    return UNet2DConditionModel(
        sample_size=16,
        down_block_types=("CrossAttnDownBlock2D",) * len(channels),
        up_block_types=("CrossAttnUpBlock2D",) * len(channels),
        mid_block_type="UNetMidBlock2DCrossAttn",
        block_out_channels=channels,
        layers_per_block=1,
        cross_attention_dim=width,
        attention_head_dim=heads,  # diffusers takes this for the number of heads, as in Stable Diffusion 1
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: CLIPTokenizer, width: int, layers: int) -> CLIPTextModel:
    """A small stock CLIP text encoder."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def graft(module: nn.Module, old: nn.Module) -> None:
    """Copy all weights that both modules have.

    Transformer blocks that only the new one has start as the identity: their last projection becomes zero. Tokens that
    only the new one has keep their random start.
    """
    weights, mine = old.state_dict(), module.state_dict()
    for key in weights.keys() & mine.keys():
        if len(weights[key]) < len(mine[key]):
            weights[key] = torch.cat([weights[key], mine[key][len(weights[key]) :]])
    loaded = module.load_state_dict(weights, strict=False)
    assert not loaded.unexpected_keys, loaded.unexpected_keys
    fresh = [key for key in loaded.missing_keys if key.endswith(("proj_out.weight", "proj_out.bias"))]
    for key in fresh:
        nn.init.zeros_(module.get_parameter(key))


@hydra.main(version_base=None, config_path="conf", config_name="facelet-1")
def main(config: DictConfig) -> None:
    """Train the base of the configuration."""
    torch.manual_seed(config.schedule.seed)
    tokenizer = with_syllables(Path(config.tokenizer))
    vae = AutoencoderKL.from_pretrained(config.vae, dtype=torch.float32)
    unet = build_unet(tuple(config.channels), tuple(config.heads), config.text.width)
    text_encoder = build_text_encoder(tokenizer, config.text.width, config.text.layers)
    if config.init:
        graft(unet, UNet2DConditionModel.from_pretrained(config.init, subfolder="unet", dtype=torch.float32))
        graft(text_encoder, CLIPTextModel.from_pretrained(config.init, subfolder="text_encoder", dtype=torch.float32))
    views = Views.cached(Faces.load(Path(config.photos)), vae, Path(config.latents))
    velocity = config.prediction == "v_prediction"
    part = Diffusion(unet, text_encoder, tokenizer, views, velocity, config.compiled)
    train(part, Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
