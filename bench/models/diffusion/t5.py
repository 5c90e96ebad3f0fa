"""T5's encoder (Raffel et al. 2020), the second reader of flow-matching transformers' prompts. It is never trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.models.diffusion.devices import to_device


@dataclass(frozen=True)
class T5:
    """An encoder and its tokenizer."""

    tokenizer: Any
    encoder: torch.nn.Module

    def read(self, prompts: Sequence[str], tokens: int) -> Tensor:
        """(n, tokens, dim) states of n prompts, padded or cut to so many tokens."""
        told = self.tokenizer(
            list(prompts), padding="max_length", max_length=tokens, truncation=True, return_tensors="pt"
        )
        device = next(self.encoder.parameters()).device
        with torch.no_grad():
            states: Tensor = self.encoder(to_device(told.input_ids, device))[0]
        return states.float()
