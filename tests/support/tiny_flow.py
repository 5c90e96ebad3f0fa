"""Tiny flow-matching transformers with random weights, in the official layout: everything real but the size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.config.compute import Computing
from bench.models.diffusion.flow import FlowModel
from bench.models.diffusion.flux import FluxModel
from bench.models.diffusion.loading import PLAIN, load_base
from bench.models.weights.checkpoint import locate
from bench.models.weights.files import ZOO
from tests.support.drawing import GUIDANCE, STEPS, noise, prompts
from tests.support.tiny import SIDE, WIDTH, autoencoder, text_encoder

TOKENS = 77
"""That CLIP reads, as many as the published ones: diffusers' training scripts know no others."""
NO_T5 = {"text_encoder_3": None, "tokenizer_3": None}


def loaded(folder: Path, computing: Computing = PLAIN) -> FlowModel:
    """The model in a folder."""
    base = load_base(locate("tiny", str(folder)), computing=computing)
    assert isinstance(base, FlowModel)
    return base


def sd3(folder: Path, t5: bool = True) -> FlowModel:
    """A model of 32 px of the type of Stable Diffusion 3.5 medium, whose first layer attends twice; or without T5."""
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=SIDE // 2,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=WIDTH,
        pos_embed_max_size=24,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    parts = {"transformer": _listening(transformer), "vae": autoencoder(16, 32, latents=16)}
    parts |= {f"text_encoder{suffix}": text_encoder(WIDTH // 2, WIDTH // 2, TOKENS) for suffix in ("", "_2")}
    parts |= {"text_encoder_3": text_encoder_t5()} if t5 else {}
    return _written(folder, StableDiffusion3Pipeline, parts, {} if t5 else NO_T5, shift=3.0)


def flux(folder: Path) -> FlowModel:
    """A model of 32 px of the type of FLUX.1 dev: a layer of two streams, one of a single, guidance embedded."""
    from diffusers import FluxPipeline, FluxTransformer2DModel

    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH // 2,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )
    vae = autoencoder(16, 32, latents=16)
    vae.register_to_config(sample_size=SIDE)
    parts = {"transformer": _listening(transformer), "vae": vae}
    parts |= {"text_encoder": text_encoder(WIDTH // 2, positions=TOKENS), "text_encoder_2": text_encoder_t5()}
    return _written(folder, FluxPipeline, parts, {}, shift=3.0, use_dynamic_shifting=True)


def _listening(transformer: Any) -> Any:
    """A fresh one predicts zero, and hardly listens to its prompt."""
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if name.startswith("proj_out") or "context_embedder" in name or name.startswith("norm_out"):
                weight.copy_(torch.randn(weight.shape) / weight.shape[-1] ** 0.5)
    return transformer


def _written(
    folder: Path, pipeline: Any, parts: dict[str, Any], missing: dict[str, None], **schedule: Any
) -> FlowModel:
    """Parts of a flow-matching model in the official layout, with tokenizers and a scheduler, loaded again."""
    from diffusers import FlowMatchEulerDiscreteScheduler
    from transformers import CLIPTokenizer

    for name in sorted(name for name in parts if name.startswith("text_encoder")):
        suffix = name.removeprefix("text_encoder")
        clip = parts[name].config.model_type.startswith("clip")
        parts[f"tokenizer{suffix}"] = (
            CLIPTokenizer.from_pretrained(ZOO / "facelet-1" / "tokenizer", model_max_length=TOKENS)
            if clip
            else t5_words()
        )
    made = pipeline(scheduler=FlowMatchEulerDiscreteScheduler(**schedule), **parts, **missing)
    made.save_pretrained(folder)
    return loaded(folder)


def text_encoder_t5() -> Any:
    """A T5 as wide as the text states, for the tokenizer of `t5_words`."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(vocab_size=300, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=2, num_heads=4))


def t5_words() -> Any:
    """A tokenizer of T5's kind, a token for each of a few letters."""
    from tokenizers import Tokenizer
    from tokenizers.models import Unigram
    from tokenizers.pre_tokenizers import Metaspace
    from tokenizers.processors import TemplateProcessing
    from transformers import T5TokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *map(chr, range(ord("a"), ord("z") + 1))]
    rust = Tokenizer(Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    rust.pre_tokenizer = Metaspace()
    rust.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return T5TokenizerFast(tokenizer_object=rust, extra_ids=0)


def published(folder: Path, base: FlowModel) -> Any:
    """The pipeline of a folder, by diffusers alone."""
    from diffusers import DiffusionPipeline

    made = DiffusionPipeline.from_pretrained(folder, **({} if base.t5 else NO_T5))
    made.set_progress_bar_config(disable=True)
    return made


def called(pipeline: Any, base: FlowModel, subject: str = "person", **extra: Any) -> Tensor:
    """The few pictures of `tests.support.drawing`, by a published pipeline."""
    start: dict[str, Any] = {"latents": noise(base)}
    if isinstance(base, FluxModel):
        start = {"latents": pipeline._pack_latents(noise(base), *noise(base).shape)}
        start |= {"height": base.side, "width": base.side}
    made: Tensor = pipeline(
        prompt=prompts(subject), num_inference_steps=STEPS, guidance_scale=GUIDANCE, output_type="pt", **start | extra
    ).images
    return made
