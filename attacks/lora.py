"""DreamBooth-LoRA: low-rank updates of the attention projections (Hu et al. 2022), everything else frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from attacks import Artifact, FitContext, personalise, personalise_many
from attacks.fine_tuning import FineTuning
from attacks.stacked_lora import stack
from bench.core.presets import fill
from bench.core.ranges import Count, Decay, Range, Rate, Scale, Several, Weight

TEXT_ATTENTION, TEXT_BEYOND = ("q_proj", "k_proj", "v_proj", "out_proj"), ("fc1", "fc2")
"""Layers of CLIP's text encoders: attention, and what "all" adapts beyond. Those of its denoiser a base names."""
ADAPTER = "cloakbench"


def _preset(
    rank: int,
    steps: int,
    learning_rate: float,
    batch: int,
    train_text_encoder: bool,
    targets: str,
    prior_weight: float,
    class_count: int,
    weight_decay: float = 1e-2,
) -> dict[str, Any]:
    return dict(locals())


@dataclass
class Lora(FineTuning):
    """LoRA: low-rank fine-tuning of the attention layers, or of all layers.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models, "hf_xl" for SDXL, "hf_sd3" for Stable Diffusion 3,
            "hf_flux" for FLUX and "hf" for all others. Those are the recipes of the diffusers examples (FLUX's with
            their script's AdamW, where its README takes Prodigy), "antidb" is Anti-DreamBooth's evaluation with LoRA
            in place of full fine-tuning.
        rank: rank of the updates; alpha equals it.
        steps: optimiser steps.
        learning_rate: AdamW learning rate, constant.
        batch: photos per step (and as many class pictures, with prior preservation).
        targets: "attention" adapts the attention projections, "all" convolutions and feed-forward layers too (LoCon).
            FLUX's script takes the attention and the feed-forward layers.
        train_text_encoder: adapt the attention of the CLIP text encoders too.
        prior_weight: weight of the prior-preservation loss; 0 leaves it out.
        class_count: class pictures for the prior.
        weight_decay: AdamW weight decay.
        scale: strength of the update at generation; 0 is the base model.
        decoupled: see `attacks.fine_tuning`.
    """

    preset: str = "auto"
    rank: Annotated[int, Range(ge=1, le=1024, unit="rank of a matrix")] | None = None
    steps: Count | None = None
    learning_rate: Rate | None = None
    batch: Count | None = None
    train_text_encoder: bool | None = None
    targets: Literal["attention", "all"] | None = None
    prior_weight: Weight | None = None
    class_count: Several | None = None
    weight_decay: Decay | None = None
    scale: Scale = 1.0

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "antidb": _preset(4, 1000, 1e-4, 2, True, "attention", 1.0, 200),
        "hf": _preset(4, 500, 1e-4, 1, False, "attention", 0.0, 0),
        "hf_xl": _preset(4, 500, 1e-4, 4, False, "attention", 0.0, 0),
        "hf_sd3": _preset(4, 500, 4e-4, 4, False, "attention", 0.0, 0, 1e-4),
        "hf_flux": _preset(4, 500, 1e-4, 4, False, "all", 0.0, 0, 1e-4),
        "facelet": _preset(16, 80, 5e-3, 8, True, "all", 0.0, 0),
    }

    def resolved(self, family: str) -> Lora:
        own = {"facelet": "facelet", "sdxl": "hf_xl", "sd3": "hf_sd3", "flux": "hf_flux"}
        return fill(self, self.presets, own.get(family, "hf")).contrasted(family)

    stacks: ClassVar[bool] = True

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        self.reset()
        weights = self.attach(context.generator)
        personalise(self.base, weights, photos, self.recipe, context)
        return {f"{part}.{key}": value.detach().clone() for part, key, value in self._adapters()}

    def fit_many(self, photos: Sequence[Tensor], contexts: Sequence[FitContext]) -> list[Artifact]:
        """Every adapter has factors (people, rank, dim), each multiplied with its person's part of the batch."""
        self.reset()
        attach = partial(self._attach_many, [context.generator for context in contexts])
        personalise_many(self.base, attach, photos, self.recipe, contexts)
        return [
            {f"{part}.{key}": value[place].detach().clone() for part, key, value in self._adapters()}
            for place in range(len(photos))
        ]

    def load(self, artifact: Artifact) -> None:
        self.reset()
        self.attach(torch.Generator().manual_seed(0))
        with torch.no_grad():
            for part, key, value in self._adapters():
                value.copy_(artifact[f"{part}.{key}"])
        for module in self._adapted().values():
            for layer in module.modules():
                if hasattr(layer, "lora_A") and hasattr(layer, "set_scale"):
                    layer.set_scale(ADAPTER, self.scale)

    def reset(self) -> None:
        for module in self.base.tunable.values():
            if ADAPTER in getattr(module, "peft_config", {}):
                _detach(module)
        self.base.restore()

    def attach(self, generator: torch.Generator) -> list[torch.nn.Parameter]:
        """Insert fresh adapters: A is normal with standard deviation 1/rank ("gaussian" of peft), B is zero.

        For a convolution that is divided by the kernel width, so that its updates are no larger than a linear layer's.
        """
        self._insert()
        self._draw(generator)
        return self._trainable()

    def _attach_many(self, generators: Sequence[torch.Generator]) -> list[torch.nn.Parameter]:
        """The same with adapters for several people, those of each drawn from their own generator."""
        self._insert()
        drawn = []
        for generator in generators:
            self._draw(generator)
            drawn.append({(part, key): value.detach().clone() for part, key, value in self._adapters()})
        for part, module in self._adapted().items():
            stack(module, {key: torch.stack([own[part, key] for own in drawn]) for at, key in drawn[0] if at == part})
        return self._trainable()

    def _insert(self) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        assert self.rank
        for part, module in self._adapted().items():
            denoiser = part == self.base.part
            targets = list(self.base.attention if denoiser else TEXT_ATTENTION)
            if self.targets == "all":
                targets += self.base.beyond_attention if denoiser else TEXT_BEYOND
            config = LoraConfig(r=self.rank, lora_alpha=self.rank, target_modules=targets)
            inject_adapter_in_model(config, module, adapter_name=ADAPTER)
            module.peft_config = {ADAPTER: config}

    def _draw(self, generator: torch.Generator) -> None:
        assert self.rank
        with torch.no_grad():
            for _, key, value in self._adapters():
                if "lora_A" in key:
                    kernel_area = value[0, 0].numel()  # 1 for linear layers
                    scale = 1 / (self.rank * kernel_area**0.5)
                    value.copy_(torch.randn(value.shape, generator=generator) * scale)
                else:
                    value.zero_()

    def _trainable(self) -> list[torch.nn.Parameter]:
        weights = [value for _, _, value in self._adapters()]
        for weight in weights:
            weight.requires_grad_(True)
        return weights

    def _adapted(self) -> dict[str, Any]:
        return {part: m for part, m in self.base.tunable.items() if part == self.base.part or self.train_text_encoder}

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
