"""PhotoMaker (Li et al., CVPR 2024), versions 1 and 2: identity tokens are fused into the prompt's class word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from attacks import Artifact, FitContext
from attacks.zero_shot import RECOGNISER, ZeroShot, find_faces, recogniser_pack
from bench.core.errors import BenchError
from bench.core.ranges import Scale, Share
from bench.models.adapters.clip import clip_pixels
from bench.models.adapters.locate import Adapter
from bench.models.diffusion.condition import Condition

if TYPE_CHECKING:
    from bench.models.adapters.photomaker import PhotoMakerEncoder

CLASS_WORD, TRIGGER = "person", "img"
ADAPTER = "photomaker"
LATEST_START = 30
"""Steps after which the identity comes in at the latest, whatever the share (the authors' demo has the same limit)."""


@dataclass
class PhotoMaker(ZeroShot):
    """PhotoMaker: photos become words of the prompt, nothing is trained.

    In the prompt "a photo of person img", the trigger `img` marks the class word before it. The class word is repeated
    once per token (a photo has one in version 1, two in version 2) and each copy is fused with one; the trigger itself
    is never encoded. The first steps are denoised with the plain prompt, the others with the fused one. The version is
    read from the weights. There are published ones for SDXL only: on another base this is the same construction with
    other weights, and results should say so.

    Attributes:
        start_merge: share of the steps after which the identity comes in; lower is more alike, 1 leaves it out.
        lora_scale: weight of the LoRA that the weights bring along.
        recogniser: pack for version 2: one that comes with the package, or a folder (official weights: buffalo_l).
        weights: see `ZeroShot`; "sdxl-v2" are the published ones of version 2.
        references: see `ZeroShot`.
    """

    start_merge: Share = 0.2
    lora_scale: Scale = 1.0
    recogniser: str | None = None

    reserved: ClassVar[tuple[str, ...]] = (TRIGGER,)

    @property
    def adapter_name(self) -> str:
        return "photomaker"

    @property
    def shipped(self) -> dict[str, Any]:
        return super().shipped | {"recogniser": RECOGNISER}

    @property
    def subject(self) -> str:
        return f"{CLASS_WORD} {TRIGGER}"

    def text(self, template: str) -> str:
        return template.format(subject=CLASS_WORD)

    def check_prompt(self, template: str) -> None:
        super().check_prompt(template)
        before, _, after = template.partition("{subject}")
        if "{subject}" in after or before[-1:].isalnum() or after[:1].isalnum():
            raise BenchError(
                f"PhotoMaker cannot use the prompt {template!r}.", "Write {subject} once, and as a word of its own."
            )

    def longest(self, template: str, photos: int) -> str:
        count = min(photos, self.references or photos) * (2 if self.weights == "sdxl-v2" else 1)
        return template.format(subject=" ".join([CLASS_WORD] * max(1, count)))

    @property
    def recogniser_pack(self) -> str | None:
        return "buffalo_l" if self.weights == "sdxl-v2" else None

    @torch.no_grad()
    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        """Embed the photos: {"tokens": (images, or twice as many, width)}."""
        encoder, shown, faces = self._encoder, photos[: self.references], None
        if encoder.needs_faces:
            found = find_faces(recogniser_pack(self.recogniser), photos, self.references)
            shown = photos[list(found)]
            faces = torch.stack([torch.from_numpy(face.embedding) for face in found.values()]).float().to(photos.device)
        return {"tokens": encoder.tokens(clip_pixels(shown, encoder.config.image_size), faces)}

    def attach(self, adapter: Adapter) -> None:
        self._pipeline.load_lora_weights(adapter.tensors()["lora_weights"], adapter_name=ADAPTER)
        self._pipeline.set_adapters([ADAPTER], adapter_weights=[self.lora_scale])

    def extras(self, artifact: Artifact, templates: Sequence[str], steps: int, guidance: float) -> dict[str, Any]:
        told = [self.fused(artifact["tokens"], templates)]
        if guidance > 1:
            told.insert(0, self.base.unconditional().expand(len(templates)))
        merged = {"prompt_embeds": torch.cat([condition.hidden for condition in told])}
        pooled = [condition.pooled for condition in told if condition.pooled is not None]
        if pooled:
            merged["add_text_embeds"] = torch.cat(pooled)
        last_plain = min(int(self.start_merge * steps), LATEST_START)

        def swap(_pipeline: Any, step: int, _timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return dict(merged) if step == last_plain else tensors

        return {"callback_on_step_end": swap, "callback_on_step_end_tensor_inputs": list(merged)}

    def fused(self, tokens: Tensor, templates: Sequence[str]) -> Condition:
        """Text conditions of n prompts with one person's tokens (tokens, width) in the class word's place.

        Raises:
            BenchError: the repeated class word does not fit into the prompt.
        """
        class_words = " ".join([CLASS_WORD] * len(tokens))
        prompts = [template.format(subject=class_words) for template in templates]
        told = self.base.condition(prompts)
        hidden = told.hidden
        encoder = self._encoder
        for row, (template, prompt) in enumerate(zip(templates, prompts, strict=True)):
            places = self._places(template, prompt, len(tokens))
            hidden[row, places] = encoder.fuse(hidden[row, places], tokens)
        return Condition(hidden, told.pooled)

    def _places(self, template: str, prompt: str, count: int) -> slice:
        """Where the repeated class word is among a prompt's tokens."""
        tokenizer = self.base.tokenizer
        before, _, after = template.partition("{subject}")
        start = 1 + len(tokenizer(before, add_special_tokens=False).input_ids)  # 1: the start token
        places = slice(start, start + count)
        word = tokenizer(CLASS_WORD, add_special_tokens=False).input_ids
        if "{subject}" in after or tokenizer(prompt, truncation=True).input_ids[places] != word * count:
            raise BenchError(
                f"PhotoMaker cannot put {count} tokens of photos into the prompt {template!r}.",
                "Use fewer photos (attack.references=1) or a shorter prompt, with {subject} once and between spaces.",
            )
        return places

    @property
    def _encoder(self) -> PhotoMakerEncoder:
        from bench.models.adapters.photomaker import load_encoder

        width = int(self.base.unet.config.cross_attention_dim)
        return load_encoder(self.adapter, width, str(self.base.device))
