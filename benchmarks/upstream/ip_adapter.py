"""IP-Adapter, by Tencent's own attention processors, projections and generating classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bench.core.images import to_pixels
from bench.models.diffusion.base import DiffusionModel
from bench.models.faces.alignment import align
from bench.models.faces.insightface import FaceAnalyser, locate_pack
from benchmarks.upstream import SCALE, Comparison, FullPrecision, difference, drawn, grouped, imported, replaced
from tests.support import tiny
from tests.support.drawing import GUIDANCE, STEPS, noise, plain, prompts, stock

REFERENCE = "tencent-ailab/IP-Adapter"
PLAIN = {"base": "IPAdapter", "plus": "IPAdapterPlus", "plus-face": "IPAdapterPlus", "full-face": "IPAdapterFull"}
"""Variant -> class; the rest of the name, XL, is added where SDXL has a class of its own."""
FACES = {"faceid": "IPAdapterFaceID", "faceid-plus": "IPAdapterFaceIDPlus", "faceid-plusv2": "IPAdapterFaceIDPlus"}
TOKENS = {"base": 4, "plus": 16, "plus-face": 16, "full-face": (tiny.SIDE // 8) ** 2 + 1}
"""Image tokens; FaceID has four."""


def compare(clones: Path, root: Path) -> Iterator[Comparison]:
    """Pictures of every variant on both types of models."""
    whole = imported(clones / "IP-Adapter", "ip_adapter.ip_adapter")
    faceid = imported(clones / "IP-Adapter", "ip_adapter.ip_adapter_faceid")
    pack = str(tiny.pack(root / "pack"))
    for family in ("sd", "sdxl"):
        for variant, write in tiny.IP_ADAPTERS.items():
            if (family, variant) == ("sdxl", "full-face"):  # neither published nor written
                continue
            base = tiny.tiny_base(root / family / variant / "base", xl=family == "sdxl")
            folder = write(root / family / variant / "adapter", base.unet)
            more = {} if variant in ("base", "plus") else {"recogniser": pack}
            ours = drawn(base, family, "ip_adapter", variant=variant, weights=str(folder), scale=SCALE, **more)
            (file,) = folder.glob("*.safetensors")
            with replaced(whole, torch=FullPrecision()), replaced(faceid, torch=FullPrecision()):
                theirs = _theirs(whole, faceid, base, variant, file, pack)
            effect = difference(ours, plain(tiny.tiny_base(root / family / variant / "fresh", xl=family == "sdxl")))
            yield Comparison(REFERENCE, f"{variant}, {family}: pictures", difference(ours, theirs), effect)


def _theirs(whole: ModuleType, faceid: ModuleType, base: DiffusionModel, variant: str, file: Path, pack: str) -> Tensor:
    xl = len(base.tokenizers) == 2
    pipeline = stock(base)
    pipeline.set_progress_bar_config(disable=True)
    _say_nothing_against(pipeline)
    photo = to_pixels(tiny.person(0, count=1))[0]
    (face,) = FaceAnalyser(locate_pack(pack)).faces(photo)
    embedding = torch.tensor(face.normed).float().repeat(2, 1)
    tower = str(file.parent / "image_encoder")
    shown: dict[str, Any]
    if variant in FACES:
        kind = getattr(faceid, FACES[variant] + ("XL" if xl else ""))
        places = (tower,) if "plus" in variant else ()
        made = kind(pipeline, *places, str(file), "cpu", lora_rank=4, torch_dtype=torch.float32)
        shown = {"faceid_embeds": embedding}
        if "plus" in variant:
            shown |= {"face_image": _cropped(face.points), "shortcut": variant == "faceid-plusv2", "s_scale": 1.0}
    else:
        kind = getattr(whole, PLAIN[variant] + ("XL" if xl else ""))
        with replaced(whole, Resampler=_sized(whole.Resampler, grouped(file)["image_proj"])):
            made = kind(pipeline, tower, str(file), "cpu", num_tokens=TOKENS[variant])
        shown = {"pil_image": _cropped(face.points) if "face" in variant else [Image.fromarray(photo)] * 2}
    if variant != "faceid":
        from transformers import CLIPImageProcessorPil

        made.clip_image_processor = CLIPImageProcessorPil(size=tiny.SIDE, crop_size=tiny.SIDE)
    drawn: Tensor = made.generate(
        prompt=prompts(),
        scale=SCALE,
        num_samples=1,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        latents=noise(base),
        output_type="pt",
        **shown,
    )
    return drawn


def _cropped(points: Any) -> list[Any]:
    """The face of the photo for both prompts, aligned by our function, whose own oracle is in the tests."""
    aligned = align(tiny.person(0, count=1), torch.tensor(points).float()[None], 224)
    return [Image.fromarray(to_pixels(aligned)[0])] * 2


def _say_nothing_against(pipeline: Any) -> None:
    """Theirs always has a negative prompt; ours, like the stock pipelines, has none, which for SDXL is not the same."""
    encode = pipeline.encode_prompt
    empty = {"negative_prompt": None}
    pipeline.encode_prompt = lambda *given, **named: encode(
        *given, **named | (empty if "negative_prompt" in named else {})
    )


def _sized(kind: Any, weights: dict[str, Tensor]) -> Any:
    """Their resampler, at the width of these weights instead of the published one's."""
    if "latents" not in weights:
        return kind
    width, inner = weights["latents"].shape[-1], len(weights["layers.0.0.to_q.weight"])
    return lambda **named: kind(**named | {"dim": width, "heads": inner // 64})
