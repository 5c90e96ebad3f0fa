"""DreamBooth-LoRA: low-rank updates of the attention projections (Hu et al. 2022), everything else frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks import Artifact, Attack, FitContext
from attacks.training import Recipe, finetune
from bench.presets import fill

UNET_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")
ADAPTER = "cloakbench"


def _preset(
    rank: int,
    steps: int,
    learning_rate: float,
    batch: int,
    train_text_encoder: bool,
    prior_weight: float,
    class_count: int,
) -> dict[str, Any]:
    return dict(locals())


@dataclass
class Lora(Attack):
    """LoRA: low-rank fine-tuning of the attention layers.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "hf" for all others. "hf" is the recipe of the
            diffusers example, "antidb" that of Anti-DreamBooth's evaluation with LoRA in place of full fine-tuning.
        rank: rank of the updates; alpha equals it.
        steps: optimiser steps.
        learning_rate: AdamW learning rate, constant.
        batch: photos per step (and as many class pictures, with prior preservation).
        train_text_encoder: adapt the text encoder's attention too.
        prior_weight: weight of the prior-preservation loss; 0 leaves it out.
        class_count: class pictures for the prior.
        weight_decay: AdamW weight decay.
        scale: strength of the update at generation; 0 is the base model.
    """

    preset: str = "auto"
    rank: int | None = None
    steps: int | None = None
    learning_rate: float | None = None
    batch: int | None = None
    train_text_encoder: bool | None = None
    prior_weight: float | None = None
    class_count: int | None = None
    weight_decay: float = 1e-2
    scale: float = 1.0

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "antidb": _preset(4, 1000, 1e-4, 2, True, 1.0, 200),
        "hf": _preset(4, 500, 1e-4, 1, False, 0.0, 0),
        "facelet": _preset(16, 150, 2e-3, 8, True, 0.0, 0),
    }

    def resolved(self, family: str) -> Lora:
        return fill(self, self.presets, "facelet" if family == "facelet" else "hf")

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        assert self.steps and self.learning_rate and self.batch and self.prior_weight is not None  # see `resolved`
        recipe = Recipe(
            self.steps, self.learning_rate, self.batch, self.weight_decay, prior_weight=self.prior_weight
        )
        self.reset()
        with torch.no_grad():
            posterior = self.base.posterior(photos)
            strangers = self.base.posterior(context.class_photos(self.base, self.class_count)) if self.class_count else None
        weights = self._attach(context.generator)
        finetune(self.base, weights, posterior, recipe, context.generator, strangers, context.progress)
        return {f"{part}.{key}": value.detach().clone() for part, key, value in self._adapters()}

    def load(self, artifact: Artifact) -> None:
        self.reset()
        self._attach(torch.Generator().manual_seed(0))
        with torch.no_grad():
            for part, key, value in self._adapters():
                value.copy_(artifact[f"{part}.{key}"])
        for module in self._adapted().values():
            for layer in module.modules():
                if hasattr(layer, "lora_A") and hasattr(layer, "set_scale"):
                    layer.set_scale(ADAPTER, self.scale)

    def reset(self) -> None:
        for module in (self.base.unet, self.base.text_encoder):
            if ADAPTER in getattr(module, "peft_config", {}):
                _detach(module)
        self.base.restore()

    def _attach(self, generator: torch.Generator) -> list[torch.nn.Parameter]:
        """Insert fresh adapters: A is normal with variance 1/rank ("gaussian" of peft), B is zero."""
        from peft import LoraConfig, inject_adapter_in_model

        assert self.rank
        for part, module in self._adapted().items():
            targets = list(UNET_TARGETS if part == "unet" else TEXT_TARGETS)
            config = LoraConfig(r=self.rank, lora_alpha=self.rank, target_modules=targets)
            inject_adapter_in_model(config, module, adapter_name=ADAPTER)
            module.peft_config = {ADAPTER: config}
        with torch.no_grad():
            for _, key, value in self._adapters():
                if "lora_A" in key:
                    value.copy_(torch.randn(value.shape, generator=generator) / self.rank)
                else:
                    value.zero_()
        return [value.requires_grad_(True) for _, _, value in self._adapters()]

    def _adapted(self) -> dict[str, Any]:
        modules = {"unet": self.base.unet}
        if self.train_text_encoder:
            modules["text_encoder"] = self.base.text_encoder
        return modules

    def _adapters(self) -> list[tuple[str, str, torch.nn.Parameter]]:
        return [
            (part, key, value)
            for part, module in self._adapted().items()
            for key, value in module.named_parameters()
            if "lora_" in key
        ]


def _detach(module: Any) -> None:
    """Take the adapters out, so that the module is the very one it was: every wrapped layer is put back."""
    wrapped = [(name, layer) for name, layer in module.named_modules() if hasattr(layer, "lora_A")]
    for name, layer in wrapped:
        parent, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(parent), attribute, layer.get_base_layer())
    del module.peft_config
