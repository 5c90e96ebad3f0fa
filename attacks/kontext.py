"""FLUX.1 Kontext (Black Forest Labs 2025, arXiv 2506.15742): one photo and an instruction, nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from attacks import Artifact, Attack, FitContext
from bench.core.deferred import Tensor, torch
from bench.core.images import to_pixels, to_tensor


@dataclass
class Kontext(Attack):
    """FLUX.1 Kontext: the photo's latents stand beside the picture to come, as tokens that it may look at.

    The stock pipeline, on a model that has learned this (`model=kontext`; another of FLUX's type computes, and
    does not know what to do with the photo). Of several photos it takes the first. The prompts are those of the
    protocol, which as instructions speak of "this person", as in DeContext's code (arXiv 2512.16625).
    """

    families: ClassVar[tuple[str, ...]] = ("flux",)
    reserved: ClassVar[tuple[str, ...]] = ()

    @property
    def subject(self) -> str:
        return "this person"

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        """Encode the first photo: {"photo": (1, c, h, w) latents}; at 8 bits, as an attacker would find it."""
        with torch.no_grad():
            return {"photo": self.base.encode(to_tensor(to_pixels(photos[:1])).to(photos.device))}

    def load(self, artifact: Artifact) -> None:
        self.base.restore()

    def generate(
        self, artifact: Artifact, templates: Sequence[str], noise: Tensor, steps: int, guidance: float
    ) -> Tensor:
        self.load(artifact)
        with torch.no_grad():
            condition = self.base.condition([template.format(subject=self.subject) for template in templates])
            # The pipeline would make both of a million pixels, which is what the published model was trained on.
            told: dict[str, Any] = {"max_area": self.base.side**2, "_auto_resize": False}
            return self.base.sample(
                condition, noise, steps, guidance, self._pipeline(), image=artifact["photo"], **told
            )

    def _pipeline(self) -> Any:
        from diffusers import FluxKontextPipeline

        made = FluxKontextPipeline(**self.base.pipeline().components)
        made.set_progress_bar_config(disable=True)
        return made
