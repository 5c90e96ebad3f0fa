"""How a base computes: by how many digits and how fast, but not what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Computing:
    """Settings of a base that change its results in the last digits at most.

    Attributes:
        precision: "bf16" runs forward and backward passes under autocast, "fp32" does not. Weights stay fp32.
        channels_last: convolutions find the channels of a pixel side by side, as GPUs' half-precision units like it.
        compile: the UNet is compiled at its first use, and again when an adapter goes in: for long runs.
        offload: text encoders wait in the computer's own memory while they are neither read nor trained.
        memory: "low" is for small GPUs: what gradients need is computed again instead of kept (gradient checkpointing,
            Chen et al. 2016), the autoencoder sees one picture at a time, and on a GPU trainings keep AdamW's state in
            8 bits (Dettmers et al. 2022).
    """

    precision: str = "fp32"
    channels_last: bool = False
    compile: bool = False
    offload: bool = False
    memory: Literal["normal", "low"] = "normal"

    @property
    def arithmetic(self) -> str:
        """What the last digits depend on, in a word."""
        named = {"channels_last": self.channels_last, "compile": self.compile, "low": self.memory == "low"}
        return "+".join([self.precision, *(name for name, on in named.items() if on)])
