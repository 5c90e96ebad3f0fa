"""From verified files to a `DiffusionModel`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.config.compute import Computing
from bench.core.errors import BenchError
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.flux import FluxModel
from bench.models.diffusion.sd3 import Sd3Model
from bench.models.diffusion.sdxl import SdxlModel
from bench.models.diffusion.t5 import T5
from bench.models.diffusion.unet import UNetModel
from bench.models.weights.checkpoint import Checkpoint

PLAIN = Computing()


def load_base(
    checkpoint: Checkpoint, device: str | torch.device = "cpu", computing: Computing = PLAIN
) -> DiffusionModel:
    """Load a diffusers folder of a type that is known, in fp32 master weights.

    Args:
        checkpoint: the verified files, from `bench.models.weights.checkpoint.locate`.
        device: where to run.
        computing: how; by default in fp32.

    Raises:
        BenchError: a weight file cannot be read, or the model is of another type.
    """
    import transformers.utils.logging

    # Before diffusers is imported: it pulls in image processors, which warn that torchvision is not there.
    transformers.utils.logging.set_verbosity_error()
    import diffusers.utils.logging

    diffusers.utils.logging.disable_progress_bar()  # the run has a progress display of its own
    transformers.utils.logging.disable_progress_bar()
    device, path, architecture = torch.device(device), checkpoint.path, checkpoint.architecture
    if architecture not in PARTS:
        raise BenchError(
            f"The model in {path} is a {architecture}, which is not supported.", f"Supported are {', '.join(PARTS)}."
        )
    try:
        kind, parts = PARTS[architecture](path, device, computing)
    except (OSError, ValueError, RuntimeError) as error:
        raise BenchError(f"The model in {path} does not load: {error}", checkpoint.fix) from error
    base = kind(checkpoint, parts, device, computing)
    base.remember()
    return base


Loaded = tuple[type[DiffusionModel], dict[str, Any]]
"""The type of a model, and its parts by name."""


def _with_unet(path: Path, device: torch.device, _: Computing) -> Loaded:
    from diffusers import DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    xl = (path / "text_encoder_2").is_dir()
    parts = _networks(path, device, unet=UNet2DConditionModel)
    parts |= _clip(path, "", CLIPTextModel, device)
    if xl:
        parts |= _clip(path, "_2", CLIPTextModelWithProjection, device)
    parts["scheduler"] = DDPMScheduler.from_pretrained(path, subfolder="scheduler")
    return SdxlModel if xl else UNetModel, parts


def _sd3(path: Path, device: torch.device, computing: Computing) -> Loaded:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
    from transformers import CLIPTextModelWithProjection

    parts = _networks(path, device, transformer=SD3Transformer2DModel)
    for suffix in ("", "_2"):
        parts |= _clip(path, suffix, CLIPTextModelWithProjection, device)
    if (path / "text_encoder_3").is_dir():
        parts["t5"] = _t5(path, "_3", device, computing)
    parts["scheduler"] = FlowMatchEulerDiscreteScheduler.from_pretrained(path, subfolder="scheduler")
    return Sd3Model, parts


def _flux(path: Path, device: torch.device, computing: Computing) -> Loaded:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from transformers import CLIPTextModel

    parts = _networks(path, device, transformer=FluxTransformer2DModel)
    parts |= _clip(path, "", CLIPTextModel, device)
    parts["t5"] = _t5(path, "_2", device, computing)
    parts["scheduler"] = FlowMatchEulerDiscreteScheduler.from_pretrained(path, subfolder="scheduler")
    return FluxModel, parts


PARTS: dict[str, Callable[[Path, torch.device, Computing], Loaded]] = {
    "UNet2DConditionModel": _with_unet,
    "SD3Transformer2DModel": _sd3,
    "FluxTransformer2DModel": _flux,
}
"""What denoises -> how the model around it is loaded."""


def _networks(path: Path, device: torch.device, **denoiser: Any) -> dict[str, Any]:
    """The VAE and the denoiser, whose class is given by its name."""
    from diffusers import AutoencoderKL

    kinds = {"vae": AutoencoderKL} | denoiser
    return {
        name: kind.from_pretrained(path, subfolder=name, dtype=torch.float32).to(device) for name, kind in kinds.items()
    }


def _clip(path: Path, suffix: str, kind: Any, device: torch.device) -> dict[str, Any]:
    """A CLIP text encoder and its tokenizer."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(path, subfolder=f"tokenizer{suffix}")
    text_encoder = _text_encoder(path, f"text_encoder{suffix}", kind, tokenizer)
    return {f"tokenizer{suffix}": tokenizer, f"text_encoder{suffix}": text_encoder.to(device)}


def _t5(path: Path, suffix: str, device: torch.device, computing: Computing) -> T5:
    """T5 and its tokenizer. It stays frozen, so it has no master weights, and is kept as precisely as it computes."""
    from transformers import T5EncoderModel, T5TokenizerFast

    dtype = torch.bfloat16 if computing.precision == "bf16" else torch.float32
    encoder = T5EncoderModel.from_pretrained(path, subfolder=f"text_encoder{suffix}", dtype=dtype).to(device)
    tokenizer = T5TokenizerFast.from_pretrained(path, subfolder=f"tokenizer{suffix}")
    return T5(tokenizer, encoder.requires_grad_(False).eval())


def _text_encoder(path: Path, part: str, kind: Any, tokenizer: Any) -> Any:
    """A CLIP text encoder that finds the end of a prompt by its token.

    Old configurations say that it is token 2. transformers then takes the highest id for the end, which is a word that
    Textual Inversion has added (diffusers issue 10754).
    """
    config = kind.config_class.from_pretrained(path, subfolder=part)
    config.eos_token_id = tokenizer.eos_token_id
    return kind.from_pretrained(path, subfolder=part, config=config, dtype=torch.float32)
