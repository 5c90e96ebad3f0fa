"""The same few pictures, drawn by an attack, by a base without one, and by a pipeline of diffusers without our code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from attacks import Artifact, Attack
from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import randn
from tests.support.contexts import fit_context

TEMPLATES = ["a photo of {subject}", "a dslr portrait of {subject}"]
STEPS, GUIDANCE = 5, 3.0


def prompts(subject: str = "person") -> list[str]:
    return [template.format(subject=subject) for template in TEMPLATES]


def noise(base: DiffusionModel, count: int = len(TEMPLATES)) -> Tensor:
    """(count, c, h, w): what the pictures start from."""
    return torch.stack([randn(base.latent_shape, generator("noise", i), base.device) for i in range(count)])


def pictures(attack: Attack, artifact: Artifact, guidance: float = GUIDANCE) -> Tensor:
    return attack.generate(artifact, TEMPLATES, noise(attack.base), STEPS, guidance)


def check_taken_out(attack: Attack, faces: Tensor) -> None:
    """A fit to these photos changes the pictures of the base, and `reset` gives it back bit for bit."""
    before = plain(attack.base)
    changed = pictures(attack, attack.fit(faces, fit_context()))
    assert not torch.allclose(changed, before, atol=1e-3)
    attack.reset()
    assert torch.equal(plain(attack.base), before)


def check_independent(attack: Attack, faces: Tensor) -> None:
    """A fit to these photos is the same whoever was fitted before."""
    alone = attack.fit(faces, fit_context())
    pictures(attack, attack.fit(faces.flip(-1), fit_context()))
    again = attack.fit(faces, fit_context())
    assert all(torch.equal(alone[name], again[name]) for name in alone)


def check_saved(attack: Attack, faces: Tensor, file: Path) -> None:
    """What is saved of a fit gives the pictures of the model that was trained."""
    artifact = attack.fit(faces, fit_context())
    in_memory = pictures(attack, artifact)
    save_file({name: value.contiguous() for name, value in artifact.items()}, file)
    attack.reset()
    assert torch.equal(pictures(attack, load_file(file)), in_memory)


def second(attack: Attack, artifact: Artifact) -> Tensor:
    """The second picture, drawn alone."""
    return attack.generate(artifact, TEMPLATES[1:], noise(attack.base)[1:], STEPS, GUIDANCE)


def plain(base: DiffusionModel, subject: str = "person", guidance: float = GUIDANCE) -> Tensor:
    return base.sample(base.condition(prompts(subject)), noise(base), STEPS, guidance)


def stock(base: DiffusionModel, **parts: Any) -> Any:
    """A pipeline of diffusers around the parts of a base, with the sampler of the benchmark."""
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline

    parts |= {
        "vae": base.vae,
        "unet": base.unet,
        "scheduler": DPMSolverMultistepScheduler.from_config(base.scheduler.config),
        "tokenizer": base.tokenizer,
        "text_encoder": base.text_encoder,
    }
    if len(base.tokenizers) == 2:
        parts |= {"tokenizer_2": base.tokenizers[1], "text_encoder_2": base.text_encoders[1]}
        return StableDiffusionXLPipeline(**parts, add_watermarker=False)
    parts |= {"safety_checker": None, "requires_safety_checker": False}
    return StableDiffusionPipeline(**{"feature_extractor": None} | parts)


def call(pipeline: Any, base: DiffusionModel, subject: str = "person", **extra: Any) -> Tensor:
    """The pictures by a pipeline of diffusers."""
    made: Tensor = pipeline(
        prompt=prompts(subject),
        latents=noise(base),
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        output_type="pt",
        **extra,
    ).images
    return made
