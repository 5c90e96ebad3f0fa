"""PhotoMaker, by its authors' own pipeline and identity encoders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

from bench.core.images import to_pixels
from bench.models.diffusion.base import DiffusionModel
from bench.models.faces.insightface import FaceAnalyser, locate_pack
from benchmarks.upstream import Comparison, difference, drawn, grouped, imported, replaced
from tests.support import tiny
from tests.support.drawing import GUIDANCE, STEPS, TEMPLATES, noise, plain

REFERENCE = "TencentARC/PhotoMaker"
MERGE = 0.4
"""Share of the steps with the plain prompt."""
VERSIONS = {
    "v1": (tiny.photomaker, "PhotoMakerIDEncoder"),
    "v2": (tiny.photomaker_v2, "PhotoMakerIDEncoder_CLIPInsightfaceExtendtoken"),
}


def compare(clones: Path, root: Path) -> Iterator[Comparison]:
    """Pictures of both versions, on SDXL, for which they are written."""
    authors = imported(clones / "PhotoMaker", "photomaker.pipeline")
    pack = str(tiny.pack(root / "pack"))
    for version, (write, _) in VERSIONS.items():
        base = tiny.tiny_base(root / version / "base", xl=True)
        folder = write(root / version / "adapter", base.unet)
        more = {"recogniser": pack} if version == "v2" else {}
        ours = drawn(base, "sdxl", "photomaker", weights=str(folder), start_merge=MERGE, **more)
        theirs = _theirs(authors, base, version, folder / "photomaker.safetensors", pack)
        effect = difference(ours, plain(tiny.tiny_base(root / version / "fresh", xl=True)))
        yield Comparison(REFERENCE, f"{version}, sdxl: pictures", difference(ours, theirs), effect)


def _theirs(authors: Any, base: DiffusionModel, version: str, file: Path, pack: str) -> Tensor:
    pipeline = _pipeline(authors, base)
    weights, name = grouped(file), VERSIONS[version][1]
    encoder = _encoder(getattr(authors, name), weights["id_encoder"], file.parent)
    with replaced(authors, **{name: lambda: encoder}):
        pipeline.load_photomaker_adapter(weights, "", "", pm_version=version)
    pipeline.fuse_lora()
    if version == "v1":  # what their pipeline says of both versions is true of the second
        pipeline.num_tokens = 1
    pipeline.id_image_processor = CLIPImageProcessorPil(size=tiny.SIDE, crop_size=tiny.SIDE)
    photo = to_pixels(tiny.person(0, count=1))[0]
    more = {}
    if version == "v2":
        (face,) = FaceAnalyser(locate_pack(pack)).faces(photo)
        more["id_embeds"] = torch.tensor(face.embedding).float()[None]
    drawn = [
        pipeline(
            prompt=template.format(subject="person img"),
            input_id_images=[Image.fromarray(photo)],
            start_merge_step=int(MERGE * STEPS),
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            latents=latents[None],
            output_type="pt",
            **more,
        ).images
        for template, latents in zip(TEMPLATES, noise(base), strict=True)
    ]
    return torch.cat(drawn)


def _pipeline(authors: Any, base: DiffusionModel) -> Any:
    from diffusers import DPMSolverMultistepScheduler

    made = authors.PhotoMakerStableDiffusionXLPipeline(
        vae=base.vae,
        text_encoder=base.text_encoders[0],
        text_encoder_2=base.text_encoders[1],
        tokenizer=base.tokenizers[0],
        tokenizer_2=base.tokenizers[1],
        unet=base.unet,
        scheduler=DPMSolverMultistepScheduler.from_config(base.scheduler.config),
        add_watermarker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def _encoder(kind: Any, weights: dict[str, Tensor], folder: Path) -> Any:
    """Their identity encoder, at the width of these weights: the constructors state that of the published ones."""
    module = __import__(kind.__module__, fromlist=["FuseModule"])
    made = kind.__new__(kind)
    config = CLIPVisionConfig.from_pretrained(folder)
    CLIPVisionModelWithProjection.__init__(made, config)
    second, width = len(weights["visual_projection_2.weight"]), len(weights["fuse_module.layer_norm.weight"])
    made.visual_projection_2 = nn.Linear(config.hidden_size, second, bias=False)
    made.fuse_module = module.FuseModule(width)
    if "qformer_perceiver.token_norm.weight" in weights:
        ratio = len(weights["qformer_perceiver.token_proj.0.weight"]) // tiny.EMBEDDING
        made.num_tokens, made.cross_attention_dim = 2, width
        made.qformer_perceiver = module.QFormerPerceiver(
            tiny.EMBEDDING, width, 2, embedding_dim=config.hidden_size, ratio=ratio
        )
    return made
