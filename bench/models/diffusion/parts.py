"""`ModelParts`: the networks of a diffusion model, and their weights: copied, remembered, restored, frozen."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from bench.config.compute import Computing
from bench.core.deferred import Tensor, torch
from bench.core.profiling import countable
from bench.models.weights.checkpoint import Checkpoint

Snapshot = dict[str, dict[str, Tensor]]
"""Weights of the denoiser and of the text encoders, by part and name."""


class ModelParts:
    """Stock diffusers and transformers classes, by what each is for.

    Attributes:
        vae: the autoencoder.
        denoiser: the network that predicts: a U-Net or a transformer.
        scheduler: its noise schedule.
        tokenizers: of the CLIP text encoders, in their order.
        text_encoders: those that an attacker may train: CLIP's.
        part: what the official files call the denoiser.
    """

    part: ClassVar[str]

    def __init__(
        self, checkpoint: Checkpoint, parts: dict[str, Any], device: torch.device, computing: Computing
    ) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.computing = computing
        self.scheduler = parts["scheduler"]
        self.vae = parts["vae"]
        self.denoiser = parts[self.part]
        self.tokenizers = [part for name, part in parts.items() if name.startswith("tokenizer")]
        self.text_encoders = [part for name, part in parts.items() if name.startswith("text_encoder")]
        for module in self._modules.values():
            module.requires_grad_(False).eval()
        if computing.channels_last:
            for module in (self.vae, self.denoiser):
                module.to(memory_format=torch.channels_last)
        countable()
        if computing.memory == "low":
            for module in (self.vae, self.denoiser):
                module.enable_gradient_checkpointing()
        if computing.compile:
            self.denoiser.compile(dynamic=False)
        self._loaded: dict[str, dict[str, Tensor]] = {}

    @property
    def tunable(self) -> dict[str, Any]:
        """Part name -> module, of all that an attacker may train: the denoiser and the text encoders."""
        return {self.part: self.denoiser} | _by_name("text_encoder", self.text_encoders)

    @property
    def _text_parts(self) -> dict[str, Any]:
        """What reads prompts and what cuts them into tokens, as official files and pipelines call them."""
        return _by_name("text_encoder", self.text_encoders) | _by_name("tokenizer", self.tokenizers)

    def clone(self) -> Self:
        """A second model to train on the side: own denoiser and text encoders, all that stays frozen is shared.

        It starts from the present weights and remembers no others, so it cannot be restored.
        """
        parts = self._shared | {name: copy.deepcopy(module) for name, module in self.tunable.items()}
        return type(self)(self.checkpoint, parts, self.device, self.computing)

    @property
    def _shared(self) -> dict[str, Any]:
        """The parts that no training changes."""
        return {"vae": self.vae, "scheduler": self.scheduler} | _by_name("tokenizer", self.tokenizers)

    def copy_weights_from(self, other: ModelParts) -> None:
        """Overwrite denoiser and text encoders in place with another model's."""
        self.load_snapshot({name: module.state_dict() for name, module in other.tunable.items()})

    def snapshot(self) -> Snapshot:
        """A copy of the present weights of denoiser and text encoders, on the CPU."""
        return {
            name: {key: value.detach().to("cpu", copy=True) for key, value in module.state_dict().items()}
            for name, module in self.tunable.items()
        }

    def load_snapshot(self, snapshot: Snapshot) -> None:
        """Overwrite denoiser and text encoders in place with the weights of a snapshot."""
        for name, module in self.tunable.items():
            module.load_state_dict(snapshot[name])

    def parameters(self, text_encoder: bool = True) -> list[torch.nn.Parameter]:
        """The weights of the denoiser, and of the text encoders if asked for, made trainable."""
        modules = [self.denoiser, *self.text_encoders] if text_encoder else [self.denoiser]
        return [p.requires_grad_(True) for module in modules for p in module.parameters()]

    def remember(self) -> None:
        """Make the present weights those that `restore` goes back to; they are kept in the computer's own memory."""
        self._loaded = {
            name: {key: value.detach().to("cpu", copy=True) for key, value in module.state_dict().items()}
            for name, module in self._modules.items()
        }

    def restore(self) -> None:
        """Back to the remembered weights, bit for bit; gradients are dropped and everything is frozen again.

        Raises:
            RuntimeError: a module gained or lost weights (an adapter was left in it).
        """
        for name, module in self._modules.items():
            module.load_state_dict(self._loaded[name], strict=True)
            module.eval()
        self.freeze()

    def freeze(self) -> None:
        """Make no weight trainable and drop all gradients."""
        for module in self._modules.values():
            module.requires_grad_(False)
            for parameter in module.parameters():
                parameter.grad = None

    @property
    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"vae": self.vae} | self.tunable

    def _autocast(self, wanted: bool = True) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=wanted and self.computing.precision == "bf16")


def learns(module: torch.nn.Module) -> bool:
    """Whether any of its weights is being trained."""
    return any(weight.requires_grad for weight in module.parameters())


def _by_name(kind: str, parts: Sequence[Any]) -> dict[str, Any]:
    return {f"{kind}_{number}" if number > 1 else kind: part for number, part in enumerate(parts, start=1)}
