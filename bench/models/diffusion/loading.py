"""From verified files to a `DiffusionModel`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bench.config.compute import Computing
from bench.core.errors import BenchError
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.sdxl import SdxlModel
from bench.models.weights.checkpoint import Checkpoint

PLAIN = Computing()


def load_base(
    checkpoint: Checkpoint, device: str | torch.device = "cpu", computing: Computing = PLAIN
) -> DiffusionModel:
    """Load a diffusers folder of a Stable Diffusion or SDXL type, in fp32 master weights.

    Args:
        checkpoint: the verified files, from `bench.models.weights.checkpoint.locate`.
        device: where to run.
        computing: how; by default in fp32.

    Raises:
        BenchError: a weight file cannot be read.
    """
    import transformers.utils.logging

    # Before diffusers is imported: it pulls in image processors, which warn that torchvision is not there.
    transformers.utils.logging.set_verbosity_error()
    import diffusers.utils.logging
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    diffusers.utils.logging.disable_progress_bar()  # the run has a progress display of its own
    transformers.utils.logging.disable_progress_bar()
    device, path = torch.device(device), checkpoint.path
    xl = (path / "text_encoder_2").is_dir()
    parts: dict[str, Any] = {}
    try:
        for name, kind in (("vae", AutoencoderKL), ("unet", UNet2DConditionModel)):
            parts[name] = kind.from_pretrained(path, subfolder=name, dtype=torch.float32).to(device)
        for suffix, kind in (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection))[: 2 if xl else 1]:
            tokenizer = CLIPTokenizer.from_pretrained(path, subfolder=f"tokenizer{suffix}")
            text_encoder = _text_encoder(path, f"text_encoder{suffix}", kind, tokenizer)
            parts |= {f"tokenizer{suffix}": tokenizer, f"text_encoder{suffix}": text_encoder.to(device)}
        parts["scheduler"] = DDPMScheduler.from_pretrained(path, subfolder="scheduler")
    except (OSError, ValueError, RuntimeError) as error:
        raise BenchError(f"The model in {path} does not load: {error}", checkpoint.fix) from error
    base = (SdxlModel if xl else DiffusionModel)(checkpoint, parts, device, computing)
    base.remember()
    return base


def _text_encoder(path: Path, part: str, kind: Any, tokenizer: Any) -> Any:
    """A CLIP text encoder that finds the end of a prompt by its token.

    Old configurations say that it is token 2. transformers then takes the highest id for the end, which is a word that
    Textual Inversion has added (diffusers issue 10754).
    """
    config = kind.config_class.from_pretrained(path, subfolder=part)
    config.eos_token_id = tokenizer.eos_token_id
    return kind.from_pretrained(path, subfolder=part, config=config, dtype=torch.float32)
