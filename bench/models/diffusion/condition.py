"""What a denoiser is told about the picture, and where in it a word is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.core.deferred import Tensor, torch


@dataclass(frozen=True)
class Condition:
    """What the denoiser is told about the picture.

    Attributes:
        hidden: (n, tokens, dim) hidden states of the text encoders, of SDXL's two side by side.
        pooled: (n, dim) pooled states of the encoders that have some; None for models that are not told.
    """

    hidden: Tensor
    pooled: Tensor | None = None

    def expand(self, count: int) -> Condition:
        """Each condition for `count` pictures, which lie side by side."""

        def each(states: Tensor) -> Tensor:
            return states[:, None].expand(-1, count, *states.shape[1:]).flatten(0, 1)

        return Condition(each(self.hidden), None if self.pooled is None else each(self.pooled))

    def beside(self, other: Condition) -> Condition:
        """The conditions of these pictures, then those of others."""
        pooled = None
        if self.pooled is not None and other.pooled is not None:
            pooled = torch.cat([self.pooled, other.pooled])
        return Condition(torch.cat([self.hidden, other.hidden]), pooled)


def places_of(tokenizer: Any, before: str, word: str, start: int) -> list[int]:
    """Positions of a word's tokens after those of a text, whose first is at `start`."""
    earlier, tokens = (len(tokenizer(text, add_special_tokens=False).input_ids) for text in (before, word))
    return list(range(start + earlier, start + earlier + tokens))
