"""InstantID, by the pipeline of its authors among the community's examples of diffusers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bench.core.images import to_pixels
from bench.models.adapters.instantid import draw_points
from bench.models.diffusion.base import DiffusionModel
from bench.models.faces.insightface import FaceAnalyser, locate_pack
from benchmarks.upstream import SCALE, Comparison, difference, drawn, grouped, imported, replaced
from tests.support import tiny
from tests.support.drawing import GUIDANCE, STEPS, noise, plain, prompts

REFERENCE = "diffusers/examples/community"


def compare(clones: Path, root: Path) -> Iterator[Comparison]:
    """Pictures on SDXL, for which it is written. Key points are drawn by us: our drawing differs, as it says."""
    authors = imported(clones / "diffusers/examples/community", "pipeline_stable_diffusion_xl_instantid")
    pack = str(tiny.pack(root / "pack"))
    base = tiny.tiny_base(root / "base", xl=True)
    folder = tiny.instantid(root / "adapter", base.unet)
    scales = {"ip_scale": SCALE, "controlnet_scale": SCALE}
    made = drawn(base, "sdxl", "instantid", weights=str(folder), recogniser=pack, **scales)
    with replaced(authors, Resampler=_sized(authors.Resampler)):
        others = _theirs(authors, base, folder, pack, root / "ip-adapter.bin")
    effect = difference(made, plain(tiny.tiny_base(root / "fresh", xl=True)))
    yield Comparison(REFERENCE, "instantid, sdxl: pictures", difference(made, others), effect)


def _theirs(authors: Any, base: DiffusionModel, folder: Path, pack: str, pickle: Path) -> Tensor:
    from diffusers import ControlNetModel, DPMSolverMultistepScheduler

    torch.save(grouped(folder / "ip-adapter.safetensors"), pickle)
    pipeline = authors.StableDiffusionXLInstantIDPipeline(
        vae=base.vae,
        text_encoder=base.text_encoders[0],
        text_encoder_2=base.text_encoders[1],
        tokenizer=base.tokenizers[0],
        tokenizer_2=base.tokenizers[1],
        unet=base.unet,
        controlnet=ControlNetModel.from_pretrained(folder / "ControlNetModel"),
        scheduler=DPMSolverMultistepScheduler.from_config(base.scheduler.config),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.check_inputs = lambda *_, **__: None  # diffusers' own has other arguments by now
    pipeline.load_ip_adapter_instantid(str(pickle), scale=SCALE)
    photo = to_pixels(tiny.person(0, count=1))[0]
    (face,) = FaceAnalyser(locate_pack(pack)).faces(photo)
    pictures = [
        pipeline(
            prompt=prompt,
            image_embeds=face.embedding,
            image=Image.fromarray(draw_points(face.points / tiny.SIDE, tiny.SIDE)),
            controlnet_conditioning_scale=SCALE,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            latents=latents[None],
            output_type="pt",
        ).images
        for prompt, latents in zip(prompts(), noise(base), strict=True)
    ]
    return torch.cat(pictures)


def _sized(kind: Any) -> Any:
    """Their resampler, at the tiny adapter's width instead of the published one's."""
    return lambda **named: kind(**named | {"dim": 64, "heads": 1})
