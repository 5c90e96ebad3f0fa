"""A part that learns from captioned views: which it draws, and what their captions say."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from bench.zoo.train.captions import caption
from bench.zoo.train.loop import Part
from bench.zoo.train.precision import device
from bench.zoo.train.views import Views

PROMPTS = ("a photo of a man", "a photo of a woman", "a dslr portrait of a person", "a portrait of an old man")
"""Of a grid to look at."""


class Captioned(Part):
    """What learns from cached latents and captions.

    Args:
        tokenizer: of the captions.
        views: what it learns from.
    """

    def __init__(self, tokenizer: CLIPTokenizer, views: Views) -> None:
        self._tokenizer, self._views = tokenizer, views
        self._train, self._held = views.of("train"), views.of("held")[:256]

    def _draw(self, count: int, random: torch.Generator) -> Tensor:
        """(n,) random training views."""
        return self._train[torch.randint(len(self._train), (count,), generator=random)]

    def _captions(self, rows: Tensor, generator: torch.Generator) -> list[str]:
        pick = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
        return [caption(*self._views.facts(int(row)), pick, self._views.name(int(row))) for row in rows]

    def _ids(self, texts: list[str]) -> Tensor:
        tokens: Tensor = self._tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return tokens.to(device())
