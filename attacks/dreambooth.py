"""DreamBooth (Ruiz et al., CVPR 2023): fine-tune the whole denoiser, and the text encoders, on a few photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks import Artifact, FitContext, personalise
from attacks.fine_tuning import FineTuning
from bench.core.presets import fill
from bench.core.ranges import Count, Decay, Rate, Several, Weight


def _preset(
    steps: int,
    learning_rate: float,
    batch: int,
    train_text_encoder: bool,
    prior_weight: float,
    class_count: int,
    weight_decay: float = 1e-2,
) -> dict[str, Any]:
    return dict(locals())


@dataclass
class DreamBooth(FineTuning):
    """DreamBooth: full fine-tuning of the denoiser and the CLIP text encoders.

    Fits cannot share a pass (`stacks`): each trains all weights, so that nothing is left which a batch has in common.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models, "hf_flow" for Stable Diffusion 3 and FLUX, and "antidb"
            for all others. "antidb" is the protocol of Anti-DreamBooth, "hf" and "hf_te" are the recipes of the
            diffusers example (without and with text encoder), "hf_flow" those of its examples for the two others
            (FLUX's with their script's AdamW, where its README takes Prodigy).
        steps: optimiser steps.
        learning_rate: AdamW learning rate, constant.
        batch: photos per step (and as many class pictures, with prior preservation).
        train_text_encoder: train the text encoder too, at the same rate.
        prior_weight: weight of the prior-preservation loss; 0 leaves it out.
        class_count: class pictures for the prior.
        weight_decay: AdamW weight decay.
        decoupled: see `attacks.fine_tuning`.
    """

    preset: str = "auto"
    steps: Count | None = None
    learning_rate: Rate | None = None
    batch: Count | None = None
    train_text_encoder: bool | None = None
    prior_weight: Weight | None = None
    class_count: Several | None = None
    weight_decay: Decay | None = None

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "antidb": _preset(1000, 5e-7, 2, True, 1.0, 200),
        "hf": _preset(400, 5e-6, 4, False, 0.0, 0),
        "hf_te": _preset(800, 2e-6, 4, True, 1.0, 200),
        "hf_flow": _preset(500, 1e-4, 4, False, 0.0, 0, 1e-4),
        "facelet": _preset(60, 4e-4, 8, True, 0.0, 0),
    }

    def resolved(self, family: str) -> DreamBooth:
        own = {"facelet": "facelet", "sd3": "hf_flow", "flux": "hf_flow"}
        return fill(self, self.presets, own.get(family, "antidb")).contrasted(family)

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        self.base.restore()
        weights = self.base.parameters(text_encoder=bool(self.train_text_encoder))
        personalise(self.base, weights, photos, self.recipe, context)
        return {f"{part}.{key}": value.detach().clone() for part, key, value in self._trained()}

    def load(self, artifact: Artifact) -> None:
        self.base.restore()
        with torch.no_grad():
            for part, key, value in self._trained():
                value.copy_(artifact[f"{part}.{key}"])

    def _trained(self) -> list[tuple[str, str, Tensor]]:
        return [
            (part, key, value)
            for part, module in self.base.tunable.items()
            if part == self.base.part or self.train_text_encoder
            for key, value in module.named_parameters()
        ]
