"""Noisy upscaling: drown the cloak in noise, then let a diffusion upscaler paint the photo again.

Hönig et al., "Adversarial perturbations cannot reliably protect artists from generative AI", 2024, with Stable
Diffusion's x4 upscaler. Theirs keeps the fourfold size; ours comes back to the photo's own, as a trainer would cut it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image

from bench.config.prompts import Caption
from bench.core.errors import BenchError
from bench.core.images import resize, to_tensor
from bench.core.ranges import Guidance, Range, SamplerSteps, Sigma
from bench.core.types import Pixels
from bench.models.weights.checkpoint import Checkpoint, locate
from countermeasures import Countermeasure


@dataclass(frozen=True)
class NoisyUpscaling(Countermeasure):
    """Gaussian noise, then the x4 upscaler, told that its input is very noisy.

    Attributes:
        sigma: standard deviation of the noise on [0, 1].
        level: noise that the upscaler adds to its input, and is told of, a timestep of its schedule.
        prompt: what is on the photo.
        steps: of the sampler.
        guidance: guidance scale.
        weights: hub id, or a diffusers folder, of the upscaler.
    """

    sigma: Sigma = 0.1
    level: Annotated[int, Range(ge=0, le=350, unit="a timestep of the upscaler's noise")] = 320
    prompt: Caption = "a photo of a person"
    steps: SamplerSteps = 75
    guidance: Guidance = 9.0
    weights: str = "stabilityai/stable-diffusion-x4-upscaler"

    def files(self) -> dict[str, str]:
        return {"weights": self._located.fingerprint}

    @property
    def _located(self) -> Checkpoint:
        return locate("sd-x4-upscaler", self.weights)

    @torch.no_grad()
    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        files = self._located
        pipeline = _upscaler(files.path, files.fingerprint, "cuda" if torch.cuda.is_available() else "cpu")
        return [self._upscale(photo, generator, pipeline) for photo in photos]

    def _upscale(self, photo: Pixels, generator: torch.Generator, pipeline: Any) -> Pixels:
        found = to_tensor([photo])
        noisy = (found + self.sigma * torch.randn(found.shape, generator=generator)).clamp(0, 1)
        large = pipeline(
            prompt=self.prompt,
            image=(noisy * 2 - 1).to(pipeline.device),
            noise_level=self.level,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=generator,
            output_type="np",
        ).images[0]
        if not np.isfinite(large).all():
            raise BenchError("The upscaler made a picture that is not finite.", "Use other weights.")
        return resize(Image.fromarray((large * 255).round().astype(np.uint8)), photo.shape[0])


@lru_cache(maxsize=1)
def _upscaler(folder: Path, fingerprint: str, device: str) -> Any:
    """The stock pipeline, kept for the next person; changed files have another fingerprint and are another entry.

    Raises:
        BenchError: a file does not load.
    """
    del fingerprint  # only there to make a changed file another entry of the cache
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        DDPMScheduler,
        StableDiffusionUpscalePipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTokenizer

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    kinds = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    plain = {"tokenizer": CLIPTokenizer, "scheduler": DDIMScheduler, "low_res_scheduler": DDPMScheduler}
    try:
        parts = {name: kind.from_pretrained(folder, subfolder=name, dtype=dtype) for name, kind in kinds.items()}
        parts |= {name: kind.from_pretrained(folder, subfolder=name) for name, kind in plain.items()}
    except (OSError, ValueError, RuntimeError) as error:
        raise BenchError(f"The upscaler in {folder} does not load: {error}", "Fetch it again.") from error
    pipeline = StableDiffusionUpscalePipeline(**parts).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
