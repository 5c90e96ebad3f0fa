"""Stage 4: the personalised model answers the prompts, under noise of each person's own, the same for all defenses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from attacks import Attack
from bench.config.schema import ModelSettings, Protocol
from bench.core import numbered
from bench.core.code_version import module_version
from bench.core.deferred import Tensor, torch
from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.images import to_pixels
from bench.core.seeding import derive
from bench.core.types import Pixels
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.batching import in_batches
from bench.models.diffusion.devices import randn
from bench.runner.stages.fit import ARTIFACT

BATCH = 16
"""Pictures per sampler call where memory allows; fixed, since low-precision kernels differ by batch shape."""


def key(fitted: str, model: ModelSettings, protocol: Protocol, person: str, seed: int) -> str:
    """Hash of the fit's key, the sampler, the prompts and the seed."""
    sampler = [model.steps, model.guidance]
    return hash_of(
        [fitted, sampler, protocol.prompts, protocol.images_per_prompt, person, seed, module_version(__name__)]
    )


def noise_seeds(protocol: Protocol, person: str, seed: int) -> list[int]:
    """One seed per picture, of (seed, person, prompt index, image index): never of the defense.

    Under one noise for all people a lucky draw would be lucky for everybody, and people no independent sample.
    """
    pairs = [(p, i) for p in range(len(protocol.prompts)) for i in range(protocol.images_per_prompt)]
    return [derive(seed, "generate", person, p, i) for p, i in pairs]


def generate(
    folder: Path,
    fitted: Path,
    attack: Attack,
    model: ModelSettings,
    protocol: Protocol,
    person: str,
    seed: int,
) -> None:
    """Write all pictures of one cell, by an attack that has its base, as PNGs, prompt by prompt.

    Raises:
        BenchError: a picture is black or not finite; that is a fault of the run and never counts as protection.
    """
    from safetensors.torch import load_file

    base = attack.base
    artifact = {name: tensor.to(base.device) for name, tensor in load_file(fitted / ARTIFACT).items()}
    templates = protocol.asked
    noise = torch.stack([_noise(s, base) for s in noise_seeds(protocol, person, seed)])

    def some(part: slice) -> list[Pixels]:
        return to_pixels(attack.generate(artifact, templates[part], noise[part], model.steps, model.guidance))

    pictures = in_batches(len(noise), BATCH, some)
    black = [index for index, picture in enumerate(pictures) if not np.any(picture)]
    if black:
        raise BenchError(f"Generated picture {black[0]} is entirely black.", "Use model.precision=fp32.")
    numbered.save(folder, pictures)


def _noise(seed: int, base: DiffusionModel) -> Tensor:
    return randn(base.latent_shape, torch.Generator().manual_seed(seed), base.device)
