"""Train facelet-3: a small transformer of Stable Diffusion 3's type on captioned latents of the training photos.

`python -m bench.zoo.train.flow_base`. Rectified flow with logit-normal timesteps (Esser et al. 2024, arXiv 2403.03206,
Sec. 2 and 3.1). Prompts are read by the frozen text encoders of facelet-1 and facelet-2, side by side, as CLIP-L and
CLIP-G are there; there is no T5.
"""

from __future__ import annotations

import copy
from pathlib import Path

import hydra
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from bench.zoo.train.captioned import PROMPTS, Captioned
from bench.zoo.train.loop import Schedule, train
from bench.zoo.train.photos import Faces
from bench.zoo.train.precision import autocast, device
from bench.zoo.train.views import Views

LENGTH = 1000
"""Timesteps of the schedule, which counts sigma."""


class FlowMatching(Captioned):
    """A transformer that learns the direction from latents to noise.

    Args:
        transformer: what is trained.
        text_encoders: two, which read every caption; frozen.
        tokenizer: theirs.
        views: what it learns from.
        compiled: compile the training steps of the transformer; it needs a C++ compiler.
    """

    def __init__(
        self,
        transformer: SD3Transformer2DModel,
        text_encoders: tuple[CLIPTextModelWithProjection, CLIPTextModelWithProjection],
        tokenizer: CLIPTokenizer,
        views: Views,
        compiled: bool = False,
    ) -> None:
        super().__init__(tokenizer, views)
        self.module = transformer
        self._compiled = torch.compile(transformer) if compiled else transformer
        self._text_encoders = [encoder.requires_grad_(False).eval().to(device()) for encoder in text_encoders]

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        return self._errors(self._draw(count, random), random).mean()

    def report(self) -> str:
        return f"error of the direction {self._errors(self._held, torch.Generator().manual_seed(0)).mean():.4f}"

    def grid(self) -> Tensor | None:
        pipeline = self.pipeline()
        pipeline.set_progress_bar_config(disable=True)
        prompts = [prompt for prompt in PROMPTS for _ in range(8)]
        shape = (len(prompts), *self._views.latents.shape[1:])
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(device())
        with autocast():
            made = pipeline(
                prompts,
                latents=noise,
                height=self._views.side,
                width=self._views.side,
                num_inference_steps=20,
                guidance_scale=3.0,
                max_sequence_length=self._tokenizer.model_max_length,
                output_type="pt",
            )
        pictures: Tensor = made.images.float()
        return pictures

    def export(self, folder: Path) -> None:
        """In half precision."""
        whole = self.pipeline()
        for part in ("transformer", "vae", "text_encoder", "text_encoder_2"):
            copy.deepcopy(getattr(whole, part)).half().save_pretrained(folder / part)
        for part in ("tokenizer", "tokenizer_2", "scheduler"):
            getattr(whole, part).save_pretrained(folder / part)
        whole.save_config(folder)

    def pipeline(self) -> StableDiffusion3Pipeline:
        """A stock pipeline of the present weights."""
        vae = self._views.vae
        vae.register_to_config(shift_factor=0.0)  # which the stock pipeline adds
        one, other = self._text_encoders
        return StableDiffusion3Pipeline(
            transformer=self.module,
            scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=LENGTH),
            vae=vae,
            text_encoder=one,
            tokenizer=self._tokenizer,
            text_encoder_2=other,
            tokenizer_2=self._tokenizer,
            text_encoder_3=None,
            tokenizer_3=None,
        )

    def _errors(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """(n,) squared errors of the direction at random times, per latent."""
        latents = self._views.latents[rows].float()
        noise = torch.randn(latents.shape, generator=random).to(latents)
        sigma = torch.sigmoid(torch.randn(len(rows), generator=random)).to(latents)
        share = sigma[:, None, None, None]
        hidden, pooled = self._condition(self._captions(rows, random))
        transformer = self._compiled if self.module.training else self.module
        with autocast():
            predicted: Tensor = transformer(
                hidden_states=(1 - share) * latents + share * noise,
                timestep=sigma * LENGTH,
                encoder_hidden_states=hidden,
                pooled_projections=pooled,
                return_dict=False,
            )[0]
        errors: Tensor = (predicted.float() - (noise - latents)).square().mean(dim=(1, 2, 3))
        return errors

    @torch.no_grad()
    def _condition(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """What the stock pipeline makes of prompts: states (n, 2 x tokens, width), zeros for T5, and the pooled."""
        read = [encoder(self._ids(captions), output_hidden_states=True) for encoder in self._text_encoders]
        states = torch.cat([text.hidden_states[-2] for text in read], dim=-1)
        states = functional.pad(states, (0, self.module.config.joint_attention_dim - states.shape[-1]))
        pooled = torch.cat([text.text_embeds for text in read], dim=-1)
        return torch.cat([states, torch.zeros_like(states)], dim=1), pooled


def build_transformer(layers: int, heads: int, head: int, text: int) -> SD3Transformer2DModel:
    """A small stock transformer for latents (n, 4, 16, 16), whose tokens are squares of 2 x 2.

    Args:
        layers: joint blocks.
        heads: attention heads.
        head: width of each.
        text: width of the text encoders' states side by side, and of their pooled ones.
    """
    return SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=layers,
        num_attention_heads=heads,
        attention_head_dim=head,
        caption_projection_dim=heads * head,
        joint_attention_dim=text,
        pooled_projection_dim=text,
        pos_embed_max_size=16,
        qk_norm="rms_norm",
    )


def reading(folder: Path) -> CLIPTextModelWithProjection:
    """The text encoder of a base, as Stable Diffusion 3 has them: with a projection, which leaves all as it is."""
    config = CLIPTextConfig.from_pretrained(folder, subfolder="text_encoder")
    config.projection_dim = config.hidden_size
    made = CLIPTextModelWithProjection.from_pretrained(
        folder, subfolder="text_encoder", config=config, dtype=torch.float32
    )
    torch.nn.init.eye_(made.text_projection.weight)
    return made


@hydra.main(version_base=None, config_path="conf", config_name="facelet-3")
def main(config: DictConfig) -> None:
    """Train the base of the configuration."""
    torch.manual_seed(config.schedule.seed)
    vae = AutoencoderKL.from_pretrained(config.vae, dtype=torch.float32)
    one, other = (reading(Path(folder)) for folder in config.readers)
    tokenizer = CLIPTokenizer.from_pretrained(config.readers[0], subfolder="tokenizer")
    width = one.config.hidden_size + other.config.hidden_size
    transformer = build_transformer(config.layers, config.heads, config.head, width)
    views = Views.cached(Faces.load(Path(config.photos)), vae, Path(config.latents))
    part = FlowMatching(transformer, (one, other), tokenizer, views, config.compiled)
    train(part, Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
